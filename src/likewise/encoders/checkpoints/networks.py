"""Names within an encoder, brought onto those of timm's network of the same shape."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection
from typing import NamedTuple, TypeAlias

from torch import Tensor, nn

from likewise.encoders.checkpoints import efficientnet_pytorch

Tensors: TypeAlias = dict[str, Tensor]


class Naming(NamedTuple):
    """How a library names the layers of a network."""

    title: str
    fits: Callable[[Collection[str]], bool]
    """whether the names are of this kind"""
    rename: Callable[[Tensors, nn.Module], Tensors]
    """to timm's names; what has none there stays as it is"""


def _efficientnet(tensors: Tensors, network: nn.Module) -> Tensors:
    names = efficientnet_pytorch.timm_names(tensors, list(network.state_dict()))
    return {names.get(name, name): tensor for name, tensor in tensors.items()}


SEQUENTIAL = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""Children of a torchvision ResNet by position, as ``nn.Sequential(*list(resnet.children())[:-1])`` numbers them."""


def _sequential_resnet(tensors: Tensors, _: nn.Module) -> Tensors:
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        child, dot, rest = name.partition(".")
        renamed[SEQUENTIAL.get(child, child) + dot + rest] = tensor
    return renamed


def _resnet_shortcuts(tensors: Tensors, _: nn.Module) -> Tensors:
    renamed: Tensors = {
        name.replace(".shortcut.", ".downsample."): tensor for name, tensor in tensors.items()
    }
    return renamed


TORCHVISION_VIT = (
    (r"^class_token$", "cls_token"),
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^encoder\.ln\.", "norm."),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.(0|linear_1)\.", ".mlp.fc1."),
    (r"\.mlp\.(3|linear_2)\.", ".mlp.fc2."),
)
"""Patterns of torchvision's vision transformer (torchvision/models/vision_transformer.py), and timm's names."""


def _torchvision_vit(tensors: Tensors, _: nn.Module) -> Tensors:
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        ours = name
        for pattern, replacement in TORCHVISION_VIT:
            ours = re.sub(pattern, replacement, ours)
        renamed[ours] = tensor
    return renamed


def converted_by_timm(tensors: Tensors, network: nn.Module) -> Tensors:
    """As timm itself reads the originals of its weights; the names as they are where it cannot."""
    home = type(network).__module__
    convert = getattr(sys.modules[home], "checkpoint_filter_fn", None)
    return tensors if convert is None else convert(dict(tensors), network)


def _clip(tensors: Tensors, network: nn.Module) -> Tensors:
    """By timm, which looks for the names of a whole CLIP model."""
    return converted_by_timm(
        {f"visual.{name}": tensor for name, tensor in tensors.items()}, network
    )


NAMINGS = (
    Naming("EfficientNet-PyTorch", lambda names: "_conv_stem.weight" in names, _efficientnet),
    Naming("torchvision ViT", lambda names: "encoder.pos_embedding" in names, _torchvision_vit),
    Naming("CLIP ViT", lambda names: "class_embedding" in names, _clip),
    Naming(
        "DINOv2",
        lambda names: "mask_token" in names or "register_tokens" in names,
        converted_by_timm,
    ),
    Naming(
        "ResNet as nn.Sequential", lambda names: "4.0.conv1.weight" in names, _sequential_resnet
    ),
    Naming(
        "SupContrast's ResNet",
        lambda names: any(".shortcut." in name for name in names),
        _resnet_shortcuts,
    ),
)
"""Kinds of names that are not timm's. torchvision's ResNets have timm's names."""


def find_naming(names: Collection[str]) -> Naming | None:
    """The library whose names of layers these are; None for timm's own."""
    return next((naming for naming in NAMINGS if naming.fits(names)), None)
