"""The files of a run's folder; only this module knows their names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.json_files import damaged, read_object, require_types
from likewise.write_lock import is_empty

IN_MEMORY = "in memory"
"""What is written in ``config.json`` where a run's data were objects, not files."""

FORMAT = 3
"""Of ``config.json``; raised when its content changes. A run of another format is refused."""

UNCOMPARED = (
    "out",
    "overwrite",
    "resume",
    "loggers",
    "num_workers",
    "cache_dir",
    "cache_size",
    "device",
    "devices",
    "strategy",
    "save_every",
    "microbatch",
    "activation_checkpointing",
    "cuda_graph",
    "fused_batch_norm",
    "compile",
    "max_bad",
)
"""Settings in ``config.json`` that may differ when a run is resumed: they change what is learned by rounding at most.
The number of microbatches changes more, whatever their size on one device; ``config.json`` has it next to the
settings."""

CONFIG_TYPES = {"data": str, "method": dict, "steps": int, "settings": dict}
"""Entries that every ``config.json`` has, and their types in JSON."""

MORE_CONFIG_TYPES = {
    "recipe": dict,
    "encoder": dict,
    "labels": str,
    "batch_size": int,
    "extensions": list,
    "resume": str,
}
"""Entries that every run of the command line has."""


class RunFolder:
    """A run on disk: settings, logs, weights, scores and the page, each under a fixed name."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def config(self) -> Path:
        """Every setting of the run, typed and reloadable."""
        return self.path / "config.json"

    @property
    def environment(self) -> Path:
        """Versions, machine, device, precision and why it was chosen."""
        return self.path / "environment.json"

    @property
    def data(self) -> Path:
        """What was found in the data: counts, classes, visible labels, skipped files."""
        return self.path / "data.json"

    @property
    def unread(self) -> Path:
        """Training images that could not be decoded, each with the reason; absent where all could."""
        return self.path / "unread.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: step, images, seconds, loss, ... and online scores."""
        return self.path / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """What the terminal showed, as text."""
        return self.path / "train.log"

    @property
    def checkpoint(self) -> Path:
        """Everything that resuming needs."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def previous_checkpoint(self) -> Path:
        """The checkpoint before the last one, for where that is damaged."""
        return self.path / "checkpoints" / "previous.ckpt"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to resume from."""
        return self.checkpoint.exists() or self.previous_checkpoint.exists()

    @property
    def best(self) -> Path:
        """How a start and the best evaluation did, and the networks of that evaluation if they may be gone back to."""
        return self.path / "checkpoints" / "best.pt"

    @property
    def healthy(self) -> Path:
        """The newest networks from before any sign of collapse, if they may be gone back to."""
        return self.path / "checkpoints" / "healthy.pt"

    @property
    def restored(self) -> Path:
        """The networks that a run restored at its end, instead of the last ones."""
        return self.path / "checkpoints" / "restored.pt"

    @property
    def lock(self) -> Path:
        """An empty file that the process which trains in the folder holds locked."""
        return self.path / ".lock"

    @property
    def owner(self) -> Path:
        """Which process that is; absent where none trains."""
        return self.path / "owner.json"

    @property
    def weights(self) -> Path:
        """The encoder's weights."""
        return self.path / "encoder.safetensors"

    @property
    def encoder(self) -> Path:
        """How to build the encoder that the weights belong to."""
        return self.path / "encoder.json"

    @property
    def classifier(self) -> Path:
        """Class names, temperature and how the classifier was made, where training saw labels of two classes."""
        return self.path / "classifier.json"

    @property
    def classifier_weights(self) -> Path:
        """The classifier's head, and what its predictions are judged by."""
        return self.path / "classifier.safetensors"

    @property
    def text(self) -> Path:
        """A folder with the text encoder, the vocabulary and the space shared with images, where texts were learned."""
        return self.path / "text"

    @property
    def sound(self) -> Path:
        """A folder with the network for sound and the space shared with clips, where sound was learned from."""
        return self.path / "sound"

    @property
    def retrieved(self) -> Path:
        """A few captions with the images that they found, for the page."""
        return self.path / "retrieved.npz"

    @property
    def scores(self) -> Path:
        """The final scores, with protocol and confidence interval."""
        return self.path / "scores.json"

    @property
    def gallery(self) -> Path:
        """Vectors, labels, predictions and thumbnails of sample images, for the page."""
        return self.path / "gallery.npz"

    @property
    def illustration(self) -> Path:
        """What the trained method makes of a few training images, for the page; few methods write one."""
        return self.path / "illustration.npz"

    @property
    def locations(self) -> Path:
        """Dense features of a few images and, with masks, the segmentation of their pixels, for the page."""
        return self.path / "locations.npz"

    @property
    def matches(self) -> Path:
        """Two views of a few images and the locations that the method matched, for the page."""
        return self.path / "matches.npz"

    @property
    def card(self) -> Path:
        """The model card, which exporting the encoder writes."""
        return self.path / "README.md"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    def create(self, *, overwrite: bool = False, resume: bool = False) -> None:
        """Make the folder, or refuse to touch one that already holds something."""
        try:
            # A run that was killed before its first file leaves empty folders, which are nobody's.
            files = (
                each
                for each in self.path.rglob("*")
                if each.is_file() and each not in (self.lock, self.owner)
            )
            occupied = any(files)
            if self.path.is_file():
                raise LikewiseError(f"The output {self.path} is a file; --out takes a folder.")
            if occupied and not (overwrite or resume):
                raise LikewiseError(
                    f"The output folder {self.path} is not empty. Choose another with --out, continue the run in it "
                    f"with --resume, or replace it with --overwrite."
                )
            if overwrite and occupied and not self.config.exists():
                raise LikewiseError(
                    f"{self.path} does not look like a run (it has no config.json), so --overwrite leaves it alone. "
                    f"Choose another --out or empty the folder yourself."
                )
            if overwrite and occupied:
                self._empty()
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentIOError(
                f"Cannot write the output folder {self.path}: {error.strerror or error}. Choose a folder on a disk "
                f"with room that you may write to, with --out."
            ) from error

    def _empty(self) -> None:
        """Remove what a run wrote; other files stay."""
        for entry in (
            self.config, self.environment, self.data, self.unread, self.metrics, self.log, self.checkpoint,
            self.previous_checkpoint, self.best, self.healthy, self.restored, self.weights, self.encoder,
            self.classifier, self.classifier_weights, self.scores, self.gallery, self.retrieved,
            self.illustration, self.locations, self.matches, self.report, self.card,
        ):  # fmt: skip
            entry.unlink(missing_ok=True)
        for pattern in ("*.partial", "*.damaged", "new.ckpt"):
            for left in (self.path / "checkpoints").glob(pattern):
                left.unlink()
        for folder in (self.text, self.sound):
            if folder.is_dir():
                shutil.rmtree(folder)

    def require_presence(self) -> None:
        """Refuse to go on where the folder was removed or renamed while its run was training.

        Raises:
            EnvironmentIOError: the folder is gone.
        """
        if not self.checkpoint.parent.is_dir():
            raise EnvironmentIOError(
                f"The run's folder {self.path} was removed or renamed while the run was training, so nothing more can "
                f"be saved, and the run stops. If it was renamed, continue it there with --resume and its new --out; "
                f"otherwise start it again."
            )

    def require(self) -> RunFolder:
        """This folder, if it holds a run of this format.

        Raises:
            LikewiseError: it holds no run, or one that an older version wrote.
        """
        if not self.config.exists():
            if self.classifier.exists():
                raise LikewiseError(
                    f"{self.path} holds a classifier of `likewise advise` and no run, which this needs. How often it "
                    f"is right on images that have labels: likewise predict {self.path} IMAGES/. Runs are made by "
                    f"likewise train."
                )
            raise LikewiseError(
                f"{self.path} is not a run: it has no config.json. Give a folder that `likewise train` wrote, "
                f"for instance runs/a."
            )
        content = read_object(self.config, optional=MORE_CONFIG_TYPES)
        if not content:
            raise damaged(self.config, "it is an empty object")
        found = content.get("format", 1)
        if found != FORMAT:
            raise LikewiseError(
                f"{self.path} holds a run of format {found}, and this version of likewise reads format {FORMAT}: train "
                f"it again."
            )
        require_types(self.config, content, CONFIG_TYPES)
        return self

    def metric_lines(self) -> Iterator[dict[str, Any]]:
        """The logged lines in order; an incomplete or damaged line is skipped."""
        if not self.metrics.exists():
            return
        with self.metrics.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    values = json.loads(line)
                except json.JSONDecodeError:
                    continue
                if isinstance(values, dict) and _is_number(values.get("step")):
                    yield values


def make_folder(out: Path, written: Sequence[str], overwrite: bool) -> None:
    """Make an output folder that is not a run's, or refuse one that is not empty.

    Args:
        out: the folder.
        written: names of the files that the command writes; ``overwrite`` removes these alone.
        overwrite: whether a folder that is not empty may be written to.
    """
    try:
        if out.exists() and not out.is_dir():
            raise LikewiseError(f"The output {out} is a file; --out takes a folder.")
        if out.exists() and not is_empty(out) and not overwrite:
            raise LikewiseError(
                f"The folder {out} is not empty. Replace an earlier result in it with --overwrite, or choose "
                f"another, for instance --out {out}-2."
            )
        out.mkdir(parents=True, exist_ok=True)
        for name in written:
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentIOError(
            f"Cannot write the output folder {out}: {error.strerror or error}. Choose a folder on a disk with room "
            f"that you may write to, with --out."
        ) from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
