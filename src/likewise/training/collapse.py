"""Signs of collapse in what a run logs: embeddings, a loss, or labels from which nothing can be learned."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

READINGS = 3
"""Lines of the log in a row that make collapse: the first steps of a healthy run can look bad."""
EVALUATIONS = 2
"""The same, for what is measured at evaluations."""
MIN_STD = 0.1
"""A ``feature_std`` below this is collapse: healthy embeddings lie near 1, constant ones at 0 (SimSiam, Fig. 2)."""
MIN_RANK = 1.5
"""An effective rank below this is collapse: it is 1 where all features are multiples of one vector."""
MAX_GROWTH = 30
"""A norm of all weights above this multiple of the first one is an explosion."""
SAME_LOSS = 1e-4
"""Losses of different batches that differ by less, relative to their size, do not depend on the images."""
CONSTANT_LOSS = 1e-3
"""The same for a loss next to the value that the loss of equal embeddings has."""
LABELLED_IMAGES = 128
"""Labelled images that must have been seen before batches of one class, or without a pair, can be no chance."""

Line = Mapping[str, Any]
"""What a line of the log holds."""


class Sign:
    """A form of collapse, counted over the lines that tell of it."""

    key: ClassVar[str]
    """the number in the log that it is read from"""
    patience: ClassVar[int] = READINGS

    def __init__(self) -> None:
        self.in_a_row, self.reason = 0, ""

    def read(self, line: Line) -> None:
        """Take in a line of the log."""
        if self.key not in line:
            return
        self.reason = self.reason_in(line)
        self.in_a_row = self.in_a_row + 1 if self.reason else 0

    def reason_in(self, line: Line) -> str:
        """What is wrong by this line, and the remedy; empty where nothing is."""
        raise NotImplementedError

    @property
    def holds(self) -> bool:
        """Whether it has been seen often enough."""
        return self.in_a_row >= self.patience


class EqualEmbeddings(Sign):
    """All embeddings of a batch are nearly one vector.

    Args:
        method: title of the method.
    """

    key = "feature_std"

    def __init__(self, method: str) -> None:
        super().__init__()
        self.other = (
            "" if method == "SimCLR" else ", or a method with negatives, such as --method simclr"
        )

    def reason_in(self, line: Line) -> str:
        """Judge the spread of unit vectors."""
        if line[self.key] >= MIN_STD:
            return ""
        return (
            f"all images look the same to the network (feature_std {line[self.key]:.3f} of 1). Try a smaller "
            f"--recipe.learning-rate or a larger --batch-size{self.other}"
        )


class EqualQueue(Sign):
    """The queue holds one vector many times."""

    key = "queue_std"

    def reason_in(self, line: Line) -> str:
        """Judge the spread of the vectors in the queue."""
        if line[self.key] >= MIN_STD:
            return ""
        return (
            f"the queue holds the same vector in every row (spread {line[self.key]:.3f} of 1), so negatives teach "
            f"nothing. Try a smaller --recipe.learning-rate, and look for identical images with `likewise doctor`"
        )


class LowRank(Sign):
    """The encoder's features are nearly multiples of one vector (RankMe; Garrido et al. 2023)."""

    key = "effective_rank"
    patience = EVALUATIONS

    def reason_in(self, line: Line) -> str:
        """Judge the effective rank that an evaluation measured."""
        if not line[self.key] < MIN_RANK:
            return ""
        return (
            f"the features of all images lie along one direction (effective rank {line[self.key]:.2f}). Try a smaller "
            f"--recipe.learning-rate or --recipe.weight-decay, or another --encoder"
        )


class GrowingWeights(Sign):
    """The norm of the weights explodes.

    Args:
        first: their norm before the first step.
    """

    key = "weight_norm"

    def __init__(self, first: float) -> None:
        super().__init__()
        self.first = first

    def reason_in(self, line: Line) -> str:
        """Compare with the norm before the first step."""
        norm = line[self.key]
        if norm <= MAX_GROWTH * self.first:
            return ""
        return (
            f"the norm of the weights has grown from {self.first:.3g} to {norm:.3g}. Try a smaller "
            f"--recipe.learning-rate, a longer --recipe.warm-up, or --clip-grad-norm 1"
        )


class ConstantLoss(Sign):
    """The loss is the same for every batch, so it does not depend on the images.

    Args:
        batch_size: images in a batch of all ranks.
        queues: lengths of the method's queues.
    """

    key = "loss"

    def __init__(self, batch_size: int, queues: Sequence[int]) -> None:
        super().__init__()
        self.first = math.nan
        self.recent: deque[float] = deque(maxlen=2)
        self.constants = {f"log(2 x {batch_size} - 1)": math.log(2 * batch_size - 1)}
        self.constants |= {f"log(1 + {length})": math.log(1 + length) for length in queues}

    def reason_in(self, line: Line) -> str:
        """Compare with the line before, with the first one, and with the losses of equal embeddings."""
        loss = line[self.key]
        self.first = loss if math.isnan(self.first) else self.first
        self.recent.append(loss)
        constant = self._named_constant(loss)
        unchanged = len(self.recent) > 1 and math.isclose(loss, self.recent[0], rel_tol=SAME_LOSS)
        learned = loss < self.first - SAME_LOSS * abs(self.first)
        if not constant and (learned or not unchanged):
            return ""
        value = f" ({constant}, the loss of equal embeddings)" if constant else ""
        return (
            f"the loss is {loss:.4g} for every batch{value}, so nothing is learned. Try another "
            f"--recipe.learning-rate, and other settings of the method, for instance its temperature"
        )

    def _named_constant(self, loss: float) -> str:
        """Which loss of equal embeddings it is; empty where it is none."""
        for name, constant in self.constants.items():
            if math.isclose(loss, constant, rel_tol=CONSTANT_LOSS):
                return name
        return ""


class LabelSign(Sign):
    """Something wrong with the labels of batches; a small batch counts for less than a large one."""

    key = "labelled_images"

    def __init__(self) -> None:
        super().__init__()
        self.images = 0.0

    def read(self, line: Line) -> None:
        """Take in a line, and the labelled images of its batch."""
        super().read(line)
        self.images += line.get(self.key, 0)
        if not self.in_a_row:
            self.images = 0.0

    @property
    def holds(self) -> bool:
        """Whether it was seen in enough batches with enough images."""
        return super().holds and self.images >= LABELLED_IMAGES


class OneClass(LabelSign):
    """The labelled images of each batch are of one class."""

    def reason_in(self, line: Line) -> str:
        """Count the classes of the batch at this line."""
        if line[self.key] < 2 or line["labelled_classes"] > 1:
            return ""
        return (
            "the labelled images of each batch are of one class, so labels tell nothing apart. Give labels of more "
            "classes (--labels), a larger --batch-size, or see the class counts with `likewise doctor`"
        )


class NoPositivePair(LabelSign):
    """No two labelled images of a batch share a class."""

    def reason_in(self, line: Line) -> str:
        """Compare the classes of the batch at this line with its labelled images."""
        if line[self.key] < 2 or line["labelled_classes"] < line[self.key]:
            return ""
        return (
            "no two labelled images of a batch share a class, so labels make no positive pair. Give a larger "
            "--batch-size, or more labels (--labels)"
        )


class CollapseWatch:
    """All forms of collapse that a run can show.

    Args:
        method: title of the method.
        batch_size: images in a batch of all ranks.
        first_norm: the norm of all weights before the first step.
        queues: lengths of the method's queues.
        labels_make_pairs: whether images of one class are positive pairs of the method.
    """

    def __init__(
        self,
        method: str,
        batch_size: int,
        first_norm: float,
        queues: Sequence[int],
        labels_make_pairs: bool,
    ) -> None:
        self.signs: list[Sign] = [
            EqualQueue(),
            EqualEmbeddings(method),
            LowRank(),
            GrowingWeights(first_norm),
            ConstantLoss(batch_size, queues),
            OneClass(),
        ]
        if labels_make_pairs:
            self.signs.append(NoPositivePair())

    def read(self, line: Line) -> str:
        """Take in a line of the log; the reasons of all forms that hold, empty where none does."""
        for sign in self.signs:
            sign.read(line)
        return "; ".join(sign.reason for sign in self.signs if sign.holds)

    @property
    def collapsed(self) -> bool:
        """Whether a form of collapse holds."""
        return any(sign.holds for sign in self.signs)

    @property
    def healthy(self) -> bool:
        """Whether the newest lines show no sign at all."""
        return not any(sign.in_a_row for sign in self.signs)
