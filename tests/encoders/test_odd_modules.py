"""Modules of users whose weights do not tell all: hooks, arguments, plain lists, wrappers, and layers made late."""

import json
import warnings

import pytest
import torch
from torch import nn

from likewise.encoders import build_encoder, encoder_from_module, load_encoder, save_encoder
from likewise.errors import LikewiseError
from likewise.json_files import write_json
from likewise.run_folder import FORMAT, RunFolder

COLOUR = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


class Active(nn.Module):
    """[B, 3, S, S] -> [B, 6], by an activation that no weight shows."""

    def __init__(self, activation=torch.relu):
        super().__init__()
        self.layer, self.activation = nn.Conv2d(3, 6, 3), activation

    def forward(self, pixels):
        return self.activation(self.layer(pixels)).mean(dim=(2, 3))


class Drawing(Active):
    """Draws in its forward, so that it never gives the same twice."""

    def forward(self, pixels):
        return super().forward(pixels + torch.randn_like(pixels))


class PlainList(Active):
    """Keeps a layer where PyTorch does not find it."""

    def __init__(self):
        super().__init__()
        self.more = [nn.Linear(6, 4)]

    def forward(self, pixels):
        return self.more[0](super().forward(pixels))


class Late(nn.Sequential):
    def __init__(self):
        super().__init__(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(6))


class Spectral(nn.Module):
    """Complex parameters."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(16, 16, dtype=torch.complex64))

    def forward(self, pixels):
        return torch.fft.ifft2(torch.fft.fft2(pixels) * self.filter).abs().mean(dim=(2, 3))


def weight_normed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and much used
        module = Active()
        module.layer = nn.utils.weight_norm(module.layer)
    return module


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    write_json(folder.config, {"format": FORMAT})
    return folder


def stored(module, run):
    encoder, settings = encoder_from_module(module, 16, *COLOUR)
    save_encoder(encoder, settings, run.path)
    return encoder.eval()


def test_a_class_that_gives_other_features_with_the_same_weights_is_refused(run):
    encoder = stored(Active(torch.tanh), run)
    with pytest.raises(LikewiseError, match="encoder=module"):
        load_encoder(run.path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded, _ = load_encoder(run.path, Active(torch.tanh))
    pixels = torch.rand(2, 3, 16, 16)
    assert torch.equal(loaded(pixels), encoder(pixels))
    with pytest.warns(UserWarning, match="Active"):
        load_encoder(run.path, Active())


def test_a_hook_is_missed_where_the_class_is_built_again(run):
    module = Active()
    module.layer.register_forward_hook(lambda layer, given, output: 3 * output)
    stored(module, run)
    with pytest.raises(LikewiseError, match="hooks"):
        load_encoder(run.path)


def test_what_never_gives_the_same_is_loaded_and_a_program_keeps_its_random_numbers(run):
    encoder, settings = encoder_from_module(Drawing(), 16, *COLOUR)
    before = torch.get_rng_state()
    save_encoder(encoder.train(), settings, run.path)
    assert torch.equal(torch.get_rng_state(), before) and encoder.training
    load_encoder(run.path)


def test_a_run_without_stored_features_is_loaded(run):
    stored(Active(torch.tanh), run)
    content = json.loads((run.path / "encoder.json").read_text())
    del content["answer"], content["checksum"]
    write_json(run.path / "encoder.json", content)
    load_encoder(run.path)


def test_weights_that_would_not_be_trained_are_refused():
    with pytest.raises(LikewiseError, match=r"PlainList.*\(4, 6\)"):
        encoder_from_module(PlainList(), 16, *COLOUR)


@pytest.mark.parametrize("kind", [torch.int64, torch.float64, torch.bfloat16])
def test_features_that_no_head_reads_are_refused(kind):
    module = Active(lambda maps: maps.to(kind))
    if kind == torch.int64:
        module.forward = lambda pixels: torch.zeros(len(pixels), 6, dtype=kind)
    with pytest.raises(LikewiseError, match=str(kind).removeprefix("torch.")):
        encoder_from_module(module, 16, *COLOUR)


@pytest.mark.parametrize("make", [Late, weight_normed], ids=["lazy", "weight norm"])
def test_what_cannot_be_copied_before_its_first_pass_is_loaded(run, make):
    encoder = stored(make(), run)
    loaded, _ = load_encoder(run.path, make())
    pixels = torch.rand(2, 3, 16, 16)
    assert torch.equal(loaded(pixels), encoder(pixels))


@pytest.mark.parametrize("make", [weight_normed, Spectral], ids=["weight norm", "complex"])
def test_the_untrained_baseline_shares_no_random_weight(make):
    module = make()
    _, settings = encoder_from_module(module, 16, *COLOUR)
    untrained = build_encoder(settings, fetch=False).network
    for name, given in module.named_parameters():
        assert not torch.equal(untrained.get_parameter(name), given), name
        assert untrained.get_parameter(name).isfinite().all()


def test_data_parallel_is_taken_off(run):
    encoder = stored(nn.DataParallel(Active()), run)
    assert set(encoder.state_dict()) == {
        "mean",
        "std",
        "network.layer.weight",
        "network.layer.bias",
    }
    loaded, _ = load_encoder(run.path)
    pixels = torch.rand(2, 3, 16, 16)
    assert torch.equal(loaded(pixels), encoder(pixels))
    load_encoder(run.path, nn.DataParallel(Active()))


def test_a_compiled_module_is_stored_under_its_own_names(run):
    with pytest.warns(UserWarning, match="compile"):
        encoder = stored(torch.compile(Active(), backend="eager"), run)
    assert set(encoder.state_dict()) == {
        "mean",
        "std",
        "network.layer.weight",
        "network.layer.bias",
    }
    pixels = torch.rand(2, 3, 16, 16)
    for module in (None, Active(), torch.compile(Active(), backend="eager")):
        loaded, _ = load_encoder(run.path, module)
        assert torch.equal(loaded(pixels), encoder(pixels))
