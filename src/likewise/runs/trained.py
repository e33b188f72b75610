"""The networks of a finished run, from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from likewise.adaptation import Adaptation
from likewise.adaptation.learning_parameters import apply_adaptation
from likewise.adaptation.lora import merge_adapted
from likewise.encoders import EncoderSettings, build_encoder, with_module
from likewise.encoders.build import encoder_settings_of
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Method, Nets
from likewise.run_folder import RunFolder, read_json
from likewise.runs.settings import from_json


class TrainedRun(NamedTuple):
    """What a finished run learned."""

    method: Method
    nets: Nets
    """in eval mode; without a teacher that came from another run"""
    encoder: EncoderSettings
    class_names: tuple[str, ...]


def load_trained(path: str | Path, module: nn.Module | None = None) -> TrainedRun:
    """All networks of a finished run, from its folder; `likewise.encoders.load_encoder` loads the encoder alone.

    Args:
        path: the run's folder.
        module: of the shape of the encoder, where that was a user's and cannot be built from its name.

    Raises:
        LikewiseError: the folder holds no run, one that was stopped before its end, or one of an unknown method.
    """
    run = RunFolder(path)
    settings = with_module(encoder_settings_of(run.require().path), module)
    if not run.checkpoint.exists():
        raise LikewiseError(f"The run {run.path} has lost {run.checkpoint}, which alone holds all its networks.")
    method = method_of(run)
    class_names = tuple(entry["name"] for entry in read_json(run.data)["classes"])
    encoder = build_encoder(settings, fetch=False)
    if adapt := read_json(run.config)["settings"].get("adapt"):
        apply_adaptation(encoder, Adaptation.parse(adapt))
    nets = method.build(encoder, len(class_names))
    checkpoint = torch.load(run.checkpoint, map_location="cpu", weights_only=True)
    weights = {name: checkpoint["learner"][f"nets.{name}"] for name in nets.state_dict()}
    nets.load_state_dict({**weights, **checkpoint.get("model_ema", {})})
    if run.restored.exists():
        nets.load_state_dict(torch.load(run.restored, map_location="cpu", weights_only=True)["nets"])
    merge_adapted(nets)
    return TrainedRun(method, nets.eval(), settings, class_names)


def method_of(run: RunFolder) -> Method:
    """The method of a run with its settings.

    Raises:
        LikewiseError: the folder holds no run, or one of a method that likewise does not know.
    """
    recorded = read_json(run.require().config)["method"]
    if recorded["name"] not in METHODS:
        raise LikewiseError(
            f"The run {run.path} was trained by {recorded['name']}, which is none of likewise's methods, so its "
            f"networks cannot be built here."
        )
    return from_json(METHODS[recorded["name"]], recorded["settings"])
