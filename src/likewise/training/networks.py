"""The networks of a run: at its start, with the teacher that they learn from; and those of one that is done."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from likewise.encoders import EncoderSettings, build_encoder, choose_encoder
from likewise.encoders.build import LARGER, RUN_START, encoder_settings_of
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Method, Nets, with_view_size
from likewise.methods.taught import Taught, Teacher
from likewise.randomness import seed_networks
from likewise.run_folder import RunFolder, read_json
from likewise.training.prepare import Prepared
from likewise.training.settings import from_json


class TrainedRun(NamedTuple):
    """What a finished run learned."""

    method: Method
    nets: Nets
    """in eval mode; without a teacher that came from another run"""
    encoder: EncoderSettings
    class_names: tuple[str, ...]


def load_trained(path: str | Path) -> TrainedRun:
    """All networks of a finished run, from its folder; the encoder alone comes by `likewise.encoders.load_encoder`.

    Raises:
        LikewiseError: the folder holds no run, one that was stopped before its end, or one of an unknown method.
    """
    run = RunFolder(path)
    settings = encoder_settings_of(run)
    if not run.checkpoint.exists():
        raise LikewiseError(f"The run {run.path} has lost {run.checkpoint}, which alone holds all its networks.")
    method = method_of(run)
    class_names = tuple(each["name"] for each in read_json(run.data)["classes"])
    nets = method.build(build_encoder(settings, fetch=False), len(class_names))
    stored = torch.load(run.checkpoint, map_location="cpu", weights_only=True)["learner"]
    nets.load_state_dict({name: stored[f"nets.{name}"] for name in nets.state_dict()})
    return TrainedRun(method, nets.eval(), settings, class_names)


def method_of(run: RunFolder) -> Method:
    """The method of a run with its settings.

    Raises:
        LikewiseError: the folder holds no run, or one of a method that likewise does not know.
    """
    kept = read_json(run.require().config)["method"]
    if kept["name"] not in METHODS:
        raise LikewiseError(
            f"The run {run.path} was trained by {kept['name']}, which is none of likewise's methods, so its networks "
            f"cannot be built here."
        )
    return from_json(METHODS[kept["name"]], kept["settings"])


def earlier_stage(prepared: Prepared, run: RunFolder) -> Prepared | None:
    """The run that must be done before this one, in a folder inside its own; None where there is none.

    Raises:
        LikewiseError: the teacher's folder that was given does not do.
    """
    method = prepared.method
    if not isinstance(method, Taught):
        return None
    given = _given_teacher(prepared, method)
    earlier = method.earlier(given.method if given else None)
    if earlier is None:
        return None
    mine = prepared.encoder
    if given:
        encoder = dataclasses.replace(given.encoder, pretrained=f"{RUN_START}{method.teacher}")
    else:
        name = LARGER.get(mine.name, mine.name) if earlier.encoder == "auto" else earlier.encoder
        encoder = choose_encoder(name, mine.image_size, mine.mean, mine.std, frames=mine.frames)
    settings = dataclasses.replace(
        prepared.settings,
        out=str(run.teacher.path),
        encoder=encoder.name,
        stem="auto",
        pretrained=None,
        from_run=method.teacher or None,
    )
    return dataclasses.replace(
        prepared,
        settings=settings,
        method=with_view_size(earlier.method, mine.image_size, mine.frames if mine.frames > 1 else None),
        method_reason="",
        recipe=earlier.method.recipe,
        encoder=encoder,
    )


def build_nets(prepared: Prepared, earlier: Prepared | None = None) -> Nets:
    """A run's networks at their start: a function of the seed, and of the pretrained weights if there are some.

    Args:
        prepared: the run.
        earlier: its `earlier_stage`; the teacher is then what that run starts from, until `take_teacher`.
    """
    seed_networks(prepared.settings.seed, "weights")
    method = prepared.method
    nets = method.build(build_encoder(prepared.encoder), prepared.manifest.classes)
    if not isinstance(method, Taught):
        return nets
    if earlier is not None:
        method.adopt(nets, Teacher(earlier.method, build_nets(earlier)))
    elif (given := _given_teacher(prepared, method)) is not None:
        method.adopt(nets, Teacher(given.method, given.nets))
    return nets


def take_teacher(nets: Nets, run: RunFolder) -> None:
    """Fill the teacher that `build_nets` made with what its run has learned since."""
    nets.teacher.nets.load_state_dict(load_trained(run.path).nets.state_dict())


def what_the_teacher_has_seen(prepared: Prepared) -> str:
    """A warning where the run that is given as the teacher held other images out than this one does; else nothing.

    Where the data bring no test split, the images held out depend on the seed and on the share. Those that the teacher
    was tested on are in its folder's gallery; none of them may be among those that are trained on here.
    """
    method = prepared.method
    if not (isinstance(method, Taught) and method.teacher):
        return ""
    run = RunFolder(method.teacher)
    if not run.gallery.exists() or read_json(run.data)["source"] != prepared.manifest.source:
        return ""
    with np.load(run.gallery) as kept:
        tested = set(kept["ids"].tolist())
    if tested.isdisjoint(prepared.train.manifest.ids):
        return ""
    return (
        f"The teacher in {run.path} held other test images out, so it has seen some of those that it and its student "
        f"are scored on here. Give the same --seed and --test as for that run."
    )


def _given_teacher(prepared: Prepared, method: Taught) -> TrainedRun | None:
    """What the run in the folder that the method names has learned, if it can teach on these images."""
    if not method.teacher:
        return None
    run, mine = RunFolder(method.teacher), prepared.encoder
    method.check(method_of(run))
    taught = load_trained(run.path)
    compared = {
        "colour channels": (taught.encoder.channels, mine.channels),
        "pixels along a side": (taught.encoder.image_size, mine.image_size),
        "classes": (taught.class_names, tuple(prepared.manifest.class_names)),
    }
    unlike = [f"{what}: {_shown(a)} there, {_shown(b)} here" for what, (a, b) in compared.items() if a != b]
    if unlike:
        raise LikewiseError(
            f"The run {run.path} cannot teach on these images ({'; '.join(unlike)}). Give --method.teacher a run on "
            f"the same classes and --image-size, or leave it out: then a teacher is trained first."
        )
    return taught


def _shown(value: int | tuple[str, ...]) -> str:
    if isinstance(value, int):
        return str(value)
    return ", ".join(value[:6]) + (f", ... ({len(value)})" if len(value) > 6 else "") or "none"
