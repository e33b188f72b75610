"""LoRA: low-rank additions to the weights of an encoder, which learn while the weights themselves stay."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from likewise.encoders import Encoder
from likewise.errors import LikewiseError


def adaptable_layers(encoder: nn.Module) -> list[str]:
    """Names of the linear layers and of the convolutions that mix channels.

    Depthwise and grouped convolutions are left: a kernel has few weights there, so a low-rank product saves nothing.
    Layers inside ``nn.MultiheadAttention`` are left, because that module reads weights without calling the layer.
    """
    names: list[str] = []
    skipped = [
        name + "."
        for name, part in encoder.named_modules()
        if isinstance(part, nn.MultiheadAttention)
    ]
    for name, part in encoder.named_modules():
        mixes = isinstance(part, nn.Linear) or (
            isinstance(part, nn.Conv2d | nn.Conv3d) and part.groups == 1
        )
        if mixes and not name.startswith(tuple(skipped)):
            names.append(name)
    return names


def add_lora(encoder: Encoder, rank: int, alpha: float) -> None:
    """Wrap the layers of ``encoder`` by ``peft``. The additions are zero at first, and they alone take gradients.

    Hu et al. 2021, https://arxiv.org/abs/2106.09685. For a convolution the first factor is a convolution of the same
    kernel to ``rank`` channels and the second a 1x1 convolution.

    Raises:
        LikewiseError: ``peft`` is not installed, or no layer can be adapted.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise LikewiseError(
            "LoRA needs the package peft, which is not installed. Type pip install 'likewise[pretrained]', or choose "
            "another adaptation, for instance last:2."
        ) from None
    names = adaptable_layers(encoder)
    if not names:
        raise LikewiseError(
            f"{type(encoder).__name__} has no linear layer and no convolution that LoRA could adapt. Choose the "
            f"adaptation full."
        )
    # One pattern for whole names: peft would take a short name for the end of others.
    pattern = "|".join(map(re.escape, names))
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=pattern), encoder)  # type: ignore[arg-type]


def merge_lora(encoder: Encoder) -> None:
    """Add LoRA's products to the weights and put the original layers back; without LoRA nothing changes."""
    if not hasattr(encoder, "peft_config"):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    wrapped: list[tuple[str, Any]] = []
    for name, part in encoder.named_modules():
        if isinstance(part, BaseTunerLayer):
            wrapped.append((name, part))
    for name, part in wrapped:
        part.merge()  # type: ignore[operator]
        parent, _, own_name = name.rpartition(".")
        setattr(encoder.get_submodule(parent), own_name, part.get_base_layer())
    del encoder.peft_config


def merge_adapted(nets: nn.Module) -> None:
    """`merge_lora` of all encoders in some networks: a method's own, and its teacher's."""
    for part in [each for each in nets.modules() if isinstance(each, Encoder)]:
        merge_lora(part)
