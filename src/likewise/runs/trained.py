"""The networks of a finished run, from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import nn

from likewise.adaptation import Adaptation
from likewise.adaptation.learning_parameters import apply_adaptation
from likewise.adaptation.lora import merge_adapted
from likewise.encoders import EncoderSettings, build_encoder, with_module
from likewise.encoders.stored_encoder import encoder_settings_of
from likewise.errors import LikewiseError
from likewise.field_types import with_checked_types
from likewise.json_files import read_json, reading
from likewise.methods import METHODS, Method, Nets
from likewise.run_folder import RunFolder
from likewise.runs.settings import from_json, stored_settings
from likewise.torch_defaults import torch_defaults
from likewise.training.checkpoint import read_torch

TRAIN_AGAIN = "The command that trained the run writes it again, given once more with --resume."


class TrainedRun(NamedTuple):
    """What a finished run learned."""

    method: Method
    nets: Nets
    """in eval mode; without a teacher that came from another run"""
    encoder: EncoderSettings
    class_names: tuple[str, ...]


@torch_defaults()
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
        raise LikewiseError(
            f"The run {run.path} has lost {run.checkpoint}, which alone holds all its networks. Copy it back, or train "
            f"again with another --out."
        )
    method = method_of(run)
    with reading(run.data):
        class_names = tuple(str(entry["name"]) for entry in read_json(run.data)["classes"])
    encoder = build_encoder(settings, fetch=False)
    if adapt := stored_settings(run).adapt:
        apply_adaptation(encoder, Adaptation.parse(adapt))
    nets = method.build(encoder, len(class_names))
    checkpoint = read_torch(run.checkpoint, TRAIN_AGAIN)
    weights = {name: checkpoint["learner"][f"nets.{name}"] for name in nets.state_dict()}
    nets.load_state_dict({**weights, **checkpoint.get("model_ema", {})})
    if run.restored.exists():
        nets.load_state_dict(read_torch(run.restored, TRAIN_AGAIN)["nets"])
    merge_adapted(nets)
    return TrainedRun(method, nets.eval(), settings, class_names)


def method_of(run: RunFolder) -> Method:
    """The method of a run with its settings.

    Raises:
        LikewiseError: the folder holds no run, or one of a method that likewise does not know.
    """
    with reading(run.require().config):
        recorded = read_json(run.config)["method"]
        name = str(recorded["name"])
    if name not in METHODS:
        raise LikewiseError(
            f"The run {run.path} was trained by {name}, which is none of likewise's methods, so its "
            f"networks cannot be built here."
        )
    with reading(run.config):
        return with_checked_types(from_json(METHODS[name], recorded["settings"]))
