"""An encoder with a head on it, whose probabilities are calibrated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from likewise.encoders import Encoder
from likewise.errors import LikewiseError


class Classifier(nn.Module):
    """Pixels in, logits out; their softmax is a calibrated probability of each class.

    The logits are divided by a temperature that was fitted on held-out labels (Guo et al. 2017, Sec. 4.2,
    https://arxiv.org/abs/1706.04599), which changes no prediction.

    Args:
        encoder: float [B, C, S, S] in [0, 1] -> features [B, D].
        head: features [B, D] -> logits [B, K].
        temperature: what the head's logits are divided by, above 0.
        class_names: the name of each of the K classes.
    """

    temperature: Tensor

    def __init__(
        self, encoder: Encoder, head: nn.Module, temperature: float, class_names: Sequence[str]
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise LikewiseError(
                f"Classifier(temperature={temperature}): give a temperature above 0, for instance 1.0."
            )
        self.encoder, self.head, self.class_names = encoder, head, tuple(class_names)
        self.register_buffer("temperature", torch.tensor(float(temperature)))

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> logits divided by the temperature, [B, K]."""
        return self.classify(self.encoder(pixels))

    def classify(self, features: Tensor) -> Tensor:
        """The encoder's features [B, D] -> logits divided by the temperature, [B, K]."""
        return self.head(features) / self.temperature
