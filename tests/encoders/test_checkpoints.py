"""Checkpoints as other libraries write them: real networks under each library's names give their own features again."""

import copy
from argparse import Namespace
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from timm import create_model
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from likewise.encoders import build_encoder, choose_encoder
from likewise.encoders.checkpoints import load_weights
from likewise.errors import LikewiseError

PIXELS = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
TRANSFORMER = {
    "img_size": 64,
    "patch_size": 16,
    "embed_dim": 48,
    "depth": 2,
    "num_heads": 3,
    "num_classes": 0,
}


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """Every tensor random, running statistics and biases too, so that no two can be mistaken for each other."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.1 + 0.02)
    return network.eval()


@cache
def resnet(seed: int = 1) -> nn.Module:
    return randomised(torchvision.models.resnet18(), seed)


def features_of(network: nn.Module) -> torch.Tensor:
    headless = copy.deepcopy(network)
    headless.fc = nn.Identity()
    with torch.no_grad():
        return headless(PIXELS)


def named(network: nn.Module, prefix: str, *without: str) -> dict[str, torch.Tensor]:
    return {
        prefix + name: value
        for name, value in network.state_dict().items()
        if not name.startswith(without)
    }


def head(prefix: str) -> dict[str, torch.Tensor]:
    return named(nn.Sequential(nn.Linear(512, 16), nn.BatchNorm1d(16)), prefix)


def supcontrast() -> dict:
    own = {
        name.replace("downsample", "shortcut"): value
        for name, value in named(resnet(), "encoder.module.", "fc.").items()
    }
    return {"opt": Namespace(lr=0.1), "model": {**own, **head("head.")}, "epoch": 3}


def suncet() -> dict:
    return {
        "encoder": {**named(resnet(), "module.", "fc."), **head("module.fc.")},
        "opt": {"state": {}},
        "epoch": 2,
    }


def moco(query: str, key: str, **others: torch.Tensor) -> dict:
    query_names = named(resnet(), f"module.{query}.", "fc.")
    key_names = named(resnet(2), f"module.{key}.", "fc.")
    return {
        "state_dict": {**query_names, **key_names, **head(f"module.{query}.fc."), **others},
        "arch": "resnet18",
    }


def solo_learn() -> dict:
    online = named(resnet(), "backbone.", "fc.")
    average = named(resnet(2), "momentum_backbone.", "fc.")
    return {
        "state_dict": {**online, **average, **head("projector."), **head("classifier.")},
        "global_step": 5,
    }


def lightly() -> dict:
    network = nn.Sequential(*list(resnet().children())[:-1])
    return {"state_dict": {**named(network, "backbone."), **head("projection_head.layers.")}}


def lightly_dino() -> dict:
    student = {**named(resnet(2), "student_backbone.", "fc."), **head("student_projection_head.")}
    return {
        "state_dict": {**named(resnet(), "backbone.", "fc."), **student, **head("projection_head.")}
    }


RESNETS = {
    "torchvision": (lambda: resnet().state_dict(), "torchvision"),
    "SupContrast": (supcontrast, "SupContrast"),
    "SuNCEt": (suncet, "timm"),
    "MoCo v2": (
        lambda: moco("encoder_q", "encoder_k", **{"module.queue": torch.rand(8, 4)}),
        "MoCo, the query encoder",
    ),
    "MoCo v3": (lambda: moco("base_encoder", "momentum_encoder"), "MoCo v3"),
    "solo-learn": (solo_learn, "solo-learn, the online encoder"),
    "lightly": (lightly, "lightly"),
    "lightly DINO": (lightly_dino, "the teacher"),
    "compiled": (lambda: {"model": named(resnet(), "_orig_mod.")}, "torchvision"),
    "FSDP, with checkpointed activations": (
        lambda: {
            name.replace("layer1.", "layer1._checkpoint_wrapped_module."): value
            for name, value in named(resnet(), "_fsdp_wrapped_module.").items()
        },
        "torchvision",
    ),
    "PyTorch's tutorial": (lambda: {"model_state_dict": named(resnet(), ""), "epoch": 3}, ""),
    "one entry of another name": (lambda: {"weights": named(resnet(), ""), "epoch": 3}, ""),
    "USB, averaged": (
        lambda: {"model": named(resnet(2), ""), "ema_model": named(resnet(), "")},
        "'ema_model', not 'model'",
    ),
    "FixMatch-pytorch, averaged": (
        lambda: {"state_dict": named(resnet(2), ""), "ema_state_dict": named(resnet(), "")},
        "'ema_state_dict', not 'state_dict'",
    ),
    "timm, averaged": (
        lambda: {"state_dict": named(resnet(2), ""), "state_dict_ema": named(resnet(), "")},
        "'state_dict_ema', not 'state_dict'",
    ),
}


@pytest.mark.parametrize("layout", RESNETS)
def test_a_resnet_gives_its_own_features_again(layout, tmp_path):
    checkpoint, title = RESNETS[layout]
    torch.save(checkpoint(), tmp_path / "weights.pth")
    network = create_model("resnet18", num_classes=0)
    match = load_weights(network, tmp_path / "weights.pth")
    assert (match.missing, match.mismatched, match.unexpected) == ((), (), ())
    assert match.matched == len(network.state_dict())
    assert title in match.layout
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(PIXELS), features_of(resnet()), rtol=1e-5, atol=0)


def transformer(seed: int = 1, **settings) -> nn.Module:
    return randomised(VisionTransformer(**{**TRANSFORMER, **settings}), seed)


def dino() -> dict:
    teacher = {
        **named(transformer(), "backbone."),
        **head("head.mlp."),
        "head.last_layer.weight_g": torch.rand(3, 1),
    }
    return {
        "student": named(transformer(2), "module.backbone."),
        "teacher": teacher,
        "args": Namespace(arch="vit"),
    }


def dinov2() -> dict:
    names = {**named(transformer(), "backbone."), "backbone.mask_token": torch.rand(1, 48)}
    return {"teacher": {**names, **head("dino_head."), **head("ibot_head.")}}


OPEN_CLIP = {
    "patch_embed.proj": "conv1",
    "cls_token": "class_embedding",
    "pos_embed": "positional_embedding",
    "norm_pre": "ln_pre",
    "blocks": "transformer.resblocks",
    "attn.qkv.": "attn.in_proj_",
    "attn.proj": "attn.out_proj",
    "norm1": "ln_1",
    "norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def open_clip() -> dict:
    stored = {}
    for name, value in transformer(pre_norm=True, class_token=True).state_dict().items():
        for ours, theirs in OPEN_CLIP.items():
            name = name.replace(ours, theirs)
        name = name.replace("norm.", "ln_post.")
        value = value.squeeze((0, 1)) if name == "class_embedding" else value
        stored[f"visual.{name}"] = value.squeeze(0) if name == "positional_embedding" else value
    text = {"transformer.resblocks.0.ln_1.weight": torch.rand(8), "logit_scale": torch.tensor(4.6)}
    return {"state_dict": {**stored, "visual.proj": torch.rand(48, 8), **text}}


TRANSFORMERS = {
    "timm": (lambda: transformer().state_dict(), {}),
    "DINO": (dino, {}),
    "DINOv2": (dinov2, {}),
    "MoCo v3": (lambda: {"state_dict": named(transformer(), "module.base_encoder.")}, {}),
    "open_clip": (open_clip, {"pre_norm": True}),
    "open_clip around timm": (lambda: named(transformer(), "visual.trunk."), {}),
}


@pytest.mark.parametrize("layout", TRANSFORMERS)
def test_a_transformer_gives_its_own_features_again(layout, tmp_path):
    checkpoint, settings = TRANSFORMERS[layout]
    torch.save(checkpoint(), tmp_path / "weights.pth")
    network = VisionTransformer(**TRANSFORMER, **settings).eval()
    match = load_weights(network, tmp_path / "weights.pth")
    assert (match.missing, match.mismatched, match.unexpected) == ((), (), ())
    source = transformer(**settings)
    with torch.no_grad():
        assert torch.equal(network(PIXELS), source(PIXELS))


def test_torchvision_s_transformer_gives_its_own_features_again(tmp_path):
    source = torchvision.models.VisionTransformer(64, 16, 2, 3, 48, 192)
    randomised(source, 1)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    network = VisionTransformer(**TRANSFORMER).eval()
    match = load_weights(network, tmp_path / "weights.pth")
    assert (match.missing, match.unexpected) == ((), ())
    source.heads = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(network(PIXELS), source(PIXELS))


def test_registers_of_dinov2_take_the_class_token_s_position_with_them(tmp_path):
    settings = {"reg_tokens": 4, "no_embed_class": True}
    source = transformer(**settings)
    position = torch.rand(1, 1, 48)
    stored = named(source, "")
    stored["register_tokens"] = stored.pop("reg_token")
    # The original adds its position, timm stores the sum.
    stored["cls_token"] = stored["cls_token"] - position
    stored["pos_embed"] = torch.cat([position, stored["pos_embed"]], dim=1)
    torch.save({**stored, "mask_token": torch.rand(1, 48)}, tmp_path / "weights.pth")
    network = VisionTransformer(**TRANSFORMER, **settings).eval()
    assert load_weights(network, tmp_path / "weights.pth").complete
    with torch.no_grad():
        torch.testing.assert_close(network(PIXELS), source(PIXELS))


def test_position_embeddings_are_resampled_to_the_image_size_and_it_is_said(tmp_path):
    torch.save(transformer().state_dict(), tmp_path / "weights.pth")
    network = VisionTransformer(**{**TRANSFORMER, "img_size": 96})
    match = load_weights(network, tmp_path / "weights.pth")
    assert match.complete
    assert "17 to 37" in str(match)
    # The class token's is not.
    assert network.pos_embed[:, :1].equal(transformer().pos_embed[:, :1])


def test_grey_images_get_the_sum_over_the_first_layer_s_channels(tmp_path):
    torch.save(resnet().state_dict(), tmp_path / "weights.pth")
    network = create_model("resnet18", num_classes=0, in_chans=1)
    match = load_weights(network, tmp_path / "weights.pth")
    assert match.complete
    assert "conv1.weight" in str(match)
    assert torch.equal(network.conv1.weight, resnet().conv1.weight.sum(dim=1, keepdim=True))


def test_what_is_left_out_on_purpose_is_not_unexpected(tmp_path):
    stored = moco("encoder_q", "encoder_k", **{"module.queue": torch.rand(8, 4)})
    stored["state_dict"]["module.encoder_q.extra.weight"] = torch.rand(2)
    torch.save(stored, tmp_path / "weights.pth")
    match = load_weights(create_model("resnet18", num_classes=0), tmp_path / "weights.pth")
    assert match.unexpected == ("extra.weight",)
    assert {name.partition(".")[0] for name in match.left_out} == {"encoder_k", "queue", "fc"}


def test_a_missing_tensor_is_named_and_stays_random_only_if_allowed(tmp_path):
    stored = resnet().state_dict()
    del stored["layer4.1.conv2.weight"]
    torch.save(stored, tmp_path / "weights.pth")
    network = create_model("resnet18", num_classes=0)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(LikewiseError, match=r"layer4\.1\.conv2\.weight.*--allow-missing"):
        load_weights(network, tmp_path / "weights.pth")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    match = load_weights(network, tmp_path / "weights.pth", allow_missing=True)
    assert match.missing == ("layer4.1.conv2.weight",)
    assert "layer4.1.conv2.weight" in str(match)
    assert torch.equal(network.layer4[1].conv2.weight, before["layer4.1.conv2.weight"])
    assert torch.equal(network.conv1.weight, resnet().conv1.weight)


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    stored = resnet().state_dict()
    stored["layer4.1.conv2.weight"] = torch.full_like(stored["layer4.1.conv2.weight"], torch.nan)
    torch.save(stored, tmp_path / "weights.pth")
    with pytest.raises(LikewiseError, match=r"NaN.*layer4\.1\.conv2\.weight"):
        load_weights(create_model("resnet18", num_classes=0), tmp_path / "weights.pth")


def test_counters_that_old_files_lack_are_not_missing(tmp_path):
    stored = {
        name: value for name, value in resnet().state_dict().items() if "num_batches" not in name
    }
    torch.save(stored, tmp_path / "weights.pth")
    assert load_weights(create_model("resnet18", num_classes=0), tmp_path / "weights.pth").complete


def test_another_shape_is_told_with_both_shapes(tmp_path):
    stored = resnet().state_dict()
    stored["conv1.weight"] = torch.rand(64, 3, 3, 3)
    torch.save(stored, tmp_path / "weights.pth")
    with pytest.raises(
        LikewiseError, match=r"conv1\.weight \(64x3x3x3 in the file, 64x3x7x7 .*--stem"
    ):
        load_weights(create_model("resnet18", num_classes=0), tmp_path / "weights.pth")


@pytest.mark.parametrize("allow_missing", [False, True])
def test_another_network_is_refused(allow_missing, tmp_path):
    torch.save(transformer().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(LikewiseError, match="--encoder") as refused:
        load_weights(
            create_model("resnet18", num_classes=0), tmp_path / "weights.pth", allow_missing
        )
    assert "--allow-missing" not in str(refused.value)


def test_a_deeper_network_s_weights_are_refused_though_every_tensor_is_there(tmp_path):
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(LikewiseError, match=r"layer1\.2\.conv1\.weight"):
        load_weights(create_model("resnet18", num_classes=0), tmp_path / "weights.pth")


def test_moco_v3_s_small_transformer_is_refused_for_its_heads(tmp_path):
    network = VisionTransformer(**{**TRANSFORMER, "embed_dim": 384, "depth": 1, "num_heads": 6})
    torch.save({"state_dict": named(network, "module.base_encoder.")}, tmp_path / "weights.pth")
    with pytest.raises(LikewiseError, match="12 attention heads"):
        load_weights(network, tmp_path / "weights.pth")


class Acts:
    """An object whose unpickling writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_no_code_in_a_file_runs_and_nobody_is_told_to_run_it(tmp_path):
    torch.save(
        {"state_dict": resnet().state_dict(), "hook": Acts(tmp_path / "acted")},
        tmp_path / "weights.pth",
    )
    with pytest.raises(LikewiseError, match="could run code") as refused:
        load_weights(create_model("resnet18", num_classes=0), tmp_path / "weights.pth")
    assert "weights_only" not in str(refused.value)
    assert not (tmp_path / "acted").exists()


@pytest.mark.parametrize("saved", [
    np.float64(0.93), np.int64(3), np.random.get_state(), Path("runs/a"), datetime.now(),
    Namespace(out=Path("a"), lr=np.float32(0.1)),
])  # fmt: skip
def test_plain_data_that_scripts_save_with_the_tensors_is_no_hindrance(tmp_path, saved):
    torch.save({"state_dict": resnet().state_dict(), "saved": saved}, tmp_path / "weights.pth")
    assert load_weights(create_model("resnet18", num_classes=0), tmp_path / "weights.pth").complete


def test_an_array_of_objects_runs_no_code_either(tmp_path):
    hooks = np.array([Acts(tmp_path / "acted")], dtype=object)
    torch.save({"state_dict": resnet().state_dict(), "hooks": hooks}, tmp_path / "weights.pth")
    with pytest.raises(LikewiseError, match=r"weights\.pth"):
        load_weights(create_model("resnet18", num_classes=0), tmp_path / "weights.pth")
    assert not (tmp_path / "acted").exists()


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", b"\x08\x00\x00\x00\x00\x00\x00\x00{}"]
)
def test_what_is_no_checkpoint_is_told(content, ending, tmp_path):
    path = tmp_path / f"weights.{ending}"
    path.write_bytes(content)
    with pytest.raises(LikewiseError, match=f"weights.{ending}"):
        load_weights(nn.Linear(1, 1), path)


def test_a_file_without_names_of_tensors_is_told(tmp_path):
    torch.save([torch.rand(2)], tmp_path / "weights.pth")
    with pytest.raises(LikewiseError, match="no tensors"):
        load_weights(nn.Linear(1, 1), tmp_path / "weights.pth")


@pytest.mark.parametrize(("kernel", "small"), [(3, True), (7, False)])
def test_the_stem_is_the_file_s_whatever_the_image_size(kernel, small, tmp_path):
    stored = {
        **supcontrast()["model"],
        "encoder.module.conv1.weight": torch.rand(64, 3, kernel, kernel),
    }
    torch.save({"model": stored}, tmp_path / "weights.pth")
    settings = choose_encoder(
        "resnet18", 32, (0.5,) * 3, (0.2,) * 3, pretrained=str(tmp_path / "weights.pth")
    )
    assert settings.small_stem is small
    encoder = build_encoder(settings)
    assert torch.equal(encoder.network.conv1.weight, stored["encoder.module.conv1.weight"])
    assert encoder.key_match.complete
