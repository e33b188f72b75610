"""Learning from the networks of a run that is done: what methods with such a teacher share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from likewise.errors import LikewiseError
from likewise.methods.method import Method
from likewise.methods.nets import Nets


class Teacher(nn.Module):
    """The networks of a finished run and the method that knows how to ask them."""

    def __init__(self, method: Method, nets: Nets) -> None:
        super().__init__()
        self.method, self.nets = method, nets

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> logits [B, classes]."""
        logits = self.method.classify(self.nets, pixels)
        assert logits is not None  # `Taught.check` has seen to it
        return logits


class Earlier(NamedTuple):
    """A run that must be done before."""

    method: Method
    """how it is trained"""
    encoder: str
    """on which network, by name; ``auto``: a larger one than that which learns from it"""


@dataclass(frozen=True)
class Taught(Method):
    """A method that trains a linear classifier with its encoder, and learns from a finished run, its teacher.

    Methods see no files: whoever runs one opens the folder, trains what `earlier` asks for, and calls `adopt`.
    """

    also_needs = "a teacher: a run's folder, or it is trained first"
    keeps_network: ClassVar[bool] = False
    """whether the teacher's encoder is this method's own, not to be learned any more"""

    teacher: str = ""
    """folder of the run to learn from; without one it is trained first, in the folder teacher inside the run's"""

    def earlier(self, given: Method | None) -> Earlier | None:
        """The run that must come first, if any.

        Args:
            given: the method of the run that ``teacher`` names; None where it names none.
        """
        raise NotImplementedError

    def check(self, given: Method) -> None:
        """Refuse a run of a method that cannot teach.

        Raises:
            LikewiseError: it trains no classifier.
        """
        if type(given).classify is Method.classify:
            raise LikewiseError(
                f"{type(given).title} trains no classifier, so {self.title} has nothing to learn from it. Give "
                f"--method.teacher the run of a method that does (cross-entropy, kd, ...), or leave it out: then a "
                f"teacher is trained first."
            )

    def adopt(self, nets: Nets, teacher: Teacher) -> None:
        """Put the teacher beside what is learned; it learns no more."""
        nets.teacher = teacher
        nets.finish("teacher")

    def classify(self, nets: Nets, pixels: Tensor) -> Tensor:
        """Logits of the trained classifier."""
        return nets.classifier(nets.encoder(pixels))
