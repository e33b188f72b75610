"""What is exported from a run: its encoder, or its classifier."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from likewise.classification import Classifier
from likewise.encoders import Encoder, EncoderSettings
from likewise.run_folder import RunFolder
from likewise.tensor_files import separate

CARD = RunFolder("").card.name
"""The model card of a folder for a hub, and of a run's own weights; other formats hold it as metadata."""

Compute = Callable[[Tensor], Tensor]
"""What was loaded back: float pixels in [0, 1] -> features or logits"""


@dataclass(frozen=True)
class Exported:
    """What is exported: an encoder, or a classifier with its names and temperature."""

    network: Encoder | Classifier
    """in eval mode, on the CPU"""
    settings: EncoderSettings
    """of the encoder"""
    card: str = ""
    """the model card, Markdown; empty where there is none"""

    @property
    def encoder(self) -> Encoder:
        """The encoder, alone or the classifier's."""
        return self.network.encoder if isinstance(self.network, Classifier) else self.network

    @property
    def part(self) -> str:
        """The word for it in names of files."""
        return "classifier" if isinstance(self.network, Classifier) else "encoder"

    @property
    def output(self) -> str:
        """What the network gives."""
        return "logits" if isinstance(self.network, Classifier) else "features"

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata stored with the weights, as text: class names as a JSON list, and numbers."""
        stored = {"image_size": str(self.settings.image_size)}
        if isinstance(self.network, Classifier):
            stored["class_names"] = json.dumps(self.network.class_names)
            stored["temperature"] = str(float(self.network.temperature))
        if self.card:
            stored["model_card"] = self.card
        return stored

    def pixels(self, batch: int) -> Tensor:
        """Random input, float [B, C, S, S] or [B, T, C, S, S] in [0, 1]."""
        frames = (self.settings.frames,) if self.settings.frames > 1 else ()
        size = self.settings.image_size
        random = torch.Generator().manual_seed(0)
        return torch.rand(batch, *frames, self.settings.channels, size, size, generator=random)


def stored_tensors(network: nn.Module) -> dict[str, Tensor]:
    """The network's weights as safetensors takes them."""
    return separate(network.state_dict())
