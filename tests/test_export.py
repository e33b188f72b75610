"""Exported files load elsewhere and give the same features or logits, or are not written."""

import importlib.util
import json

import pytest
import timm
import torch
from safetensors import safe_open
from torch import nn

from likewise.classification import Classifier
from likewise.encoders import build_encoder, choose_encoder
from likewise.errors import LikewiseError
from likewise.runs.export import export
from likewise.runs.exported import Exported

STATISTICS = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
NAMES = ("cat", "dog", "newt")

needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None, reason="needs the onnx extra: likewise[onnx]"
)


def exported(name, size=32, stem="auto", with_head=True, channels=3):
    """An encoder with random weights, or a classifier on it at temperature 2."""
    settings = choose_encoder(name, size, *(each[:channels] for each in STATISTICS), stem=stem)
    encoder = build_encoder(settings).eval()
    head = nn.Linear(encoder.width, 3)
    return Exported(
        Classifier(encoder, head, 2.0, NAMES).eval() if with_head else encoder, settings
    )


@pytest.mark.parametrize("with_head", [True, False])
@pytest.mark.parametrize("channels", [3, 1])
def test_timm_loads_it_and_gives_the_same(tmp_path, with_head, channels):
    given = exported("resnet18", 64, "standard", with_head, channels)
    path = export(given, tmp_path, "timm")
    network = timm.create_model(
        "resnet18", num_classes=3 if with_head else 0, in_chans=channels, checkpoint_path=str(path)
    ).eval()
    pixels = torch.rand(2, channels, 64, 64)
    torch.testing.assert_close(
        network(given.encoder.normalise(pixels)), given.network(pixels), rtol=1e-3, atol=1e-4
    )
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata().get("class_names", "[]")) == (
            list(NAMES) if with_head else []
        )


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "vit_tiny_patch16_224"])
def test_timm_opens_the_folder_for_a_hub_without_a_network(tmp_path, name):
    given = exported(name, 64, "standard")
    path = export(given, tmp_path, "hub")
    network = timm.create_model(f"local-dir:{path}", pretrained=True).eval()
    pixels = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(
        network(given.encoder.normalise(pixels)), given.network(pixels), rtol=1e-3, atol=1e-4
    )
    config = json.loads((path / "config.json").read_text())
    assert config["label_names"] == list(NAMES) and config["num_classes"] == 3
    shown = network.pretrained_cfg
    assert tuple(shown["mean"]) == STATISTICS[0] and tuple(shown["input_size"]) == (3, 64, 64)


@pytest.mark.parametrize("to", ["timm", "hub"])
@pytest.mark.parametrize(
    ("name", "word"), [("resnet18", "3x3 stem"), ("conv4", "not a timm network")]
)
def test_what_would_load_wrongly_there_is_not_written(tmp_path, name, word, to):
    with pytest.raises(LikewiseError, match=word):
        export(exported(name), tmp_path, to)
    assert not list(tmp_path.iterdir())


@needs_onnx
@pytest.mark.parametrize(
    ("name", "with_head"), [("conv4", True), ("conv4", False), ("resnet18", True)]
)
def test_onnx_gives_the_same_for_any_batch(tmp_path, name, with_head):
    import onnx
    import onnxruntime

    given = exported(name, with_head=with_head)
    path = export(given, tmp_path, "onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        pixels = torch.rand(batch, 3, 32, 32)
        found = torch.from_numpy(
            session.run(["logits" if with_head else "features"], {"pixels": pixels.numpy()})[0]
        )
        torch.testing.assert_close(found, given.network(pixels), rtol=1e-3, atol=1e-4)
    stored = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert stored["image_size"] == "32"
    if with_head:
        assert json.loads(stored["class_names"]) == list(NAMES) and stored["temperature"] == "2.0"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_loads_without_likewise_for_any_batch(tmp_path):
    given = exported("resnet18")
    stored = {"class_names": "", "temperature": ""}
    graph = torch.jit.load(str(export(given, tmp_path, "torchscript")), _extra_files=stored)
    for batch in (1, 5):
        pixels = torch.rand(batch, 3, 32, 32)
        torch.testing.assert_close(graph(pixels), given.network(pixels), rtol=1e-3, atol=1e-4)
    assert json.loads(stored["class_names"]) == list(NAMES) and float(stored["temperature"]) == 2.0


def test_safetensors_hold_everything_and_its_description(tmp_path):
    given = exported("conv4")
    with safe_open(export(given, tmp_path, "safetensors"), "pt") as file:
        assert set(file.keys()) == set(given.network.state_dict())
        stored = file.metadata()
    assert json.loads(stored["encoder"])["name"] == "conv4" and json.loads(
        stored["class_names"]
    ) == list(NAMES)


@pytest.mark.parametrize("to", ["onnx", "hub"])
def test_what_computes_something_else_is_not_kept(tmp_path, monkeypatch, to):
    from likewise.runs import export as module

    given = exported("conv4")

    def write(_, target):
        target.mkdir() if to == "hub" else target.write_bytes(b"a graph")
        return lambda pixels: given.network(pixels) * 1.1

    monkeypatch.setitem(module.WRITERS, to, write)
    monkeypatch.setattr(module, "require_timm", lambda _: None)
    with pytest.raises(LikewiseError, match="differs from the classifier"):
        export(given, tmp_path, to)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_not_replaced_and_a_runs_own_weights_are_the_encoder(tmp_path):
    (tmp_path / "mine.safetensors").write_text("mine")
    given = exported("conv4", with_head=False)
    with pytest.raises(LikewiseError, match="exists"):
        export(given, tmp_path, "safetensors", tmp_path / "mine.safetensors")
    assert export(given, tmp_path, "safetensors") == tmp_path / "encoder.safetensors"


def test_the_ending_of_the_file_and_the_format_agree(tmp_path):
    given = exported("conv4")
    with pytest.raises(LikewiseError, match="--to onnx"):
        export(given, tmp_path, "safetensors", tmp_path / "encoder.onnx")
    with pytest.raises(LikewiseError, match=r"e\.onnx"):
        export(given, tmp_path, "e.onnx")
    with pytest.raises(LikewiseError, match="missing"):
        export(given, tmp_path, "onnx", tmp_path / "missing" / "encoder.onnx")
