"""Types and ranges of what `likewise.train` and its like are given."""

from pathlib import Path

import numpy as np
import pytest
import torch

import likewise as lw
from likewise.errors import LikewiseError
from likewise.field_types import with_checked_types
from likewise.methods import METHODS, Recipe, SimCLR
from likewise.runs.setting_checks import RANGES, check_method, check_recipe
from likewise.runs.settings import TrainSettings


@pytest.fixture(scope="module")
def data():
    return torch.zeros(24, 3, 8, 8, dtype=torch.uint8), torch.arange(24) % 2


@pytest.mark.parametrize(
    "given",
    [
        {"steps": "2"},
        {"steps": 2.0},
        {"steps": True},
        {"seed": "a"},
        {"resume": "yes"},
        {"stem": "big"},
        {"microbatch": "all"},
        {"loggers": "csv"},
        {"loggers": ["csv", 3]},
        {"region": (0, 0, 1)},
        {"device": torch.device("meta")},
        {"out": 3},
    ],
)
def test_a_value_of_another_type_names_its_setting(given, data):
    ((name, value),) = given.items()
    with pytest.raises(LikewiseError) as caught:
        lw.prepare(data, **given)
    assert f"{name}={value!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "meaning"),
    [
        ("device", torch.device("cpu"), "cpu"),
        ("steps", np.int64(3), 3),
        ("epochs", np.float32(0.5), 0.5),
        ("loggers", ["csv"], ("csv",)),
        ("region", [0, 0, 1, 1], (0, 0, 1, 1)),
        ("out", Path("a"), "a"),
        ("frames", None, None),
    ],
)
def test_what_stands_for_a_type_becomes_it(name, given, meaning):
    value = getattr(with_checked_types(TrainSettings(**{name: given})), name)
    assert value == meaning and type(value) is type(meaning)


@pytest.mark.parametrize("name", RANGES)
def test_a_number_outside_its_range_names_its_option(name, data):
    with pytest.raises(LikewiseError, match=f"--{name.replace('_', '-')} .*-2"):
        lw.prepare(data, **{name: -2})


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("simclr", "temperature", 0.0),
        ("simclr", "hidden", 0),
        ("moco-v2", "queue", 0),
        ("moco-v2", "momentum", 1.5),
        ("swav", "epsilon", 0.0),
        ("cross-entropy", "label_smoothing", 1.0),
        ("suncet", "images_per_class", 0),
    ],
)
def test_a_number_of_a_method_outside_its_range_names_its_option(method, name, value, data):
    with pytest.raises(LikewiseError, match=f"--method.{name.replace('_', '-')} {value}"):
        lw.prepare(data, method=METHODS[method](**{name: value}))


@pytest.mark.parametrize(
    "recipe", [Recipe("lars", nesterov=True), Recipe("sgd", momentum=0.0, nesterov=True)]
)
def test_nesterovs_momentum_where_there_is_none_is_refused(recipe, data, tmp_path):
    with pytest.raises(LikewiseError, match=r"--recipe\.nesterov.*--recipe\.optimizer sgd"):
        lw.train(data, recipe=recipe, out=str(tmp_path), device="cpu")


def test_a_recipe_for_a_loop_of_ones_own_is_told_where_it_belongs(data):
    with pytest.raises(LikewiseError, match=r"recipe belongs to likewise\.train"):
        lw.prepare(data, recipe=Recipe())


def test_every_method_and_preset_lies_within_the_ranges():
    for kind in METHODS.values():
        check_method(kind())
        for name, preset in kind.card.presets.items():
            check_method(kind.preset(name))
            check_recipe(preset.recipe)


@pytest.mark.parametrize(
    ("method", "name", "owner"),
    [
        ("auto", "learning_rate", "Recipe"),
        ("auto", "temperature", "SimCLR"),
        ("moco-v2", "queue", "MoCoV2"),
    ],
)
def test_a_setting_of_a_method_or_a_recipe_is_told_where_it_belongs(method, name, owner, data):
    with pytest.raises(LikewiseError, match=rf"{owner}\({name}="):
        lw.prepare(data, method=method, **{name: 1})


def test_an_augmentation_is_told_that_it_is_called_views(data):
    with pytest.raises(LikewiseError, match="views="):
        lw.prepare(data, augment=lambda image: image)


def test_no_number_is_no_value(data):
    with pytest.raises(LikewiseError, match=r"--epochs.*nan"):
        lw.prepare(data, epochs=float("nan"))


def test_every_method_fits_its_own_annotations():
    for kind in METHODS.values():
        assert with_checked_types(kind()) == kind()


def test_a_class_of_a_method_is_its_default(data):
    assert lw.prepare(data, method=SimCLR).method == lw.prepare(data, method="simclr").method


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"method": 3}, "method=3"),
        ({"method": SimCLR(temperature="a")}, "temperature='a'"),
        ({"recipe": "adamw"}, "recipe='adamw'"),
        ({"recipe": {"optimizer": "adamw"}}, "recipe="),
        ({"recipe": Recipe(learning_rate="1")}, "learning_rate='1'"),
        ({"encoder": "./typo"}, "encoder='./typo'"),
        ({"encoder": Path("typo")}, "encoder='typo'"),
        ({"labels": np.arange(24)}, r"labels=.*ndarray"),
        ({"callbacks": [lw.EarlyStopping("knn20_top1", 1)], "num_evals": 0}, "num_evals=0"),
    ],
)
def test_an_object_that_does_not_fit_is_named(given, named, data, tmp_path):
    with pytest.raises(LikewiseError, match=named):
        lw.train(data, out=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("runs", ["runs/a", Path("runs/a"), [3, 4]])
def test_runs_to_compare_are_a_list(runs, tmp_path):
    with pytest.raises(LikewiseError, match=r"runs=|^3"):
        lw.compare(runs, tmp_path / "page.html")


def test_a_run_is_loaded_by_its_path():
    with pytest.raises(LikewiseError, match="3"):
        lw.load(3)
