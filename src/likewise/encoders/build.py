"""From a name to an encoder, and from an encoder to two files and back."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from likewise.data.video.clip_sampling import WHOLE_FRAME, ClipSampling, Region
from likewise.encoders import clip_networks, lite0
from likewise.encoders.checkpoints import has_small_stem, load_weights
from likewise.encoders.clips_by_name import build_clip_encoder, names_for_clips, reads_clips
from likewise.encoders.encoder import Encoder
from likewise.encoders.from_module import (
    MODULE,
    ModuleEncoder,
    import_path,
    network_of,
    rebuilt_module,
    reinitialised,
)
from likewise.encoders.small import SMALL, ConvNet
from likewise.encoders.weight_normed import NINE, NineLayers
from likewise.errors import LikewiseError, did_you_mean
from likewise.field_types import record_of
from likewise.json_files import read_json, reading, write_json
from likewise.tensor_files import load_tensors, save_tensors
from likewise.torch_defaults import torch_defaults

SMALL_IMAGE = 64
"""Up to this side a ResNet gets the 3x3 stride-1 stem; with the usual one, 28 pixels would give a map of 1x1."""

OURS = (*SMALL, *NINE)
"""Names of the library's own image encoders."""

WEIGHTS, SETTINGS = "encoder.safetensors", "encoder.json"
"""Files of a stored encoder."""

RUN_START = "run:"
"""Prefix of ``pretrained`` for a run's folder."""


@dataclass(frozen=True)
class EncoderSettings:
    """Everything needed to rebuild an encoder; stored as JSON next to its weights."""

    name: str
    """``conv4``, ``conv4-half``, ``conv4-double``, ``conv4-wide``, ``conv9``, ``conv9-half``; a timm name such as
    ``timm/resnet18``; ``module:`` and the import path of a user's module"""
    image_size: int
    """side of its square input in pixels"""
    mean: tuple[float, ...]
    """mean of each channel, for pixels in [0, 1]; the encoder subtracts it"""
    std: tuple[float, ...]
    """standard deviation of each channel; the encoder divides by it"""
    small_stem: bool = False
    """whether a ResNet's 7x7 stride-2 stem and max-pool are replaced by a 3x3 stride-1 convolution"""
    pretrained: str = ""
    """initial weights: empty for random ones, ``lite0``, ``timm``, a weights file, ``run:`` and a run's folder, or
    ``module`` for those of a user's module"""
    allow_missing: bool = False
    """whether tensors that the pretrained weights lack may stay random"""
    frames: int = 1
    """frames per input clip; 1 for images"""
    frame_rate: float = 0.0
    """frames per second of the training videos; 0 for images"""
    region: Region = WHOLE_FRAME
    """left, top, right and bottom of the region of each video frame that it sees, as shares of the sides"""
    pixel_range: tuple[float, float] | None = None
    """values of the images' pixels that are 0 and 1 in its input; None: they have 8 bits"""
    intermediates: int = 0
    """how many of a timm network's last intermediate maps (its ``forward_intermediates``) are pooled and follow the
    features; each part then has unit norm"""
    module: torch.nn.Module | None = field(default=None, compare=False, repr=False, metadata={"stored": False})
    """a user's module, whose copies are the encoders; never written to disk, where its import path is in ``name``"""

    def to_json(self) -> dict[str, Any]:
        """Everything but the module itself."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.metadata.get("stored", True)}

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return len(self.mean)

    @property
    def clip_sampling(self) -> ClipSampling | None:
        """Frames and frame rate of its clips; None for images."""
        return ClipSampling(self.frames, self.frame_rate) if self.frame_rate > 0 else None


def choose_encoder(
    name: str,
    image_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    stem: str = "auto",
    pretrained: str = "",
    frames: int = 1,
    allow_missing: bool = False,
) -> EncoderSettings:
    """Settings of an encoder by name; ``auto`` values are decided here.

    Args:
        name: ``auto`` takes ``conv4`` up to 64 pixels and ``timm/resnet18`` above, or for pretrained weights; for
            clips ``r2plus1d-small`` and ``torchvision/r3d_18``; for ``lite0`` its network.
        image_size: side in pixels.
        mean: of the training images, per channel; pretrained weights bring their own.
        std: of the training images, per channel.
        stem: ``auto`` (small for ResNets up to 64 pixels that start at random; that of a weights file), ``small``,
            ``standard``.
        pretrained: empty, ``lite0``, ``timm`` or a file.
        frames: frames per clip; 1 for images.
        allow_missing: whether tensors that a weights file lacks may stay random.

    Raises:
        LikewiseError: there is no such stem, the encoder cannot read images or clips of this kind, or the pretrained
            weights do not fit it.
    """
    if frames > 1 or reads_clips(name):
        return _clip_settings(name, image_size, mean, std, stem, pretrained, frames, allow_missing)
    if pretrained == lite0.LITE0:
        return _lite0_settings(name, image_size, len(mean), stem)
    if name == "auto":
        name = "conv4" if image_size <= SMALL_IMAGE and not pretrained else "timm/resnet18"
    if name not in OURS and not name.startswith("timm/"):
        name = f"timm/{name}"
    if stem not in ("auto", "small", "standard"):
        raise LikewiseError(f"There is no stem {stem!r}. {did_you_mean(stem, ('auto', 'small', 'standard'))}")
    if name in OURS:
        return EncoderSettings(name, image_size, mean, std, False, pretrained, allow_missing)
    if pretrained:
        mean, std = _statistics_of_weights(name, mean, std)
    small = stem == "small" or (stem == "auto" and _small_stem(name, image_size, mean, std, pretrained))
    return EncoderSettings(name, image_size, mean, std, small, pretrained, allow_missing)


def _statistics_of_weights(
    name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that a network's weights expect; the data's own where they are not RGB or grey."""
    from likewise.encoders import from_timm

    full_mean, full_std = from_timm.statistics(name.removeprefix("timm/"))
    if len(mean) == 1:
        return (sum(full_mean) / 3,), (sum(full_std) / 3,)
    return (full_mean, full_std) if len(mean) == 3 else (mean, std)


def _small_stem(name: str, image_size: int, mean: tuple[float, ...], std: tuple[float, ...], pretrained: str) -> bool:
    """Whether a network of timm gets the stem for small images where that is left open: a weights file decides."""
    from likewise.encoders import from_timm

    if pretrained == "timm" or not (has_small_stem(pretrained) if pretrained else image_size <= SMALL_IMAGE):
        return False
    with torch.device("meta"):
        probe = from_timm.timm_encoder(name.removeprefix("timm/"), image_size, False, mean, std, False)
    return from_timm.has_large_stem(probe.network)


def _lite0_settings(name: str, image_size: int, channels: int, stem: str) -> EncoderSettings:
    lite0.require_lite0(name, channels)
    if stem == "small":
        raise LikewiseError(f"{lite0.ENCODER} has one stem only. Leave --stem at auto.")
    mean, std = channels * (lite0.MEAN,), channels * (lite0.STD,)
    return EncoderSettings(lite0.ENCODER, image_size, mean, std, False, lite0.LITE0)


def _clip_settings(
    name: str,
    image_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    stem: str,
    pretrained: str,
    frames: int,
    allow_missing: bool,
) -> EncoderSettings:
    if name == "auto":
        name = clip_networks.OURS if image_size <= SMALL_IMAGE and not pretrained else "torchvision/r3d_18"
    if not reads_clips(name):
        raise LikewiseError(
            f"{name} reads single images, but clips of {frames} frames were requested. Choose an encoder for clips: "
            f"{', '.join(names_for_clips())}."
        )
    if frames == 1:
        raise LikewiseError(
            f"{name} reads clips, but single frames were requested. Choose an encoder for images, for instance "
            f"timm/resnet18, or give more --frames."
        )
    if stem not in ("auto", "standard"):
        raise LikewiseError(f"{name} has one stem only. Leave --stem at auto.")
    if pretrained in ("timm", lite0.LITE0):
        raise LikewiseError(
            f"{pretrained} has no weights for {name}. Give a local file: --pretrained path/to/weights.pth."
        )
    return EncoderSettings(name, image_size, mean, std, False, pretrained, allow_missing, frames)


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
        encoder = ModuleEncoder(module, image_size, mean, std)
    module = network_of(module)
    settings = EncoderSettings(MODULE + import_path(module), image_size, mean, std, pretrained="module", module=module)
    return encoder, settings


def _from_module(settings: EncoderSettings, as_given: bool) -> Encoder:
    """A copy of a user's module, with the weights that it came with or with new random ones."""
    module = settings.module
    if module is None:
        module = rebuilt_module(settings.name.removeprefix(MODULE))
    network = copy.deepcopy(module) if as_given else reinitialised(module)
    if isinstance(network, Encoder):
        return network
    return ModuleEncoder(network, settings.image_size, settings.mean, settings.std)


def build_encoder(settings: EncoderSettings, fetch: bool = True) -> Encoder:
    """The encoder that settings describe, with its initial weights.

    Args:
        settings: what to build.
        fetch: load the pretrained weights; otherwise the weights are random, for the untrained baseline.
    """
    origin = settings.pretrained if fetch else ""
    if settings.intermediates and (settings.name in OURS or reads_clips(settings.name)):
        raise LikewiseError(f"intermediates={settings.intermediates} needs a network of timm, not {settings.name}.")
    if settings.name.startswith(MODULE):
        return _from_module(settings, as_given=origin == "module")
    if reads_clips(settings.name):
        clips = build_clip_encoder(settings.name, settings.mean, settings.std)
        encoder: Encoder = clips
        inner: torch.nn.Module = clips.network
    elif settings.name in OURS:
        encoder = _ours(settings)
        if origin == "timm":
            raise LikewiseError(
                f"{settings.name} has no published weights. Choose a timm encoder: --encoder timm/resnet18."
            )
        inner = encoder
    else:
        from likewise.encoders.from_timm import timm_encoder

        name = settings.name.removeprefix("timm/")
        encoder = timm_encoder(
            name, settings.image_size, settings.small_stem, settings.mean, settings.std, origin == "timm",
            settings.intermediates,
        )  # fmt: skip
        inner = encoder.network
    if origin.startswith(RUN_START):
        encoder.load_state_dict(load_tensors(Path(origin.removeprefix(RUN_START)) / WEIGHTS))
    elif origin == lite0.LITE0:
        encoder.key_match = lite0.load_lite0(inner)
    elif origin not in ("", "timm"):
        encoder.key_match = load_weights(inner, origin, settings.allow_missing)
    return encoder


def _ours(settings: EncoderSettings) -> Encoder:
    if settings.name in NINE:
        return NineLayers(*NINE[settings.name], settings.mean, settings.std)
    return ConvNet(SMALL[settings.name], settings.mean, settings.std)


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
        if settings.image_size < 1 or settings.frames < 1 or len(settings.mean) != len(settings.std):
            raise ValueError("image_size, frames, mean or std has an impossible value")
        return settings


@torch_defaults()
def load_encoder(path: str | Path, module: torch.nn.Module | None = None) -> tuple[Encoder, EncoderSettings]:
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
        remedy = " Pass a module of the same shape: likewise.load(path, encoder=module)." if users else ""
        raise LikewiseError(f"The weights in {path} do not fit the encoder {settings.name}: {error}{remedy}") from error
    return encoder.eval(), settings


def with_module(settings: EncoderSettings, module: torch.nn.Module | None) -> EncoderSettings:
    """The settings of a stored encoder with the user's module that copies of it are made from.

    Raises:
        LikewiseError: the encoder was none of the user's.
    """
    if settings.name.startswith(MODULE):
        # The module may be in any state: it gives the shape, and is no pretrained start.
        return replace(settings, module=None if module is None else network_of(module), pretrained="")
    if module is not None:
        raise LikewiseError(f"The encoder of this run is {settings.name}, which is built by name. Leave encoder= out.")
    return settings
