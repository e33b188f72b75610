"""Encoders from their settings, and from a user's module."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch

from likewise.encoders import lite0
from likewise.encoders.checkpoints import load_weights
from likewise.encoders.clips_by_name import build_clip_encoder, reads_clips
from likewise.encoders.encoder import Encoder
from likewise.encoders.encoder_settings import OURS, RUN_START, WEIGHTS, EncoderSettings
from likewise.encoders.from_module import (
    MODULE,
    ModuleEncoder,
    import_path,
    is_compiled,
    network_of,
    rebuilt_module,
    unwrapped,
)
from likewise.encoders.reinitialised import reinitialised
from likewise.encoders.small import SMALL, ConvNet
from likewise.encoders.weight_normed import NINE, NineLayers
from likewise.errors import LikewiseError
from likewise.field_types import SIZE, typed_arguments
from likewise.tensor_files import load_tensors


@typed_arguments(image_size=SIZE)
def encoder_from_module(
    module: torch.nn.Module, image_size: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Encoder, EncoderSettings]:
    """A user's module as an encoder, and the settings by which copies of it are built.

    Args:
        module: from [B, C, S, S] to [B, D] or to a map [B, D, h, w]. It sees pixels normalised by ``mean`` and ``std``,
            unless it is an `Encoder`, which keeps its own: wrap a module that normalises itself as
            ``ModuleEncoder(module, image_size, mean=(0, 0, 0), std=(1, 1, 1))``.
        image_size: side in pixels of the images that it will see.
        mean: of the training images, per channel.
        std: of the training images, per channel.

    Raises:
        LikewiseError: the module cannot read such images, or gives something else.
    """
    if isinstance(module, Encoder):
        if module.channels != len(mean):
            raise LikewiseError(
                f"The encoder {type(module).__name__} reads {module.channels} channels, but these images have "
                f"{len(mean)}."
            )
        encoder = module
        mean = tuple(module.mean.flatten().tolist())
        std = tuple(module.std.flatten().tolist())
    else:
        if is_compiled(module):
            warnings.warn(
                "The encoder was compiled by torch.compile; the module in it is trained, and stored under its own "
                "names. To compile the training step give compile='on' (--compile on).",
                stacklevel=3,
            )
        encoder = ModuleEncoder(unwrapped(module), image_size, mean, std)
    module = network_of(module)
    settings = EncoderSettings(
        MODULE + import_path(module), image_size, mean, std, pretrained="module", module=module
    )
    return encoder, settings


def _from_module(settings: EncoderSettings, as_given: bool) -> Encoder:
    """A copy of a user's module, with the weights that it came with or with new random ones."""
    module = settings.module
    if module is None:
        module = rebuilt_module(settings.name.removeprefix(MODULE))
    if not as_given and not isinstance(module, Encoder):
        # One pass makes what is made at the first one, without which a module cannot be copied.
        ModuleEncoder(module, settings.image_size, settings.mean, settings.std)
    network = copy.deepcopy(module) if as_given else reinitialised(module)
    if isinstance(network, Encoder):
        return network
    return ModuleEncoder(network, settings.image_size, settings.mean, settings.std)


@typed_arguments()
def build_encoder(settings: EncoderSettings, fetch: bool = True) -> Encoder:
    """The encoder that settings describe, with its initial weights.

    Args:
        settings: what to build.
        fetch: load the pretrained weights; otherwise the weights are random, for the untrained baseline.
    """
    origin = settings.pretrained if fetch else ""
    if settings.intermediates and (settings.name in OURS or reads_clips(settings.name)):
        raise LikewiseError(
            f"intermediates={settings.intermediates} needs a network of timm, not {settings.name}."
        )
    if settings.name.startswith(MODULE):
        return _from_module(settings, as_given=origin == "module")
    encoder, network = _named_network(settings, from_timm=origin == "timm")
    if origin.startswith(RUN_START):
        encoder.load_state_dict(load_tensors(Path(origin.removeprefix(RUN_START)) / WEIGHTS))
    elif origin == lite0.LITE0:
        encoder.key_match = lite0.load_lite0(network)
    elif origin not in ("", "timm"):
        encoder.key_match = load_weights(network, origin, settings.allow_missing)
    return encoder


def _named_network(settings: EncoderSettings, from_timm: bool) -> tuple[Encoder, torch.nn.Module]:
    """An encoder, and the network inside it that files of weights are for.

    Args:
        settings: what to build.
        from_timm: with timm's pretrained weights.
    """
    name, mean, std = settings.name, settings.mean, settings.std
    if reads_clips(name):
        clips = build_clip_encoder(name, mean, std)
        return clips, clips.network
    if name in OURS:
        if from_timm:
            raise LikewiseError(
                f"{name} has no published weights. Choose a timm encoder: --encoder timm/resnet18."
            )
        if name in NINE:
            encoder = NineLayers(*NINE[name], mean, std)
        else:
            encoder = ConvNet(SMALL[name], mean, std)
        return encoder, encoder
    from likewise.encoders.from_timm import timm_encoder

    size, small_stem = settings.image_size, settings.small_stem
    intermediates = settings.intermediates
    encoder = timm_encoder(
        name.removeprefix("timm/"), size, small_stem, mean, std, from_timm, intermediates
    )
    return encoder, encoder.network
