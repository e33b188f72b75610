"""A way to a classifier that `CrossValidation` can measure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from likewise.encoders import Encoder, EncoderSettings

Start = Literal["pretrained", "scratch"]


class Trained(NamedTuple):
    """What an arm learned from some labels."""

    encoder: Encoder
    """float [B, C, S, S] in [0, 1] -> [B, D]"""
    settings: EncoderSettings
    """of the encoder"""
    head: nn.Module
    """features [B, D] -> logits [B, K]"""


@dataclass(frozen=True)
class ArmCard:
    """What an arm is, for the choice and the sentence."""

    name: str
    """as tables show it"""
    start: Start
    """the weights that it starts from"""
    unlabelled: bool = False
    """whether it learns from images without a label too"""
    trains_encoder: bool = True
    """whether the encoder's weights change; otherwise only a head is fitted on its features"""
    can_win: bool = True
    """whether what it makes can be saved; otherwise it is measured as a comparison"""
    prior: float = 0.0
    """logarithm of how much likelier it is than another arm to be the best, before any label is seen"""
    averaged: tuple[str, ...] = ()
    """names of arms that it averages, and stands for when one is chosen"""


class AdviceArm(ABC):
    """One arm on one set of data. Arms are listed from the simplest to the most elaborate."""

    card: ArmCard

    @abstractmethod
    def seconds(self, labelled: int) -> float:
        """How long one fit with so many labels is expected to take."""

    @abstractmethod
    def fit(self, labels: Tensor, left_out: Tensor, limit: float) -> Trained | None:
        """Learn from the visible labels.

        Args:
            labels: int64 [N] in 0..K-1, -1 where hidden.
            left_out: int64 [H], images that may not be used at all, not even without their label.
            limit: seconds after which it must end.

        Returns:
            None where the time was too short to learn anything that may be compared.
        """

    @abstractmethod
    def features(self, trained: Trained, rows: Tensor) -> Tensor:
        """The features float32 [B, D] of some images, int64 [B], on the CPU."""

    def logits(self, trained: Trained, rows: Tensor) -> Tensor:
        """The logits [B, K] of some images, int64 [B], on the CPU."""
        with torch.no_grad():
            return trained.head.cpu()(self.features(trained, rows))
