"""The classifier that a method trained with its encoder: scored, and found again in the run's last checkpoint."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from likewise.data.images import Images
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.evaluation.calibration import calibration_of
from likewise.evaluation.confidence import WILSON, accuracy
from likewise.evaluation.features import PlainView, extract
from likewise.evaluation.scores import Outcome, Score
from likewise.methods import Method, Nets, find_method
from likewise.run_folder import RunFolder, read_json
from likewise.training.settings import from_json


def classifier_outcome(
    name: str, method: Method, nets: Nets, images: Images, labels: Tensor, view: PlainView, protocol: dict[str, Any]
) -> Outcome:
    """Top-1 accuracy and calibration of the classifier that a method trained with its encoder."""
    logits = extract(OwnClassifier(method, nets), images, torch.arange(len(images)), view)
    predictions = logits.argmax(dim=1)
    interval, count = accuracy(predictions, labels)
    score = Score(name, *interval, count, {**protocol, "interval": WILSON})
    return Outcome(score, predictions, calibration=calibration_of(logits, labels))


class OwnClassifier(nn.Module):
    """A method's own classifier as a network, so that it goes to the device and into eval mode as a whole."""

    def __init__(self, method: Method, nets: Nets) -> None:
        super().__init__()
        self.method, self.nets = method, nets

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] -> logits [B, classes]."""
        logits = self.method.classify(self.nets, pixels)
        if logits is None:
            raise LikewiseError(f"{self.method.title} trains no classifier; use a probe on its features.")
        return logits


def restore_classifier(run: RunFolder, encoder: Encoder, classes: int) -> OwnClassifier | None:
    """The classifier as it was at the last checkpoint; None where the method has none or the checkpoint is gone.

    Args:
        run: a finished run.
        encoder: its encoder, which is left as it is: the checkpoint brings its own.
        classes: how many the run was trained with.

    Raises:
        LikewiseError: the checkpoint does not fit the run's settings.
    """
    named = read_json(run.config)["method"]
    kind = find_method(named["name"])
    if kind.classify is Method.classify or not run.checkpoint.exists():
        return None
    method = from_json(kind, named["settings"])
    nets = method.build(copy.deepcopy(encoder), classes)
    try:
        held = torch.load(run.checkpoint, map_location="cpu", mmap=True, weights_only=True)["learner"]
        nets.load_state_dict({name.removeprefix("nets."): value for name, value in held.items()})
    except (RuntimeError, KeyError, OSError) as error:
        raise LikewiseError(
            f"{run.checkpoint} does not hold this run's classifier ({error}). Without the file its score stays as it "
            f"was at the end of training: move it away, then evaluate again."
        ) from error
    return OwnClassifier(method, nets.eval())
