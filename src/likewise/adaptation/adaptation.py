"""Which parameters of a pretrained encoder learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from likewise.errors import LikewiseError

FORMS = "frozen, lora, lora:RANK, last:N, full, full:DECAY"
"""What `Adaptation.parse` reads."""


@dataclass(frozen=True)
class Adaptation:
    """How much of an encoder fine-tuning changes.

    The default rank and its scale are those of LoRA's paper: 8 is past the rank at which its scores stop growing
    (Table 6), and alpha equals the rank, so that the low-rank product is added as it is (Sec. 4.1; Hu et al. 2021,
    https://arxiv.org/abs/2106.09685).
    """

    kind: Literal["frozen", "lora", "last", "full"]
    """frozen: the classifier alone learns; lora: low-rank additions to linear layers and convolutions; last: the last
    blocks; full: every parameter"""
    rank: int = 8
    """of LoRA's products"""
    alpha: float | None = None
    """LoRA's product is multiplied by alpha / rank; None: alpha is the rank"""
    blocks: int = 0
    """of ``last``: how many blocks (transformers) or stages (convolutional networks) learn, with what follows them"""
    layer_decay: float = 1.0
    """of ``full``: the learning rate of each layer over that of the layer after it (Clark et al. 2020, Sec. 3.2,
    https://arxiv.org/abs/2003.10555); 1: the same for all"""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise LikewiseError(
                f"A LoRA rank of {self.rank} was given; allowed is 1 or more, for instance lora:8."
            )
        if self.kind == "last" and self.blocks < 1:
            raise LikewiseError(
                f"last:{self.blocks} was given; allowed is 1 block or more, for instance last:2."
            )
        if not 0 < self.layer_decay <= 1:
            raise LikewiseError(
                f"A layer decay of {self.layer_decay:g} was given; allowed is above 0 and up to 1, for instance "
                f"full:0.75."
            )

    @classmethod
    def parse(cls, text: str | Adaptation) -> Adaptation:
        """From its name: ``frozen``, ``lora``, ``lora:RANK``, ``last:N``, ``full``, ``full:DECAY``.

        Raises:
            LikewiseError: it is none of these, or a number is out of range.
        """
        if isinstance(text, Adaptation):
            return text
        kind, colon, number = text.partition(":")
        try:
            if kind == "lora":
                return cls("lora", rank=int(number)) if colon else cls("lora")
            if kind == "last" and colon:
                return cls("last", blocks=int(number))
            if kind == "full":
                return cls("full", layer_decay=float(number)) if colon else cls("full")
        except ValueError:
            raise LikewiseError(
                f"{number!r} in the adaptation {text!r} is no number. Allowed: {FORMS}."
            ) from None
        if text == "frozen":
            return cls("frozen")
        raise LikewiseError(
            f"The adaptation {text!r} was given. Allowed: {FORMS}; for instance last:2."
        )

    def __str__(self) -> str:
        """The name that `parse` reads."""
        if self.kind == "lora" and self.rank != Adaptation("lora").rank:
            return f"lora:{self.rank}"
        if self.kind == "last":
            return f"last:{self.blocks}"
        if self.kind == "full" and self.layer_decay < 1:
            return f"full:{self.layer_decay:g}"
        return self.kind
