"""Names of EfficientNet-PyTorch (https://github.com/lukemelas/EfficientNet-PyTorch) and of its descendants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
"""Its layers outside of the blocks, as timm names them."""

EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
"""Layers of a block that widens its input first, an inverted residual of timm."""

SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Layers of a block that does not, a depthwise separable convolution of timm."""

SQUEEZE_EXCITATION = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
"""Layers of both."""

_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(.+)")


def timm_names(stored: Iterable[str], network: Sequence[str]) -> dict[str, str]:
    """Timm's name of each tensor that has one; the classifier has none.

    Args:
        stored: names of the checkpoint's tensors. Its blocks are numbered through.
        network: names of the tensors of timm's network, whose blocks are numbered within their stage.
    """
    stored = list(stored)
    blocks = _blocks_in_order(network)
    expanding = {
        name.split(".")[1] for name in stored if re.match(r"_blocks\.\d+\._expand_conv\.", name)
    }
    names: dict[str, str] = {}
    for name in stored:
        if match := _BLOCK.match(name):
            number, layer, tensor = match.groups()
            layers = SQUEEZE_EXCITATION | (EXPANDING if number in expanding else SEPARABLE)
            if layer in layers and int(number) < len(blocks):
                names[name] = f"{blocks[int(number)]}.{layers[layer]}.{tensor}"
            continue
        layer, _, tensor = name.partition(".")
        if layer in OUTER:
            names[name] = f"{OUTER[layer]}.{tensor}"
    return names


def _blocks_in_order(network: Iterable[str]) -> list[str]:
    """``blocks.STAGE.BLOCK`` of a timm network, from the first to the last."""
    found: set[tuple[int, int]] = set()
    for name in network:
        if match := re.match(r"blocks\.(\d+)\.(\d+)\.", name):
            found.add((int(match[1]), int(match[2])))
    return [f"blocks.{stage}.{block}" for stage, block in sorted(found)]
