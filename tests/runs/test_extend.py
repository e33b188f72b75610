"""A finished run is made longer, and it is recorded what that means for its schedule."""

import numpy as np
import pytest
import torch

import likewise as lw
from likewise.json_files import read_json
from likewise.methods import Recipe

CONSTANT = Recipe(learning_rate=0.1, warm_up=0.0, schedule="constant")
COSINE = Recipe(learning_rate=0.1, warm_up=0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    path = tmp_path_factory.mktemp("data") / "images.npy"
    np.save(path, images)
    return str(path)


def train(data, out, **settings):
    given = {
        "encoder": "conv4-half",
        "batch_size": 8,
        "num_evals": 0,
        "device": "cpu",
        "loggers": (),
        **settings,
    }
    return lw.train(data, method="simclr", labels="none", out=out, **given)


def same(one, other):
    one, other = one.encoder.state_dict(), other.encoder.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize(
    ("recipe", "equal"), [(CONSTANT, True), (COSINE, False)], ids=["constant", "cosine"]
)
def test_an_extended_run_equals_a_longer_one_where_the_schedule_allows_it(
    recipe, equal, data, tmp_path
):
    longer = train(data, tmp_path / "longer", recipe=recipe, steps=7)
    extended = train(data, tmp_path / "extended", recipe=recipe, steps=3)
    assert read_json(extended.folder.config)["extensions"] == []
    extended = train(data, tmp_path / "extended", recipe=recipe, steps=7, resume=True)
    assert same(extended, longer) == equal
    assert read_json(extended.folder.config)["extensions"] == [
        {"from_steps": 3, "to_steps": 7, "same_learning_rates": equal}
    ]
    assert "Extended from 3 to 7 steps" in extended.folder.log.read_text()


def test_each_extension_is_recorded_and_epochs_extend_too(data, tmp_path):
    for settings in ({"epochs": 1}, {"epochs": 2, "resume": True}, {"steps": 20, "resume": True}):
        run = train(data, tmp_path / "a", recipe=CONSTANT, **settings)
    config = read_json(run.folder.config)
    first, second = ((entry["from_steps"], entry["to_steps"]) for entry in config["extensions"])
    assert first[1] == 2 * first[0] == second[0]
    assert second[1] == config["steps"] == 20
    again = train(data, tmp_path / "a", recipe=CONSTANT, steps=20, resume=True)
    assert read_json(again.folder.config) == config


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"steps": 2}, "--steps 3"),
        ({"steps": 9, "seed": 1}, "but seed was 0 and is now 1"),
        ({"steps": 9, "batch_size": 9}, r"but batch_size was \d+ and is now 9\."),
    ],
)
def test_what_is_shorter_or_otherwise_changed_is_refused(settings, named, data, tmp_path):
    run = train(data, tmp_path / "a", steps=3)
    before = run.folder.config.read_text()
    with pytest.raises(lw.LikewiseError, match=named):
        train(data, tmp_path / "a", resume=True, **settings)
    assert run.folder.config.read_text() == before


def test_rates_of_the_constant_schedule():
    recipe = Recipe("sgd", 0.4, warm_up=0.1, schedule="constant")
    rates = [recipe.rate_at(step, 100, 20, 256) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[0] > 0
    assert set(rates[10:]) == {0.4}
