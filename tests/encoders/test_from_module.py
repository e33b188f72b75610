"""A user's module as an encoder: its width, its map, its weights on disk and back."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from likewise.encoders import (
    Encoder,
    ModuleEncoder,
    build_encoder,
    encoder_from_module,
    load_encoder,
    save_encoder,
)
from likewise.encoders.from_module import module_warnings
from likewise.errors import LikewiseError
from likewise.json_files import write_json
from likewise.run_folder import FORMAT, RunFolder

GRAY, COLOUR = ((0.3,), (0.2,)), ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


class Pooled(nn.Module):
    """[B, 3, S, S] -> [B, 5]; can be made without arguments."""

    def __init__(self, channels=3, width=5):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.scale = nn.Parameter(torch.randn(4))
        self.last = nn.Linear(4, width)

    def forward(self, pixels):
        return self.last(self.layers(pixels).mean(dim=(2, 3)) * self.scale)


class Stateful(Pooled):
    def get_extra_state(self):
        return {"version": 2}

    def set_extra_state(self, state):
        """Nothing depends on it."""


class Named(nn.Module):
    def forward(self, pixels):
        return {"features": pixels.mean(dim=(2, 3))}


class OneRow(nn.Module):
    """Loses the batch's dimension, which one image does not show."""

    def forward(self, pixels):
        return pixels.mean(dim=(2, 3)).view(1, -1)


class FirstRows(nn.Module):
    """Loses rows, which one and two images do not show."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, pixels):
        return self.layers(pixels)[:5]


class CutOff(Pooled):
    def forward(self, pixels):
        return super().forward(pixels).detach()


class KeepsFeatures(Pooled):
    def forward(self, pixels):
        self.features = super().forward(pixels)
        return self.features


def mapping(channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.Conv2d(6, 7, 3, stride=2, padding=1)
    )


def test_pooled_features_have_the_width_of_a_dry_run():
    module = Pooled().train()
    before = copy.deepcopy(module.state_dict())
    encoder, settings = encoder_from_module(module, 16, *COLOUR)
    assert isinstance(encoder, Encoder) and encoder.width == 5 and encoder.channels == 3
    assert module.training and all(
        torch.equal(module.state_dict()[k], v) for k, v in before.items()
    )
    pixels = torch.rand(2, 3, 16, 16)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in COLOUR)
    encoder.eval()
    assert torch.equal(encoder(pixels), module.eval()((pixels - mean) / std))
    assert settings.name.endswith(":Pooled") and settings.image_size == 16
    with pytest.raises(LikewiseError, match="map"):
        encoder.feature_map(pixels)
    with pytest.raises(LikewiseError, match="stages"):
        encoder.stages()


@pytest.mark.parametrize("channels", [1, 2, 13])
def test_a_map_is_pooled_and_a_sequential_has_stages(channels):
    encoder, _ = encoder_from_module(mapping(channels), 16, (0.5,) * channels, (0.25,) * channels)
    pixels = torch.rand(2, channels, 16, 16)
    maps = encoder.feature_map(pixels)
    assert maps.shape == (2, 7, 8, 8) and encoder.width == 7
    assert torch.allclose(encoder(pixels), maps.mean(dim=(2, 3)))
    assert encoder.stage_widths() == [6, 7]
    pooled, found = encoder.forward_with_maps(pixels)
    assert torch.equal(found[-1], maps) and torch.allclose(pooled, encoder(pixels))


@pytest.mark.parametrize("layers", [Pooled(), mapping()], ids=["features", "map"])
def test_rows_lost_from_a_larger_batch_are_told_at_once(layers):
    encoder = ModuleEncoder(FirstRows(layers), 16, *COLOUR)
    assert len(encoder(torch.rand(5, 3, 16, 16))) == 5
    calls = [
        encoder,
        *([encoder.feature_map, encoder.forward_with_maps] if encoder.has_map else []),
    ]
    for call in calls:
        with pytest.raises(LikewiseError, match=r"FirstRows.*\b5\b.*\b8 images"):
            call(torch.rand(8, 3, 16, 16))


def test_rows_lost_by_a_stage_are_told_at_once():
    encoder = ModuleEncoder(nn.Sequential(FirstRows(mapping()), nn.Identity()), 16, *COLOUR)
    assert len(encoder.stage_maps(torch.rand(5, 3, 16, 16))) == 2
    with pytest.raises(LikewiseError, match=r"Sequential.*\b5\b.*\b8 images"):
        encoder.forward_with_maps(torch.rand(8, 3, 16, 16))


def test_an_exported_graph_takes_any_number_of_images():
    encoder = ModuleEncoder(Pooled(), 16, *COLOUR).eval()
    batch = {0: torch.export.Dim("batch", min=1)}
    exported = torch.export.export(
        encoder, (torch.rand(2, 3, 16, 16),), dynamic_shapes=(batch,), strict=False
    )
    pixels = torch.rand(7, 3, 16, 16)
    assert torch.equal(exported.module()(pixels), encoder(pixels))


def test_copies_have_the_weights_as_given_and_the_baseline_has_new_ones():
    module = Pooled()
    encoder, settings = encoder_from_module(module, 16, *COLOUR)
    start, untrained = build_encoder(settings), build_encoder(settings, fetch=False)
    for name, given in encoder.state_dict().items():
        assert torch.equal(start.state_dict()[name], given)
    changed = {
        n
        for n, given in encoder.named_parameters()
        if not torch.equal(untrained.state_dict()[n], given)
    }
    assert {"network.layers.0.weight", "network.last.weight", "network.scale"} <= changed
    with torch.no_grad():
        start.network.last.weight.zero_()
    assert module.last.weight.abs().sum() > 0


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    write_json(folder.config, {"format": FORMAT})
    return folder


def test_a_class_without_arguments_is_loaded_from_its_name(run):
    encoder, settings = encoder_from_module(Pooled(), 16, *COLOUR)
    save_encoder(encoder, settings, run.path)
    loaded, read = load_encoder(run.path)
    assert read == settings.__class__(**{**settings.to_json(), "pretrained": ""})
    for name, weight in encoder.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)


def test_a_class_with_arguments_asks_for_the_module(run):
    module = Pooled(channels=1, width=9)
    encoder, settings = encoder_from_module(module, 16, *GRAY)
    save_encoder(encoder, settings, run.path)
    with pytest.raises(LikewiseError, match=r"Pooled|encoder=module"):
        load_encoder(run.path)
    loaded, _ = load_encoder(run.path, Pooled(channels=1, width=9))
    assert torch.equal(loaded.network.last.weight, module.last.weight)
    with pytest.raises(LikewiseError, match=r"last\.weight"):
        load_encoder(run.path, Pooled(channels=1, width=3))


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (Named(), "dict"),
        (nn.Flatten(start_dim=0), r"\(768,\)"),
        (Pooled(channels=4), "Pooled"),
        (Pooled().double(), "float64"),
        (Stateful(), "_extra_state"),
        (OneRow(), r"\(1, 6\)"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4).half()), r"float16.*1\.weight"),
        (mapping().to("meta"), "meta"),
        (torch.jit.script(mapping()), "TorchScript"),
    ],
    ids=[
        "dictionary",
        "one vector",
        "channels",
        "double precision",
        "extra state",
        "one row of two",
        "half precision of one layer",
        "no numbers",
        "torchscript",
    ],
)
def test_what_is_no_encoder_is_refused(module, named):
    with pytest.raises(LikewiseError, match=named):
        encoder_from_module(module, 16, *COLOUR)


def test_an_encoder_keeps_its_own_normalisation():
    ours, _ = encoder_from_module(Pooled(), 16, (0.0,) * 3, (1.0,) * 3)
    again, settings = encoder_from_module(ours, 16, *COLOUR)
    assert settings.name.endswith(":Pooled") and settings.module is ours.network
    assert again is ours and settings.mean == (0.0, 0.0, 0.0)
    pixels = torch.rand(1, 3, 16, 16)
    assert torch.equal(build_encoder(settings).eval()(pixels), ours.eval()(pixels))


def test_a_module_that_normalises_itself_is_loaded_as_such(run):
    encoder, settings = encoder_from_module(
        ModuleEncoder(Pooled(), 16, (0.0,) * 3, (1.0,) * 3), 16, *COLOUR
    )
    save_encoder(encoder, settings, run.path)
    pixels = torch.rand(2, 3, 16, 16)
    for module in (None, Pooled(), ModuleEncoder(Pooled(), 16, *COLOUR)):
        loaded, _ = load_encoder(run.path, module)
        assert torch.equal(loaded(pixels), encoder.eval()(pixels))


def test_another_encoder_with_other_channels_is_refused():
    with pytest.raises(LikewiseError, match=r"ModuleEncoder.*\b1\b.*\b3\b"):
        encoder_from_module(ModuleEncoder(Pooled(channels=1), 16, *GRAY), 16, *COLOUR)


def test_a_classifier_and_a_frozen_module_are_told():
    network = resnet18(num_classes=10)
    output = module_warnings(encoder_from_module(network, 32, *COLOUR)[0])
    assert len(output) == 1 and "'fc'" in output[0] and "10 outputs" in output[0]
    network.fc = nn.Identity()
    assert module_warnings(encoder_from_module(network, 32, *COLOUR)[0]) == []
    network.requires_grad_(False)
    assert "frozen" in module_warnings(encoder_from_module(network, 32, *COLOUR)[0])[0]
    assert (
        module_warnings(
            encoder_from_module(nn.Sequential(nn.Flatten(), nn.Linear(768, 5)), 16, *COLOUR)[0]
        )
        == []
    )


def test_a_module_whose_features_are_cut_off_from_its_weights_is_told():
    (said,) = module_warnings(encoder_from_module(CutOff(), 16, *COLOUR)[0])
    assert "detach" in said
    frozen = CutOff().requires_grad_(False)
    (said,) = module_warnings(encoder_from_module(frozen, 16, *COLOUR)[0])
    assert "frozen" in said


def test_a_module_that_keeps_its_features_can_be_copied():
    encoder, _ = encoder_from_module(KeepsFeatures(), 16, *COLOUR)
    assert copy.deepcopy(encoder).width == 5


def test_modules_and_encoders_that_are_made_in_inference_mode_are_not_cut_off():
    module = Pooled()
    with torch.inference_mode():
        made = ModuleEncoder(Pooled(), 16, *COLOUR), ModuleEncoder(module, 16, *COLOUR)
    assert [module_warnings(each) for each in made] == [[], []]


def test_layers_find_their_width_in_the_dry_run():
    encoder, _ = encoder_from_module(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyBatchNorm2d()), 16, *COLOUR
    )
    assert encoder.width == 4 and module_warnings(encoder) == []
