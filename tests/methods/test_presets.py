"""Every method's published runs: there, sourced, of the right types, and able to make a step."""

import dataclasses
import json
import re
import typing

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from likewise.errors import LikewiseError
from likewise.methods import METHODS, Recipe, with_view_size
from likewise.methods.cacr import CACR
from likewise.methods.card import PRESET_NAMES
from likewise.methods.isd import ISD
from likewise.methods.simclr import SimCLR
from likewise.report.describe import setting_docs
from likewise.runs.defaults import defaults_of
from likewise.runs.settings import TrainSettings, from_json, to_json
from likewise.training.manual_backward import ManualBackward
from methods.fixtures import SIZE, loader, nets_of, progress

ALL = [(name, preset) for name, kind in sorted(METHODS.items()) for preset in kind.card.presets]
CITED_LINES = re.compile(
    r"[\w./-]+\.\w+ lines \d[^;:]* of https://github\.com/[\w.-]+/[\w.-]+ \(commit [0-9a-f]{7}\)"
)
"""a file, its lines, the repository and the commit in which they were read"""
SMALLER = {
    "queue": 16,
    "hidden": 16,
    "dim": 8,
    "prototypes": 6,
    "classes_per_batch": 4,
    "images_per_class": 2,
}
SMALLER |= {"text_width": 16, "text_layers": 2, "vocabulary": 64}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_has_its_own_presets_for_three_sizes(name):
    kind = METHODS[name]
    assert set(PRESET_NAMES) <= set(kind.card.presets)
    assert kind.card.choose_when
    assert not kind.card.choose_when.endswith(".")
    parents = [parent.card.presets for parent in kind.__mro__[1:] if hasattr(parent, "card")]
    assert all(kind.card.presets is not theirs for theirs in parents)


@pytest.mark.parametrize(("name", "preset"), ALL)
def test_a_preset_says_who_ran_it(name, preset):
    source = METHODS[name].card.presets[preset].source
    assert source.startswith("ours: ") or "https://" in source
    assert not source.endswith(".")
    if not source.startswith("ours: "):
        assert len(CITED_LINES.findall(source)) == source.count("https://github.com/")


@pytest.mark.parametrize(("name", "preset"), ALL)
def test_its_settings_are_the_methods_and_of_their_types(name, preset):
    kind, chosen = METHODS[name], METHODS[name].card.presets[preset]
    hints = typing.get_type_hints(kind)
    defaults = kind()
    for setting, value in chosen.settings.items():
        assert setting in setting_docs(kind), f"{name} has no setting {setting}"
        alternatives = typing.get_args(hints[setting]) or (hints[setting],)
        assert type(value) in alternatives or typing.get_origin(hints[setting]) is typing.Literal
        assert value != getattr(defaults, setting), f"{setting} is the default anyway"
    assert isinstance(chosen.recipe, Recipe)
    assert 0 < chosen.recipe.learning_rate <= 4
    assert 0 <= chosen.recipe.weight_decay <= 0.2
    assert 0 <= chosen.recipe.warm_up < 1
    assert 64 <= chosen.batch_size <= 32768
    assert 10 <= chosen.epochs <= 10_000
    assert chosen.image_size == (224 if preset.startswith("imagenet") else None)
    assert from_json(kind, json.loads(json.dumps(to_json(kind.preset(preset))))) == kind.preset(
        preset
    )


@pytest.mark.parametrize(("name", "preset"), ALL)
def test_it_makes_a_finite_step(name, preset):
    """As it is but for widths and lengths, which tiny data cannot fill."""
    given = METHODS[name].preset(preset)
    settings = {field.name for field in dataclasses.fields(given)}
    smaller = {
        key: value for key, value in SMALLER.items() if key in settings and getattr(given, key)
    }
    views = {
        key: dataclasses.replace(getattr(given, key), size=8)
        for key in settings & {"small_views"}
        if getattr(given, key).size
    }
    rule = with_view_size(dataclasses.replace(given, **smaller, **views), SIZE)
    nets = nets_of(rule)
    batch = loader(rule).batch(0)
    own = rule.before_step(
        nets, batch, progress(), ManualBackward(Fabric(accelerator="cpu", devices=1), nets)
    )
    step = rule.step(nets, batch, progress())
    step.loss.backward()
    assert all(torch.isfinite(each.loss) for each in (*own.values(), step))
    assert all(torch.isfinite(p.grad).all() for p in nets.parameters() if p.grad is not None)
    recipe = METHODS[name].card.presets[preset].recipe
    assert recipe.rate_at(0, 100, 10, 256) > 0


def test_what_is_looked_up_is_what_the_authors_scripts_set():
    """Read again in the scripts that the sources name, not in the table."""
    simclr = SimCLR.card.presets["imagenet"]
    assert simclr.recipe.learning_rate * simclr.batch_size / 256 == pytest.approx(4.8)
    assert SimCLR.preset("small").temperature == 0.5
    suncet = METHODS["suncet"].card.presets["imagenet"]
    assert suncet.batch_size == 64 * 44
    assert suncet.recipe.learning_rate * suncet.batch_size / 256 == pytest.approx(4.8)
    assert suncet.settings["supervised_until"] * suncet.epochs == 250
    # 2 images of the same 20 classes on each of 64 GPUs, and apex's LARC over all parameters.
    for name in ("suncet", "swav-suncet"):
        chosen = METHODS[name].card.presets["imagenet"]
        assert (chosen.settings["classes_per_batch"], chosen.settings["images_per_class"]) == (
            20,
            2 * 64,
        )
        assert not chosen.recipe.exclude_bias_and_norm
    assert suncet.recipe.rate_at(0, 100_000, 400, 2816) == pytest.approx(0.6, rel=0.01)
    swav = METHODS["swav"].card.presets["imagenet"]
    assert swav.recipe.peak_rate(4096) == pytest.approx(4.8)
    assert swav.recipe.rate_at(0, 250_000, 312, 4096) == pytest.approx(0.3, rel=0.01)
    assert swav.recipe.rate_at(249_999, 250_000, 312, 4096) == pytest.approx(0.0048, rel=0.01)
    baseline = METHODS["fixmatch"].card.presets["comatch-baseline"]
    assert baseline.epochs * 50_000 / baseline.batch_size == pytest.approx(1024 * 1024, rel=0.01)
    paws = METHODS["paws"].card.presets["imagenet"]
    assert paws.recipe.rate_at(0, 100_000, 312, 4096) == pytest.approx(0.3, rel=0.01)
    assert paws.recipe.rate_at(99_999, 100_000, 312, 4096) == pytest.approx(0.064, rel=0.01)
    assert paws.recipe.learning_rate * paws.batch_size / 256 == pytest.approx(6.4)
    assert METHODS["paws"].preset("imagenet").predictor
    supcon = METHODS["supcon"].card.presets["small"]
    assert supcon.recipe.learning_rate * supcon.batch_size / 256 == pytest.approx(0.5)
    comatch = METHODS["comatch"].card.presets["small"]
    assert comatch.recipe.learning_rate * comatch.batch_size / 256 == pytest.approx(0.03)
    assert comatch.epochs * 50_000 / comatch.batch_size == pytest.approx(512 * 1024, rel=0.01)
    named = ("repulsion_sharpness", "queue", "through_weights")
    found = {
        name: tuple(getattr(CACR.preset(name), setting) for setting in named)
        for name in PRESET_NAMES
    }
    assert found == {
        "small": (0.9, 0, True),
        "middle": (2.0, 0, True),
        "imagenet": (2.0, 65536, False),
    }
    named = ("projector", "student_temperature", "teacher_temperature", "momentum")
    first = ISD.preset("imagenet-resnet18")
    assert tuple(getattr(ISD(), setting) for setting in named) == (True, 0.1, 0.01, 0.99)
    assert tuple(getattr(first, setting) for setting in named) == (False, 0.02, 0.02, 0.999)
    assert first.teacher_views == first.student_views


@pytest.mark.parametrize(
    ("name", "preset", "layers"),
    [
        ("cacr", "imagenet", [nn.Linear, nn.ReLU, nn.Linear]),
        ("suncet", "imagenet", [nn.Linear, nn.ReLU, nn.Linear]),
        ("comatch", "small", [nn.Linear, nn.LeakyReLU, nn.Linear]),
        ("comatch-ema", "imagenet", [nn.Linear, nn.ReLU, nn.Linear]),
    ],
)
def test_heads_are_those_of_the_authors_code(name, preset, layers):
    head = nets_of(METHODS[name].preset(preset)).head
    assert [type(layer) for layer in head] == layers


@pytest.mark.parametrize("name", ["simsiam", "barlow-twins"])
def test_batch_norm_sees_one_view_at_a_time(name):
    rule = with_view_size(METHODS[name](), SIZE)
    nets = nets_of(rule)
    sizes = []
    nets.encoder.register_forward_hook(lambda module, given, made: sizes.append(len(made)))
    batch = loader(rule).batch(0)
    rule.embed(nets, batch, progress())
    assert sizes == [batch.size, batch.size]


def test_a_start_is_the_preset_and_without_one_the_defaults():
    plain = defaults_of("simclr")
    assert (plain.method, plain.recipe, plain.settings) == (
        SimCLR(),
        SimCLR.card.recipe,
        TrainSettings(),
    )
    assert defaults_of("auto") == ("auto", None, TrainSettings())
    ours = SimCLR(temperature=0.3)
    assert defaults_of(ours).method is ours
    start = defaults_of("simclr", "imagenet")
    assert start.method == SimCLR(temperature=0.1, hidden=2048)
    assert start.recipe == SimCLR.card.presets["imagenet"].recipe
    assert start.settings == TrainSettings(
        preset="imagenet", batch_size=4096, epochs=100, image_size=224
    )
    assert defaults_of("simclr", "small").settings == TrainSettings(
        preset="small", batch_size=512, epochs=1000
    )


@pytest.mark.parametrize(
    ("method", "preset", "said"),
    [
        ("simclr", "imagnet", "Did you mean 'imagenet'"),
        ("auto", "small", "--method simclr --preset small"),
        (SimCLR(), "small", "an instance of SimCLR"),
        ("simcrl", "small", "Did you mean 'simclr'"),
    ],
)
def test_what_cannot_be_started_from_is_named(method, preset, said):
    with pytest.raises(LikewiseError, match=said):
        defaults_of(method, preset)
