"""Exported files load elsewhere and give the same features, or are not written."""

import importlib.util

import pytest
import timm
import torch

from likewise.encoders import build_encoder, choose_encoder, save_encoder
from likewise.errors import LikewiseError
from likewise.run_folder import FORMAT, RunFolder, write_json
from likewise.runs.export import export_encoder

STATISTICS = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def run_with(tmp_path, name, size=32, stem="auto"):
    settings = choose_encoder(name, size, *STATISTICS, stem=stem)
    encoder = build_encoder(settings).eval()
    run = RunFolder(tmp_path)
    write_json(run.config, {"format": FORMAT})
    save_encoder(encoder, settings, run.path)
    return run, encoder, settings


def test_timm_loads_it_and_gives_the_same_features(tmp_path):
    run, encoder, settings = run_with(tmp_path, "resnet18", 64, "standard")
    path = export_encoder(run, encoder, settings, "timm")
    network = timm.create_model("resnet18", num_classes=0, checkpoint_path=str(path)).eval()
    pixels = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(network(encoder.normalise(pixels)), encoder(pixels))


@pytest.mark.parametrize(("name", "word"), [("resnet18", "3x3 stem"), ("conv4", "not a timm network")])
def test_what_would_load_wrongly_there_is_not_written(tmp_path, name, word):
    run, encoder, settings = run_with(tmp_path, name)
    with pytest.raises(LikewiseError, match=word):
        export_encoder(run, encoder, settings, "timm")
    assert not (tmp_path / "timm.safetensors").exists()


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs the onnx extra: likewise[onnx]")
@pytest.mark.parametrize("name", ["conv4", "resnet18"])
def test_onnx_gives_the_same_features_for_any_batch(tmp_path, name):
    import onnxruntime

    run, encoder, settings = run_with(tmp_path, name)
    path = export_encoder(run, encoder, settings, "onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        pixels = torch.rand(batch, 3, 32, 32)
        exported = torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])
        torch.testing.assert_close(exported, encoder(pixels), rtol=1e-3, atol=1e-4)


def test_a_graph_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    from likewise.runs import export

    target = tmp_path / "graph.onnx"
    target.write_bytes(b"a graph")
    _, encoder, _ = run_with(tmp_path, "conv4")
    pixels = torch.rand(2, 3, 32, 32)
    with pytest.raises(LikewiseError, match=r"graph\.onnx"):
        export._refuse_difference(encoder, pixels, encoder(pixels) * 1.1, target)
    assert not target.exists()


def test_an_existing_file_is_not_replaced(tmp_path):
    run, encoder, settings = run_with(tmp_path, "conv4")
    (tmp_path / "mine.safetensors").write_text("mine")
    with pytest.raises(LikewiseError, match="exists"):
        export_encoder(run, encoder, settings, "safetensors", tmp_path / "mine.safetensors")
    assert export_encoder(run, encoder, settings, "safetensors") == run.weights


def test_the_ending_of_the_file_and_the_format_agree(tmp_path):
    given = run_with(tmp_path, "conv4")
    with pytest.raises(LikewiseError, match="--to onnx"):
        export_encoder(*given, "safetensors", tmp_path / "encoder.onnx")
    with pytest.raises(LikewiseError, match=r"e\.onnx"):
        export_encoder(*given, "e.onnx")
    with pytest.raises(LikewiseError, match="missing"):
        export_encoder(*given, "onnx", tmp_path / "missing" / "encoder.onnx")
