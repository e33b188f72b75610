"""The winner fitted to all labels, with a temperature, as the files that ``likewise predict`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from likewise.advice.arm import Trained
from likewise.advice.cross_validation import TriedArm
from likewise.classification import Classifier, Reference, fit_temperature, save_classifier

FILES = ("encoder.safetensors", "encoder.json", "classifier.safetensors", "classifier.json")
"""what `save_winner` writes"""


class Winner(NamedTuple):
    """An arm fitted to all labels, and its predictions for held-out ones."""

    trained: Trained
    held_out_logits: Tensor
    """float32 [L, K], NaN where an image was not held out"""
    held_out_labels: Tensor
    """int64 [L]"""
    class_names: tuple[str, ...]
    protocol: dict[str, object]


def eligible(tried: list[TriedArm]) -> list[TriedArm]:
    """The arms that can be chosen: those that got through all folds, can be saved and are in no weighted mean."""
    complete = [each for each in tried if each.outcome == "complete" and each.card.can_win]
    averaged = {name for each in complete for name in each.card.averaged}
    return [each for each in complete if each.card.name not in averaged]


def save_winner(winner: Winner, features: Tensor, folder: Path) -> None:
    """Write the classifier, replacing an earlier one.

    Args:
        winner: what is saved.
        features: float [M, D], the winner's features of images that it learned from.
        folder: of the advice.
    """
    temperature = fit_temperature(winner.held_out_logits, winner.held_out_labels)
    head = winner.trained.head
    assert isinstance(head, nn.Linear)
    classifier = Classifier(winner.trained.encoder, head, temperature, winner.class_names)
    reference = Reference.of(
        features, winner.held_out_logits, winner.held_out_labels, temperature, dict(winner.protocol)
    )
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    save_classifier(classifier, winner.trained.settings, reference, folder)
