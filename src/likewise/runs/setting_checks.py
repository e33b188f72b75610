"""Ranges of a run's settings, checked before anything is opened or written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from likewise.adaptation import Adaptation
from likewise.errors import LikewiseError
from likewise.field_types import ABOVE_ZERO, INNER_SHARE, SEED, SHARE, SIZE, Range
from likewise.methods import Method, Recipe, method_name
from likewise.runs.settings import TrainSettings

RANGES: Mapping[str, Range] = {
    "image_size": Range(8, 16_384),
    "frames": Range(1, 16_384),
    "frame_rate": ABOVE_ZERO,
    "epochs": ABOVE_ZERO,
    "steps": SIZE,
    "microbatch": Range(1),
    "accumulate_grad_batches": Range(1),
    "clip_grad_norm": ABOVE_ZERO,
    "model_ema_decay": INNER_SHARE,
    "encoder_lr_scale": ABOVE_ZERO,
    "devices": Range(0),
    "num_workers": Range(-1),
    "shuffle_buffer": Range(1),
    "num_canonical_nodes": Range(1),
    "max_bad": SHARE,
    "num_evals": Range(0),
    "save_every": Range(1),
    "caption_noise": SHARE,
    "seconds": ABOVE_ZERO,
    "val_fraction": INNER_SHARE,
    "test_fraction": INNER_SHARE,
    "imbalance_ratio": Range(1),
    "imbalance_rare": SHARE,
    "label_noise": Range(0, 1, includes_high=False),
    "seed": SEED,
}
"""of the settings that are numbers"""

RECIPE_RANGES: Mapping[str, Range] = {
    "learning_rate": Range(0),
    "momentum": Range(0, 1, includes_high=False),
    "weight_decay": Range(0),
    "warm_up": SHARE,
    "start_factor": Range(0),
    "end_factor": Range(0),
}
"""of the numbers of a recipe"""

METHOD_RANGES: Mapping[str, Range] = {
    **dict.fromkeys(
        ("temperature", "student_temperature", "teacher_temperature", "support_temperature"),
        ABOVE_ZERO,
    ),
    **dict.fromkeys(("bandwidth", "epsilon", "sharpening"), ABOVE_ZERO),
    **dict.fromkeys(
        ("dim", "hidden", "local_dim", "bottleneck", "prototypes", "positives"), Range(1)
    ),
    **dict.fromkeys(("classes_per_batch", "images_per_class", "map_size", "iterations"), Range(1)),
    **dict.fromkeys(("momentum", "threshold", "graph_threshold", "alpha", "support_share"), SHARE),
    **dict.fromkeys(("label_smoothing", "smoothing"), Range(0, 1, includes_high=False)),
}
"""of a method's numbers that may not be everything from 0"""
AT_LEAST_0 = Range(0)
"""of its other numbers; none of them may be negative"""


def check_settings(settings: TrainSettings) -> None:
    """Refuse settings that contradict each other or lie outside their range.

    Raises:
        LikewiseError: with the option's name.
    """
    if settings.resume and settings.overwrite:
        raise LikewiseError(
            "--resume continues a run and --overwrite deletes it; give one of them."
        )
    if settings.allow_missing and settings.pretrained_weights in ("", "lite0", "timm"):
        raise LikewiseError(
            f"--allow-missing was given with --pretrained {settings.pretrained or 'none'}; it belongs to a file of "
            f"weights: --pretrained path/to/weights.pth --allow-missing."
        )
    if settings.pretrained_weights and settings.from_run:
        raise LikewiseError("--pretrained and --from both name a start; give one of them.")
    if settings.model_ema_decay is not None and settings.on_collapse != "warn":
        raise LikewiseError(
            f"--on-collapse {settings.on_collapse} restores networks, of which no average of the weights is kept: "
            f"leave out --model-ema-decay, or give --on-collapse warn."
        )
    if settings.adapt is not None:
        Adaptation.parse(settings.adapt)
    for name, allowed in RANGES.items():
        value = getattr(settings, name)
        if isinstance(value, int | float):
            _require(f"--{name.replace('_', '-')}", value, allowed)


FULLY_SHARDED = (
    "barlow-twins", "byol", "cacr", "comatch", "cross-entropy", "fixmatch", "isd", "moco-v2", "paws", "simclr",
    "simsiam", "suncet", "supcon", "swav", "swav-suncet", "y-aware",
)  # fmt: skip
"""Methods whose runs with weights that are cut among processes were shown to equal those of one process."""


def check_fully_sharded(settings: TrainSettings, method: Method) -> None:
    """Refuse what ``--strategy fsdp`` cannot do.

    Raises:
        LikewiseError: with the option, or the method's name.
    """
    name = method_name(method)
    if name not in FULLY_SHARDED:
        raise LikewiseError(
            f"--strategy fsdp was given with {name}; it is for {', '.join(FULLY_SHARDED)}. Leave --strategy out: with "
            f"ddp every device holds all weights."
        )
    refused = {
        "--compile on": settings.compile == "on",
        "--precision 16": settings.precision == "16",
        "--microbatch auto": settings.microbatch == "auto",
        f"--adapt {settings.adapt}": settings.adapt is not None,
        f"--on-collapse {settings.on_collapse}": settings.on_collapse != "warn",
    }
    given = [option for option, is_given in refused.items() if is_given]
    if given:
        raise LikewiseError(
            f"--strategy fsdp was given with {' and '.join(given)}; leave out one or the other."
        )


def check_recipe(recipe: Recipe) -> None:
    """Refuse a recipe with a number outside its range, and Nesterov's momentum where there is none.

    Raises:
        LikewiseError: with the option's name.
    """
    for name, allowed in RECIPE_RANGES.items():
        _require(f"--recipe.{name.replace('_', '-')}", getattr(recipe, name), allowed)
    if recipe.nesterov and (recipe.optimizer != "sgd" or recipe.momentum == 0):
        raise LikewiseError(
            f"--recipe.nesterov was given with --recipe.optimizer {recipe.optimizer} and --recipe.momentum "
            f"{recipe.momentum}; it belongs to sgd with a momentum above 0: give --recipe.optimizer sgd and "
            f"--recipe.momentum 0.9, or --recipe.no-nesterov instead."
        )


def check_method(method: Method) -> None:
    """Refuse a method with a number outside its range; none may be negative, infinite or NaN.

    A queue may be empty only where the method can do without one.

    Raises:
        LikewiseError: with the option's name.
    """
    for field in dataclasses.fields(method):
        value = getattr(method, field.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            allowed = METHOD_RANGES.get(field.name, AT_LEAST_0)
            if field.name == "queue" and field.default:
                allowed = Range(1)
            _require(f"--method.{field.name.replace('_', '-')}", value, allowed)


def _require(option: str, value: float, allowed: Range) -> None:
    if value not in allowed:
        raise LikewiseError(f"{option} {value} was given; {allowed.refusal(value)}")
