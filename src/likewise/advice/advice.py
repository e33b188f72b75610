"""What an advice found: the winner, every arm, what each ingredient was worth, the sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from likewise.classification import Classifier, load_classifier
from likewise.errors import LikewiseError
from likewise.json_files import read_json, write_json
from likewise.report.wording import duration, interval, percent

FILE = "advice.json"

OUTCOMES = {
    "complete": "",
    "behind": "dropped: others were ahead",
    "no time": "not finished in the time",
    "not tried": "not tried in the time",
    "failed": "failed: see the notes",
}
"""How an arm ended, in words."""


@dataclass(frozen=True)
class ArmResult:
    """One arm: its cross-validated accuracy, as of the final classifier."""

    name: str
    accuracy: float | None
    """on new images, 0 to 1; None: not measured"""
    low: float | None
    """lower end of the 95 % interval"""
    high: float | None
    """upper end"""
    seconds: float
    """spent on it"""
    outcome: str = "complete"
    """complete, behind, no time, not tried, failed"""
    folds: int = 0
    """of the cross-validation that were measured"""
    probability: float | None = None
    """that it gives to the right class of held-out images, the geometric mean: what arms are chosen by"""


@dataclass(frozen=True)
class Gain:
    """What an ingredient is worth: the difference of two arms, or of two numbers of labels, on the same images."""

    of: str
    """labels, pretrained weights, fine-tuning, unlabelled images, own pre-training"""
    value: float | None
    """difference of accuracies; None: not tried"""
    low: float | None = None
    high: float | None = None
    first: str = ""
    """the arm with it"""
    second: str = ""
    """the arm without it"""


@dataclass(frozen=True)
class Advice:
    """The result of `likewise.advise`, and of its folder."""

    folder: Path
    winner: str
    """the arm whose classifier is saved"""
    expected: float | None
    """accuracy on new images, 0 to 1; None: the labels are too few to say"""
    low: float | None
    """lower end of its 95 % interval"""
    high: float | None
    """upper end"""
    arms: list[ArmResult]
    gains: list[Gain] = field(default_factory=list)
    sentence: str = ""
    """the winner, what to expect, and all findings"""
    choice: str = ""
    """why the winner is not the arm with the highest accuracy, where it is not"""
    findings: list[str] = field(default_factory=list)
    """what each ingredient bought, a sentence each"""
    command: str = ""
    """the command for a longer search"""
    source: str = ""
    images: int = 0
    labels: int = 0
    classes: int = 0
    seconds: float = 0.0
    """all of it"""
    time: float = 0.0
    """seconds that were given"""
    notes: list[str] = field(default_factory=list)
    protocol: dict[str, Any] = field(default_factory=dict)
    """folds, seed and how expectation and interval were made"""

    @property
    def classifier(self) -> Classifier:
        """The winner: an ``nn.Module`` from float [B, C, S, S] in [0, 1] to logits whose softmax is calibrated."""
        return load_classifier(self.folder)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, as in ``advice.json``."""
        content = asdict(self)
        del content["folder"]
        return content

    def save(self) -> None:
        """Write ``advice.json``."""
        write_json(self.folder / FILE, self.to_json())

    @classmethod
    def read(cls, folder: str | Path) -> Advice:
        """The advice in a folder.

        Raises:
            LikewiseError: there is none.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            raise LikewiseError(
                f"{folder} has no {FILE}. Give a folder that `likewise advise` wrote."
            )
        content = read_json(path)
        arms = [ArmResult(**arm) for arm in content.pop("arms")]
        gains = [Gain(**gain) for gain in content.pop("gains")]
        return cls(Path(folder), arms=arms, gains=gains, **content)

    def table(self) -> Table:
        """Every arm with its accuracy, interval and time; the winner is marked, and why it is not the most accurate."""
        columns = (
            "",
            "arm",
            "accuracy",
            "95 % interval",
            "probability of\nthe right class",
            "time",
            "",
        )
        table = Table(
            *columns,
            title="Accuracy on new images",
            caption=self.choice or None,
            caption_justify="left",
        )
        for arm in self.arms:
            mark = "→" if arm.name == self.winner else ""
            known = arm.accuracy is not None and arm.low is not None and arm.high is not None
            interval_text = interval(arm.low or 0.0, arm.high or 0.0) if known else "–"
            time = duration(arm.seconds) if arm.seconds else "–"
            row = (
                mark,
                arm.name,
                percent(arm.accuracy),
                interval_text,
                percent(arm.probability),
                time,
            )
            table.add_row(*row, OUTCOMES[arm.outcome])
        return table

    def __str__(self) -> str:
        """The table and the sentence as text."""
        console = Console(width=120, color_system=None, force_terminal=False)
        with console.capture() as capture:
            console.print(self.table())
            console.print(self.sentence)
        return capture.get().rstrip()

    __repr__ = __str__
