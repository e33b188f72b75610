"""Learning from the networks of a finished run: what methods with such a teacher share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.methods.method import Method, classify
from likewise.methods.nets import Nets


class Teacher(nn.Module):
    """The networks of a finished run and the method that trained them."""

    def __init__(self, method: Method, nets: Nets) -> None:
        super().__init__()
        self.method, self.nets = method, nets

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> logits [B, classes]."""
        return classify(self.method, self.nets, pixels)


@dataclass(frozen=True)
class DistillationMethod(Method):
    """A method that trains a linear classifier with its encoder, and learns from a finished run, its teacher.

    A method opens no files: the run loads the teacher and calls `adopt`.
    """

    requires_teacher: ClassVar[bool] = True
    """whether it cannot be trained without a teacher"""
    trains_teacher: ClassVar[str] = "cross-entropy"
    """name of the method that usually trains the teacher, for messages"""
    starts_from_teacher: ClassVar[bool] = False
    """whether the teacher's encoder becomes the method's own and stays frozen"""

    teacher: str = ""
    """folder of the finished run to learn from"""

    def check_teacher(self, teacher: Method) -> None:
        """Refuse a run of a method that cannot teach.

        Raises:
            LikewiseError: it trains no classifier.
        """
        if type(teacher).classifier is Method.classifier:
            raise LikewiseError(
                f"{teacher.card.title} trains no classifier, so {self.card.title} cannot learn from it. Give "
                f"--method.teacher the run of a method that does, for instance one of --method {self.trains_teacher}."
            )

    def adopt(self, nets: Nets, teacher: Teacher) -> None:
        """Put the frozen teacher next to the networks that learn."""
        nets.teacher = teacher
        nets.finish("teacher")

    def classifier(self, nets: Nets) -> tuple[Encoder, nn.Module]:
        """The trained encoder and the linear layer on it."""
        return nets.encoder, nets.classifier
