"""Every public function names the argument that it cannot use: nothing raw comes out, whatever is given."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

import likewise as lw
from data.pictures import photo_folder
from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.data.pixel_source import ArrayPixels
from likewise.errors import LikewiseError
from structure.public_names import public_objects

ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
CHANCE = torch.full((6, 3), 1 / 3)
IDS = torch.arange(6) % 2
IMAGES = torch.randint(
    0, 256, (24, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
DATA = IMAGES, torch.arange(24) % 2
SETTINGS = lw.encoders.choose_encoder("conv4", 8, (0.5,) * 3, (0.5,) * 3)
ENCODER = lw.encoders.build_encoder(SETTINGS)
NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))

ODD = [
    None, "odd", "", -1, 0, math.nan, math.inf, 10**30, 2.5, True, [], [1, "a"], {}, b"x", object(), torch.zeros(0),
    torch.tensor(math.nan), np.array(["a"]), torch.full((6, 4), math.nan), torch.zeros(2, 3, 4, dtype=torch.int64),
]  # fmt: skip

USUAL = {
    **dict.fromkeys("anchors first second z images texts queries keys student teacher prediction target".split(), ROWS),
    **dict.fromkeys("others scores logits bank support queue rows positives embeddings locations".split(), ROWS),
    **dict.fromkeys("probabilities bank_probabilities predictions targets past_means".split(), CHANCE),
    **dict.fromkeys("query_id key_id labels".split(), IDS),
    **dict.fromkeys("width hidden out count length outputs size image_size labelled total".split(), 8),
    **dict.fromkeys("fewest_in_a_class classes patience channels classes_per_batch images_per_class".split(), 2),
    **dict.fromkeys("temperature threshold alpha momentum fraction".split(), 0.5),
    **dict.fromkeys("mean std".split(), (0.5, 0.5, 0.5)),
    **dict.fromkeys("network module nets encoder".split(), NETWORK),
    "scale": 1.0, "start": 1.0, "step": 3, "seed": 0, "name": "simclr", "method": lw.methods.SimCLR(), "data": DATA,
    "settings": SETTINGS, "score": "knn20_top1", "path": "absent", "examples": 24,
}  # fmt: skip
"""What an argument of a name usually is, with which most functions can be called."""

SETS = {"embeddings": ROWS.reshape(2, 3, 4), "log_kernel": torch.zeros(2, 3, 3)}
FRAMES = {
    "prediction": ROWS[:, None],
    "target": ROWS[:, None],
    "valid": torch.ones(6, 1, dtype=torch.bool),
}
SPECIAL = {
    "losses.contrastive_attraction": {"positives": ROWS[:, None]},
    "losses.attraction_weights": {"positives": ROWS[:, None]},
    "losses.cacr": {"z": ROWS.reshape(3, 2, 4)},
    "losses.distribution_alignment": {"filled": torch.ones(6, dtype=torch.bool)},
    "losses.kernel_alignment": SETS,
    "losses.kernel_cross_entropy": SETS,
    "losses.kernel_regression": SETS,
    "losses.masked_l1": FRAMES,
    "losses.r2_score": FRAMES,
    "losses.soft_cross_entropy": {"targets": ROWS.softmax(1)},
    "losses.mil_nce": {"bags": ROWS[:, None]},
    "losses.set_similarity": {
        "locations": ROWS[:, None], "partners": ROWS[:, None], "matched": torch.ones(6, 1, 1, dtype=torch.bool),
    },
    "losses.pair_divergence": {"image_targets": torch.eye(6), "text_targets": torch.eye(6)},
    "losses.soft_nce": {"targets": torch.eye(6)},
    "losses.soft_neighbours": {"temperature": 0.1},
    "losses.swapped_prediction": {"scores": [ROWS, ROWS], "codes": [ROWS.softmax(1), ROWS.softmax(1)]},
    "losses.y_aware_nce": {"similarity": torch.eye(6)},
    "memory.ema_update": {"teacher": NETWORK, "student": NETWORK},
    "memory.make_ema_copy": {"student": NETWORK},
    "heads.auxiliary_heads": {"encoder": ENCODER},
    "encoders.save_encoder": {"encoder": ENCODER, "folder": Path()},
    "encoders.choose_encoder": {"name": "conv4"},
    "encoders.with_module": {"module": None},
    "data.Loader": {"images": InMemoryImages(Pixels(IMAGES, torch.ones(24))), "labels": DATA[1], "batch_size": 8},
    "data.Manifest": {
        "source": "a set", "pixels": ArrayPixels(IMAGES.permute(0, 2, 3, 1).numpy()), "labels": torch.full((24,), -1),
        "splits": np.full(24, "train"), "ids": [str(i) for i in range(24)],
    },
}  # fmt: skip

READING = {
    "train",
    "verify",
    "reproduce",
    "advise",
    "study",
    "evaluate",
    "pack",
    "doctor",
    "compare",
    "prepare",
    "pseudo_label",
}
"""Functions that read data before they look at some of their arguments."""


def subjects():
    """Public functions and classes that a user calls; methods and settings are checked where a run takes them."""
    for name, subject in public_objects():
        is_record = inspect.isclass(subject) and issubclass(
            subject, tuple | lw.methods.Method | LikewiseError
        )
        is_other = "METHODS" in name or name in ("TrainSettings", "methods.Outputs")
        if callable(subject) and not is_record and not is_other:
            yield name, subject


def parameters_of(subject):
    """Its parameters, without those that stand for several."""
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [
        each for each in inspect.signature(subject).parameters.values() if each.kind not in several
    ]


def usual_arguments(name, subject):
    """Arguments with which a call is right, but for those that have a default."""
    known = {**USUAL, **SPECIAL.get(name, {})}
    return {
        each.name: known[each.name] for each in parameters_of(subject) if each.default is each.empty
    }


def raised(subject, arguments):
    """What is raised that is no `LikewiseError`."""
    try:
        subject(**arguments)
    except LikewiseError:
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def raw(name, subject, usual):
    """What each odd value of each argument raises that names nothing."""
    names = [each.name for each in parameters_of(subject)]
    tried = [
        (parameter, value, raised(subject, {**usual, parameter: value}))
        for parameter in names
        for value in ODD
    ]
    return [
        f"{name}({parameter}={value!r:.40}): {error:.120}"
        for parameter, value, error in tried
        if error
    ]


QUICK = {name: subject for name, subject in subjects() if name not in READING}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", QUICK)
def test_no_odd_value_raises_anything_raw(name):
    usual = usual_arguments(name, QUICK[name])
    if "path" not in usual:
        QUICK[name](**usual)  # so that what is refused below is refused for the odd value
    assert raw(name, QUICK[name], usual) == []


READ = {
    "prepare": {"data": DATA, "method": "simclr"},
    "doctor": {"data": DATA, "console": Console(quiet=True)},
    "evaluate": {"encoder": NETWORK, "data": DATA, "image_size": 8, "measures": ["knn"]},
    "pack": {"data": "photos", "out": "shards"},
    "compare": {"runs": ["absent", "b"]},
    "study": {"name": "absent"},
    "reproduce": {"claim": "absent"},
    "advise": {"data": "absent"},
    "verify": {"data": "absent"},
    "train": {"data": "absent"},
    "pseudo_label": {"data": "absent"},
}
"""Calls that end before they train: what is absent is found behind what is odd."""


@pytest.mark.slow
@pytest.mark.parametrize("name", READ)
def test_no_odd_value_raises_anything_raw_where_data_are_read(name, tmp_path):
    photo_folder(tmp_path / "photos", "a/0.png", "b/1.png")
    assert raw(name, getattr(lw, name), READ[name]) == []
