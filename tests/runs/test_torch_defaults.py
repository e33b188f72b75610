"""A program that has changed PyTorch's global defaults trains and embeds as any other, and finds its defaults again."""

import numpy as np
import pytest
import torch

import likewise as lw

SETTINGS = dict(
    method="simclr", encoder="conv4-half", steps=1, batch_size=8, num_evals=0, device="cpu"
)
IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def defaults_are_put_back():
    yield
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


CHANGES = {
    "no gradients": (
        lambda: torch.set_grad_enabled(False),
        lambda: torch.is_grad_enabled() is False,
    ),
    "double": (
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.get_default_dtype() == torch.float64,
    ),
    "another device": (lambda: torch.set_default_device("meta"), lambda: torch.ones(1).is_meta),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_does_not_depend_on_global_defaults(tmp_path, change):
    data = (IMAGES, [0, 1] * 12)
    plain = lw.train(data, out=tmp_path / "plain", **SETTINGS)
    expected = plain.embed(IMAGES).vectors
    set_default, is_kept = CHANGES[change]
    set_default()
    run = lw.train(data, out=tmp_path / "run", **SETTINGS)
    vectors = lw.load(run.folder.path).embed(IMAGES).vectors
    assert is_kept()
    assert torch.equal(vectors, expected)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("temperature", r"methods\.SimCLR\(temperature="),
        ("lr", r"Recipe\(learning_rate="),
        ("step", "'steps'"),
    ],
)
def test_a_setting_in_the_wrong_place_is_shown_the_right_one(name, place):
    with pytest.raises(lw.LikewiseError, match=place):
        lw.train(IMAGES, method="simclr", **{name: 1})
