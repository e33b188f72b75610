"""An encoder's two files in a run's folder: its settings and its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from likewise.encoders.build import build_encoder
from likewise.encoders.encoder import Encoder
from likewise.encoders.encoder_settings import SETTINGS, WEIGHTS, EncoderSettings
from likewise.encoders.from_module import MODULE, network_of
from likewise.errors import LikewiseError
from likewise.field_types import record_of, typed_arguments
from likewise.json_files import read_json, reading, write_json
from likewise.tensor_files import load_tensors, save_tensors
from likewise.torch_defaults import torch_defaults


@typed_arguments()
def save_encoder(encoder: Encoder, settings: EncoderSettings, folder: Path) -> None:
    """Write ``encoder.safetensors`` and ``encoder.json`` into a folder."""
    save_tensors(folder / WEIGHTS, encoder.state_dict())
    write_json(folder / SETTINGS, settings.to_json())


def encoder_settings_of(folder: str | Path) -> EncoderSettings:
    """The settings of the encoder in a finished run's folder.

    Raises:
        LikewiseError: the folder is no run, or the run was stopped before its end.
    """
    folder = Path(folder)
    if not ((folder / WEIGHTS).is_file() and (folder / SETTINGS).is_file()):
        raise LikewiseError(
            f"{folder} has no {WEIGHTS}: it is not a run, or the run was stopped before its end. Continue a stopped "
            f"run with --resume."
        )
    with reading(folder / SETTINGS):
        settings = record_of(EncoderSettings, read_json(folder / SETTINGS))
        is_possible = settings.image_size > 0 and settings.frames > 0
        if not is_possible or len(settings.mean) != len(settings.std):
            raise ValueError("image_size, frames, mean or std has an impossible value")
        return settings


@torch_defaults()
@typed_arguments()
def load_encoder(
    path: str | Path, module: torch.nn.Module | None = None
) -> tuple[Encoder, EncoderSettings]:
    """The encoder of a run's folder, in eval mode, and its settings.

    Args:
        path: the run's folder.
        module: of the shape that the run was trained with, for a user's module that cannot be rebuilt from its name.

    Raises:
        LikewiseError: the folder holds no finished run, or the weights do not fit the module.
    """
    settings = with_module(encoder_settings_of(path), module)
    encoder = build_encoder(settings, fetch=False)
    try:
        encoder.load_state_dict(load_tensors(Path(path) / WEIGHTS))
    except RuntimeError as error:
        users = settings.name.startswith(MODULE)
        remedy = (
            " Pass a module of the same shape: likewise.load(path, encoder=module)."
            if users
            else ""
        )
        raise LikewiseError(
            f"The weights in {path} do not fit the encoder {settings.name}: {error}{remedy}"
        ) from error
    encoder.settings = settings
    return encoder.eval(), settings


@typed_arguments()
def with_module(settings: EncoderSettings, module: torch.nn.Module | None) -> EncoderSettings:
    """The settings of a stored encoder with the user's module that copies of it are made from.

    Raises:
        LikewiseError: the encoder was none of the user's.
    """
    if settings.name.startswith(MODULE):
        # The module may be in any state: it gives the shape, and is no pretrained start.
        return replace(
            settings, module=None if module is None else network_of(module), pretrained=""
        )
    if module is not None:
        raise LikewiseError(
            f"The encoder of this run is {settings.name}, which is built by name. Leave encoder= out."
        )
    return settings
