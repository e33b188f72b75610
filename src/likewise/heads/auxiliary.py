"""Classifiers at every depth of an encoder, each on stages of its own."""

from __future__ import annotations

import copy

from torch import nn

from likewise.encoders import Encoder


def auxiliary_heads(encoder: Encoder, answers: int) -> nn.ModuleList:
    """A classifier for the map after each stage: the stages that would follow, built anew, then pooling and a layer.

    The last map has no stage to follow, and gets one more like the last. All heads end at the encoder's width, so that
    what differs between them is where they leave it (HSAKD; Yang et al. 2021, Sec. 3.2,
    https://arxiv.org/abs/2107.13715).

    Args:
        encoder: a network of stages; its weights are not copied.
        answers: logits that each head gives.
    """
    stages = list(encoder.stages())
    following = [stages[depth:] for depth in range(1, len(stages))] + [[encoder.another_stage()]]
    return nn.ModuleList(
        nn.Sequential(
            *(_anew(stage) for stage in branch),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(encoder.width, answers),
        )
        for branch in following
    )


def _anew(stage: nn.Module) -> nn.Module:
    """A stage of the same shape with weights of its own, drawn as PyTorch's layers draw them."""
    made = copy.deepcopy(stage)
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.modules.batchnorm._BatchNorm):
            layer.reset_parameters()
    return made
