"""How many labels training may see, hidden in the data so that no method can leak one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.data.classes import class_counts
from likewise.data.sources.text_table import ENDINGS, RECORDS
from likewise.data.stable_order import ranks_within_class, stable_score
from likewise.errors import LikewiseError

ALLOWED = (
    "none, all, a number a class (10), a number in all (total:4000), a share of every class (1%), or a file of row "
    "numbers or ids (split.txt)"
)


@dataclass(frozen=True)
class LabelBudget:
    """The labels that are visible to training: all, unless one of the four limits is set.

    For one seed budgets are nested (the 10 a class lie inside the 50, the 1% inside the 10%), and whether an example
    is visible depends on its id and its class alone, never on the order of the files.
    """

    per_class: int | None = None
    """visible labels of each class; 0 for none"""
    total: int | None = None
    """visible labels in all, as many of each class as of any other, or one more"""
    fraction: float | None = None
    """fraction of each class's labels that is visible, in (0, 1]; at least one label a class"""
    file: str | None = None
    """text file (one entry a line, or comma separated) or .npy of the examples whose labels are visible"""
    seed: int = 0
    """which labels are sampled"""

    def __post_init__(self) -> None:
        limits = {
            "per_class": self.per_class,
            "total": self.total,
            "fraction": self.fraction,
            "file": self.file,
        }
        given = [name for name, limit in limits.items() if limit is not None]
        if len(given) > 1:
            raise LikewiseError(f"{self}: {' and '.join(given)} were both given; choose one.")
        if self.per_class is not None and self.per_class < 0:
            raise LikewiseError(
                f"A label budget of {self.per_class} a class was given; allowed is 0 (none) or more, or None for all."
            )
        if self.total is not None and self.total < 1:
            raise LikewiseError(
                f"A label budget of {self} was given; a total is 1 or more, and none shows no label."
            )
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise LikewiseError(
                f"A label budget of {self} was given; a share is above 0% and up to 100%, and none shows no label."
            )

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> LabelBudget:
        """A budget as it is typed: ``none``, ``all``, ``10``, ``total:4000``, ``1%`` or the name of a split file.

        Raises:
            LikewiseError: it is none of these, or the file is not there.
        """
        word = text.strip()
        if word.lower() == "none":
            return cls(per_class=0, seed=seed)
        if word.lower() == "all":
            return cls(seed=seed)
        if word.isdecimal():
            return cls(per_class=int(word), seed=seed)
        if total := re.fullmatch(r"total:(\d+)", word.lower()):
            return cls(total=int(total[1]), seed=seed)
        if share := re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*%", word):
            return cls(fraction=float(share[1]) / 100, seed=seed)
        if Path(word).suffix.lower() in (*ENDINGS, *RECORDS):
            raise LikewiseError(
                f"{word} holds labels, not a budget: give it as the labels of the data."
            )
        if Path(word).is_file():
            return cls(file=word, seed=seed)
        if Path(word).suffix:
            missing = re.fullmatch(r"\d*\.\d+", word)
            hint = (
                f"For a share type {float(word) * 100:g}%." if missing else "There is no such file."
            )
            raise LikewiseError(f"--labels {text!r} cannot be used. {hint} Allowed: {ALLOWED}.")
        raise LikewiseError(f"--labels {text!r} cannot be used. Allowed: {ALLOWED}.")

    def __str__(self) -> str:
        """The budget as it is typed."""
        if self.file is not None:
            return self.file
        if self.fraction is not None:
            return f"{self.fraction * 100:g}%"
        if self.total is not None:
            return f"total:{self.total}"
        if self.per_class is None:
            return "all"
        return str(self.per_class) if self.per_class else "none"

    def apply(self, labels: Tensor, ids: Sequence[str], class_names: Sequence[str] = ()) -> Tensor:
        """Hide the labels outside the budget.

        Args:
            labels: int64 [N], -1 where there is none.
            ids: N stable names. Numbers in a split file count the N rows from 0, unless all are ids themselves.
            class_names: for messages.

        Returns:
            int64 [N], -1 where there is none or it is hidden.

        Raises:
            LikewiseError: some class has fewer labels than requested, or the file names what is not there.
        """
        if self.file is not None:
            return self._hide_all_but(labels, _rows_of_file(Path(self.file), ids))
        if self.per_class is None and self.fraction is None and self.total is None:
            return labels.clone()
        visible = self._visible_counts(class_counts(labels), class_names)
        limits = np.zeros(int(labels.max()) + 2, dtype=np.int64)  # the last entry is that of -1
        limits[list(visible)] = list(visible.values())
        classes = labels.numpy()
        ranks = ranks_within_class(classes, ids, f"label budget {self.seed}")
        is_visible = torch.from_numpy(ranks < limits[classes])
        return torch.where(is_visible, labels, UNLABELLED)

    def _visible_counts(self, counts: dict[int, int], class_names: Sequence[str]) -> dict[int, int]:
        """How many labels of each class are visible."""
        if self.per_class == 0:
            return {}
        if not counts:
            raise LikewiseError(
                f"A label budget of {self} was given, but no training example has a label. "
                f"Give labels: a CSV of paths and labels, --labels labels.csv, or one folder of images for each class. "
                f"To train without: --labels none."
            )
        if self.fraction is not None:
            return {c: max(1, int(self.fraction * n + 0.5)) for c, n in counts.items()}
        each = self.per_class or 0
        extra = 0  # classes that show one more
        if self.total is not None:
            each, extra = divmod(self.total, len(counts))
        scarce = min(counts, key=lambda c: counts[c])
        if each + (extra > 0) > counts[scarce]:
            name = class_names[scarce] if scarce < len(class_names) else str(scarce)
            raise self._too_few(name, counts[scarce], len(counts))
        by_chance = sorted(counts, key=lambda c: stable_score(f"label budget {self.seed}", str(c)))
        return {c: each + (rank < extra) for rank, c in enumerate(by_chance)}

    def _too_few(self, name: str, labelled: int, classes: int) -> LikewiseError:
        """The error where the scarcest class has fewer labels than the budget shows."""
        budget = f"{self.per_class} a class"
        allowed = str(labelled)
        if self.total is not None:
            budget = f"{self.total} in all"
            allowed = f"total:{labelled * classes}"
        return LikewiseError(
            f"A label budget of {budget} was given, but class {name} has only {labelled} labelled examples in the "
            f"training set; choose {allowed} or fewer, or all."
        )

    def _hide_all_but(self, labels: Tensor, rows: np.ndarray) -> Tensor:
        bare = rows[labels.numpy()[rows] == UNLABELLED]
        if len(bare):
            raise LikewiseError(
                f"{self.file} shows {amount(len(bare), 'example')} that have no label (rows {_some(bare)}). "
                f"Remove them from the file, or give their labels."
            )
        hidden = torch.full_like(labels, UNLABELLED)
        hidden[rows] = labels[rows]
        return hidden


def _rows_of_file(path: Path, ids: Sequence[str]) -> np.ndarray:
    """The rows that a split file names: by id, by file name alone where that is unambiguous, or by number."""
    entries = _entries(path)
    known = {name: row for row, name in enumerate(ids)}
    if not all(entry in known for entry in entries):
        if all(re.fullmatch(r"\d+", entry) for entry in entries):
            known = {str(row): row for row in range(len(ids))}
            entries = [str(int(entry)) for entry in entries]
        else:
            known = _by_file_name(ids) | known
    unknown = [entry for entry in entries if entry not in known]
    if unknown:
        raise LikewiseError(
            f"{path} names {amount(len(unknown), 'example')} that are not in the "
            f"{amount(len(ids), 'training example')}: {_some(unknown)}. "
            f"Its entries are ids such as {ids[0]!r}, or row numbers 0..{len(ids) - 1}."
        )
    return np.unique([known[entry] for entry in entries])


def _entries(path: Path) -> list[str]:
    """What a split file lists, as text.

    Raises:
        LikewiseError: the file cannot be read, or lists nothing.
    """
    try:
        if path.suffix == ".npy":
            listed = [str(entry) for entry in np.load(path).ravel().tolist()]
        else:
            listed = [entry.strip() for entry in re.split(r"[,\n]", path.read_text())]
    except (OSError, ValueError) as error:
        raise LikewiseError(f"The split file {path} cannot be read: {error}.") from error
    entries = [entry for entry in listed if entry and not entry.startswith("#")]
    if not entries:
        raise LikewiseError(
            f"The split file {path} lists nothing. To show no labels: --labels none."
        )
    return entries


def _by_file_name(ids: Sequence[str]) -> dict[str, int]:
    """Rows by the last part of their id, where no other row shares it (published splits often leave folders out)."""
    names = [name.rpartition("/")[2] for name in ids]
    counts = Counter(names)
    return {name: row for row, name in enumerate(names) if counts[name] == 1}


def _some(entries: Sequence[object] | np.ndarray, limit: int = 3) -> str:
    listed = ", ".join(str(entry) for entry in entries[:limit])
    return f"{listed}, ..." if len(entries) > limit else listed
