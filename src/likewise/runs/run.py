"""A run on disk: its encoder and scores, and embedding, search, evaluation and export with it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from likewise.classification import Classifier, Predictions, load_classifier, predict
from likewise.classification.predict import PRECISE
from likewise.counts import amount
from likewise.data.columns.column_names import MissingLabels
from likewise.data.columns.masks import VOID, MaskClasses
from likewise.data.data_settings import DataSettings
from likewise.data.left_out import require_all_read
from likewise.data.pixel_range import say_pixels
from likewise.encoders import Encoder, EncoderSettings, load_encoder
from likewise.encoders.weights_hash import weights_hash
from likewise.errors import LikewiseError
from likewise.field_types import INNER_SHARE, Range, checked_arguments
from likewise.methods import Nets
from likewise.randomness import restored_rng
from likewise.report.last_screen import last_screen
from likewise.report.model_card import caveats, model_card
from likewise.report.pages.page import write_report
from likewise.report.record import RunRecord
from likewise.run_folder import RunFolder
from likewise.runs.embedding import EmbeddedImages, EmbeddedParts, TrainedEncoder, embed_parts
from likewise.runs.evaluate_run import Extras, RunEvaluation, trained_scores
from likewise.runs.export import Format, export
from likewise.runs.exported import Exported
from likewise.runs.queries import SharedSpaces, open_index, search_shared
from likewise.runs.trained import load_trained
from likewise.training.launch import choose_device
from likewise.vectors import SearchResult, VectorIndex, Vectors
from likewise.vectors.parts import PART_SIZE


class Run:
    """What `likewise.train` made: an encoder, its scores and its page."""

    @checked_arguments()
    def __init__(self, path: str | Path, encoder: nn.Module | None = None) -> None:
        self.folder = RunFolder(path)
        self._module = encoder

    def __repr__(self) -> str:
        return f"Run({str(self.folder.path)!r})"

    @cached_property
    def _loaded(self) -> tuple[Encoder, EncoderSettings]:
        return load_encoder(self.folder.path, self._module)

    @cached_property
    def _spaces(self) -> SharedSpaces:
        return SharedSpaces(self.folder.path)

    @property
    def encoder(self) -> Encoder:
        """The encoder, in eval mode: float [B, C, S, S] in [0, 1] -> [B, D]."""
        return self._loaded[0]

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier, in eval mode: float [B, C, S, S] in [0, 1] -> logits whose softmax is calibrated, [B, K].

        Raises:
            LikewiseError: training saw no labels, or those of one class only.
        """
        return load_classifier(self.folder.path, self._module)

    @property
    def nets(self) -> Nets:
        """All networks of the run by name, in eval mode: the encoder, a classifier, heads; from its checkpoint."""
        return load_trained(self.folder.path, self._module).nets

    @property
    def scores(self) -> dict[str, float]:
        """The trained encoder's scores by name; empty before an evaluation or without labels."""
        if not self.folder.scores.exists():
            return {}
        return trained_scores(self.folder)

    @checked_arguments(batch_size=Range(1))
    def embed(
        self,
        data: Any,
        batch_size: int = 256,
        pixel_range: tuple[float, float] | None = None,
        console: Console | None = None,
    ) -> Vectors:
        """Vectors of images, as the encoder sees their centre.

        A file that cannot be read has no vector; ``Vectors.skipped`` names it with the reason.

        Args:
            data: images, by any door that `likewise.train` takes.
            batch_size: images at a time.
            pixel_range: values that become black and white; None: those of the encoder's training.
            console: where it is said how pixels of more than 8 bits are taken; None: nowhere.

        Raises:
            LikewiseError: the data hold no image that can be read, or pixels whose scale is not known.
        """
        images = EmbeddedImages(self._trained_encoder(), data, pixel_range)
        say_pixels(images.manifest, console)
        return images.vectors(batch_size, choose_device("auto"))

    @checked_arguments(part_size=Range(1), batch_size=Range(1), devices=Range(0))
    def embed_parts(
        self,
        data: Any,
        out: str | Path,
        part_size: int = PART_SIZE,
        batch_size: int = 256,
        devices: int = 1,
        pixel_range: tuple[float, float] | None = None,
        overwrite: bool = False,
        console: Console | None = None,
    ) -> EmbeddedParts:
        """Vectors of images as a folder of Parquet files, by one process or many, a part in memory at a time.

        The same call goes on where an earlier one was stopped or killed: a part that is finished is not embedded again,
        whatever the number of processes then and now. `likewise.vectors.read_vectors` and `search` read the folder.

        Args:
            data: images, by any door that `likewise.train` takes.
            out: the folder.
            part_size: images in a part.
            batch_size: images at a time.
            devices: processes to start, one a device; under torchrun and srun leave it.
            pixel_range: values that become black and white; None: those of the encoder's training.
            overwrite: whether parts of another set or encoder may be replaced.
            console: where each finished part is said; None: nowhere.

        Raises:
            LikewiseError: the data hold no image that can be read, or the folder holds other vectors.
        """
        encoder, screen = self._trained_encoder(), console or Console(quiet=True)
        return embed_parts(
            encoder, data, Path(out), part_size, batch_size, devices, pixel_range, overwrite, screen
        )

    def _trained_encoder(self) -> TrainedEncoder:
        network, settings = self._loaded
        return TrainedEncoder(network, settings, self._hash, self._spaces.of_features)

    @cached_property
    def _hash(self) -> str:
        """Of the encoder's weights."""
        return weights_hash(self.encoder)

    @checked_arguments(precise=INNER_SHARE, batch_size=Range(1))
    def predict(
        self,
        data: Any,
        out: str | Path | None = None,
        precise: float = PRECISE,
        overwrite: bool = False,
        batch_size: int = 256,
        pixel_range: tuple[float, float] | None = None,
        console: Console | None = None,
    ) -> Predictions:
        """The class of each image, with a calibrated probability and whether it is sure.

        See `likewise.classification.predict.predict` for the columns, and for how an interrupted call goes on.

        Args:
            data: images, by any door that `likewise.train` takes; or what `embed` or `embed_parts` wrote.
            out: a ``.csv`` or ``.parquet`` file to write; None keeps the predictions in memory.
            precise: the wanted share of correct predictions, of those that are not unsure.
            overwrite: whether ``out`` may be replaced.
            batch_size: images at a time.
            pixel_range: values that become black and white; None: those of the encoder's training.
            console: where it is said how pixels of more than 8 bits are taken; None: nowhere.

        Raises:
            LikewiseError: training saw no labels, there is no image, or the file exists.
        """
        return predict(
            self.folder.path,
            data,
            out,
            precise,
            overwrite,
            batch_size,
            self._module,
            pixel_range,
            console,
        )

    @checked_arguments()
    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts, to be compared with ``Vectors.shared`` of images.

        Raises:
            LikewiseError: the run learned nothing from texts, or a text is blank.
        """
        vectors = self._spaces.of_texts(texts)
        return Vectors(list(texts), [""] * len(texts), vectors, vectors, self._hash)

    @checked_arguments(count=Range(1))
    def search_text(
        self, text: str, vectors: str | Path | Vectors | VectorIndex, count: int = 10
    ) -> list[SearchResult]:
        """The embedded images that a text describes best, best first."""
        query = self.embed_text([text]).vectors  # [1, d]
        return search_shared(self.vector_index(vectors), query, count, "texts", self.folder.path)

    def embed_sound(self, files: Sequence[str | Path]) -> Vectors:
        """Vectors of the sound of files, videos or not, to be compared with ``Vectors.shared`` of clips.

        Raises:
            LikewiseError: the run learned nothing from sound, or a file has none.
        """
        vectors = self._spaces.of_sounds(files, self._loaded[1])
        return Vectors(
            [str(file) for file in files], [""] * len(files), vectors, vectors, self._hash
        )

    @checked_arguments(count=Range(1))
    def search_sound(
        self, file: str | Path, vectors: str | Path | Vectors | VectorIndex, count: int = 10
    ) -> list[SearchResult]:
        """The embedded clips that a file's sound fits best, best first."""
        query = self.embed_sound([file]).vectors  # [1, d]
        return search_shared(self.vector_index(vectors), query, count, "sounds", self.folder.path)

    def vector_index(self, vectors: str | Path | Vectors | VectorIndex) -> VectorIndex:
        """Vectors in memory, of a file or of a folder of parts, which this run's encoder must have made.

        Raises:
            LikewiseError: another encoder made them, or a file does not say which one did.
        """
        return open_index(vectors, self._hash, self.folder.path)

    @checked_arguments(count=Range(1))
    def search(
        self,
        query: str | Path,
        vectors: str | Path | Vectors | VectorIndex,
        count: int = 10,
        pixel_range: tuple[float, float] | None = None,
    ) -> list[SearchResult]:
        """The embedded images most similar to an image file, most similar first.

        Raises:
            LikewiseError: the file cannot be read, or another encoder made the vectors.
        """
        index = self.vector_index(vectors)
        if not Path(query).expanduser().is_file():
            what = "is a folder" if Path(query).is_dir() else "is not there, or is no regular file"
            raise LikewiseError(f"{query} {what}. The query is one image file.")
        vector = self.embed(str(query), pixel_range=pixel_range).vectors  # [1, D]
        if len(vector) != 1:
            raise LikewiseError(
                f"{query} holds {amount(len(vector), 'image')}. The query is a file of one image."
            )
        if vector.shape[1] != index.width("vector"):
            raise LikewiseError(
                f"The vectors have {index.width('vector')} numbers each and this run's encoder gives "
                f"{vector.shape[1]}: they come from another run. Embed the images again with this one."
            )
        return index.most_similar(vector, count)

    @checked_arguments(neighbours=Range(1))
    @restored_rng()
    def evaluate(
        self,
        data: Any = None,
        labels: str | None = None,
        path_column: str | None = None,
        label_column: str | None = None,
        group_column: str | None = None,
        missing_labels: MissingLabels = "unlabelled",
        fine_tune: bool = False,
        corruptions: bool = False,
        full_bank: bool = False,
        neighbours: int = 20,
        masks: str | None = None,
        ignore_index: int = VOID,
        mask_classes: MaskClasses = "numbers",
        strict: bool = False,
        pixel_range: tuple[float, float] | None = None,
        console: Console | None = None,
    ) -> dict[str, float]:
        """Score the encoder again.

        On the data that it was trained on, its scores and its page are renewed; scores on other data go into a folder
        of their own under ``evaluations``. Files that cannot be read are in no score; ``scores.json`` names them.

        Args:
            data: other data, or None.
            labels: the labels of other data, as `likewise.train` takes them.
            path_column: the column of a CSV that holds the paths of other data, by name or by number from 1.
            label_column: the column of other data's CSV, table or Parquet files that holds the labels.
            group_column: the column of other data's CSV, table or Parquet files that says what belongs together.
            missing_labels: what NaN, NA, N/A, None and null mean as a label of other data.
            fine_tune: also fine-tune the whole network, this one and the baselines, on the visible labels.
            corruptions: also measure the accuracy of the probe, and of the method's own classifier, on corrupted test
                images: fifteen kinds at five severities (`likewise.evaluation.corruptions.robustness.Robustness`).
            full_bank: for a run with ``imbalance``: neighbours and probes learn from the images that it left out too.
            neighbours: nearest neighbours that vote; 1 with ``full_bank`` is ISD's protocol for unbalanced training.
            masks: folder of other data's masks, where they are no column of it.
            ignore_index: the value in other data's masks of pixels that belong to no class.
            mask_classes: "binary" where the values of other data's masks number objects, all of one class.
            strict: raise an error at the end where files could not be read.
            pixel_range: values of other data that become black and white; None: those of the encoder's training.
            console: where the table is printed; None prints nothing.

        Raises:
            LikewiseError: data that are not there any more or do not fit the encoder.
            FilesLeftOut: with ``strict``, files could not be read; the scores of the others have been written.
        """
        of_data = DataSettings(
            labels=labels or "all",
            masks=masks,
            ignore_index=ignore_index,
            mask_classes=mask_classes,
            path_column=path_column,
            label_column=label_column,
            missing_labels=missing_labels,
            group_column=group_column,
            pixel_range=pixel_range,
        )
        extras = Extras(fine_tune, corruptions, full_bank, neighbours)
        evaluation = RunEvaluation(self.folder, *self._loaded, self._module)
        scored, skipped = evaluation.evaluate(data, of_data, extras)
        if data is None:
            self.report()
        if console is not None:
            console.print(last_screen(scored))
        if strict:
            require_all_read(skipped)
        return trained_scores(scored)

    @checked_arguments()
    def export(
        self, to: Format = "safetensors", out: str | Path | None = None, with_head: bool = False
    ) -> Path:
        """Write the encoder, or the whole classifier, for other tools; see `likewise.runs.export.export`.

        Args:
            to: the format.
            out: the file, or the folder of ``hub``; None: in the run's folder.
            with_head: the classifier, with its class names and temperature, instead of the encoder alone.

        Raises:
            LikewiseError: the format does not fit, or there is no classifier.
        """
        encoder, settings = self._loaded
        network = self.classifier if with_head else encoder
        return export(Exported(network, settings, self.model_card), self.folder.path, to, out)

    @property
    def model_card(self) -> str:
        """A short model card, Markdown: method, labels, scores, and where it is no better than its start.

        Empty for a classifier of an advice, which has no run.
        """
        return model_card(self.folder) if self.folder.config.exists() else ""

    @property
    def caveats(self) -> list[str]:
        """Sentences that whoever uses the model must know: no better than its start, worse than it, or collapsed."""
        return caveats(RunRecord.read(self.folder)) if self.folder.config.exists() else []

    def report(self) -> Path:
        """Write the page again from the files in the folder."""
        return write_report(self.folder)
