"""Auxiliary classifiers at every depth of an encoder."""

from __future__ import annotations

import copy

from torch import nn

from likewise.encoders import Encoder
from likewise.field_types import SIZE, typed_arguments


@typed_arguments(outputs=SIZE)
def auxiliary_heads(encoder: Encoder, outputs: int) -> nn.ModuleList:
    """A classifier for the map after each stage: copies of the following stages with new weights, then a linear layer.

    No stage follows the last map, so its classifier gets an additional stage like the last. All classifiers end at the
    encoder's width and differ only in where they start (HSAKD; Yang et al. 2021, Sec. 3.2,
    https://arxiv.org/abs/2107.13715).

    Args:
        encoder: an encoder with stages; its weights are not shared.
        outputs: logits of each classifier.
    """
    stages = list(encoder.stages())
    additional = encoder.another_stage()
    heads = nn.ModuleList()
    for depth in range(1, len(stages) + 1):
        following = stages[depth:] or [additional]
        branch = [_reinitialised(stage) for stage in following]
        linear = nn.Linear(encoder.width, outputs)
        pooling = nn.AdaptiveAvgPool2d(1)
        heads.append(nn.Sequential(*branch, pooling, nn.Flatten(), linear))
    return heads


def _reinitialised(stage: nn.Module) -> nn.Module:
    """A copy of a stage with new weights, by PyTorch's default initialisation."""
    copied = copy.deepcopy(stage)
    for layer in copied.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.modules.batchnorm._BatchNorm):
            layer.reset_parameters()
    return copied
