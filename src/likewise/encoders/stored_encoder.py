"""An encoder's two files in a run's folder: its settings and its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from likewise.encoders.build import build_encoder
from likewise.encoders.encoder import Encoder
from likewise.encoders.encoder_settings import SETTINGS, WEIGHTS, EncoderSettings
from likewise.encoders.from_module import MODULE, network_of
from likewise.encoders.stored_answer import ANSWER, answer_of, check_answer
from likewise.errors import LikewiseError
from likewise.field_types import record_of, typed_arguments
from likewise.json_files import read_json, reading, write_json
from likewise.tensor_files import load_tensors, save_tensors
from likewise.torch_defaults import torch_defaults


@typed_arguments()
def save_encoder(encoder: Encoder, settings: EncoderSettings, folder: Path) -> None:
    """Write ``encoder.safetensors`` and ``encoder.json`` into a folder."""
    save_tensors(folder / WEIGHTS, encoder.state_dict())
    content = settings.to_json()
    if settings.name.startswith(MODULE):
        content[ANSWER] = answer_of(encoder, settings.image_size)
    write_json(folder / SETTINGS, content)


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
        content = read_json(folder / SETTINGS)
        content.pop(ANSWER, None)
        settings = record_of(EncoderSettings, content)
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
        LikewiseError: the folder holds no finished run, the weights do not fit the module, or a module that was built
            from its name gives other features than in training. One that was passed and does so is warned of.
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
    _check_answer(encoder.eval(), settings, Path(path))
    return encoder, settings


def _check_answer(encoder: Encoder, settings: EncoderSettings, folder: Path) -> None:
    """Compare what a user's module gives with what is stored; older runs have nothing stored."""
    with reading(folder / SETTINGS):
        stored = read_json(folder / SETTINGS).get(ANSWER)
        answer = [float(value) for value in stored] if stored else []
    if answer:
        given = settings.module is not None
        check_answer(encoder, answer, settings.image_size, settings.name, given)


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
