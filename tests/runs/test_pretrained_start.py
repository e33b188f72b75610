"""What a run starts from: lite0 where nobody named a method or a network, and what its first screen and folder say."""

import io
import json

import pytest
import torch
from rich.console import Console

import likewise as lw
from likewise.commands.words import parse
from likewise.encoders import lite0
from likewise.errors import LikewiseError
from likewise.runs.settings import TrainSettings
from likewise.runs.train_run import run_training

GENERATOR = torch.Generator().manual_seed(0)
PHOTOS = torch.randint(0, 256, (24, 3, 72, 72), dtype=torch.uint8, generator=GENERATOR)
LABELS = torch.arange(24) % 2
LITE0 = "timm/tf_efficientnet_lite0"


def prepared(images=PHOTOS, **settings):
    return lw.prepare((images, LABELS), **settings)


def test_photographs_start_from_lite0_where_nothing_was_named():
    start = prepared()
    assert (start.encoder.name, start.encoder.pretrained, start.encoder.image_size) == (
        LITE0,
        "lite0",
        128,
    )
    assert (start.settings.pretrained, start.settings.image_size) == ("lite0", 128)
    assert "--pretrained none" in start.start_reason
    assert prepared(PHOTOS[:, :1]).encoder.channels == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"pretrained": "none"},
        {"method": "simclr"},
        {"encoder": "timm/resnet18"},
        {"encoder": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 72 * 72, 4))},
        {"stem": "small"},
        {"image_size": 64},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_is_named_is_taken_and_starts_at_random(settings):
    start = prepared(**settings)
    assert (start.encoder.pretrained in ("", "module"), start.start_reason) == (True, "")


def test_small_images_and_machines_without_the_package_start_at_random(monkeypatch):
    small = prepared(PHOTOS[..., :32, :32])
    assert (small.encoder.name, small.encoder.pretrained, small.encoder.image_size) == (
        "conv4",
        "",
        32,
    )
    monkeypatch.setattr(lite0, "find_spec", lambda name: None)
    assert prepared().encoder.pretrained == ""


def test_a_size_that_is_given_is_taken():
    assert prepared(image_size=72).encoder.image_size == 72
    asked = prepared(PHOTOS[..., :32, :32], method="simclr", pretrained="lite0")
    assert (asked.encoder.name, asked.encoder.image_size) == (LITE0, 128)
    assert (
        prepared(PHOTOS[..., :32, :32], pretrained="lite0", image_size=32).encoder.image_size == 32
    )


def test_the_first_screen_and_the_folder_say_how_a_file_fits(tmp_path):
    from torchvision.models import resnet18

    weights = resnet18().state_dict()
    del weights["layer4.1.bn2.bias"]
    torch.save(weights, tmp_path / "weights.pth")
    screen = io.StringIO()
    settings = TrainSettings(
        encoder="resnet18", pretrained=str(tmp_path / "weights.pth"), allow_missing=True, out=str(tmp_path / "run"),
        image_size=32, steps=1, batch_size=8, num_evals=0, device="cpu",
    )  # fmt: skip
    run_training((PHOTOS, LABELS), settings, "simclr", None, Console(file=screen, width=400))
    first = screen.getvalue()
    assert "119 tensors matched" in first
    assert "layer4.1.bn2.bias" in first
    record = json.loads((tmp_path / "run" / "environment.json").read_text())["pretrained"]
    assert (record["matched"], record["missing"]) == (119, ["layer4.1.bn2.bias"])
    assert json.loads((tmp_path / "run" / "encoder.json").read_text())["allow_missing"] is True


def test_allow_missing_belongs_to_a_file():
    with pytest.raises(LikewiseError, match="--allow-missing"):
        prepared(pretrained="lite0", allow_missing=True)


def test_none_on_the_command_line_is_not_the_default():
    assert parse(TrainSettings, ["--pretrained", "none"], "train").pretrained == "none"


def test_a_start_that_is_none_contradicts_no_other():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 72 * 72, 4))
    assert prepared(encoder=module, pretrained="none").encoder.pretrained == "module"
