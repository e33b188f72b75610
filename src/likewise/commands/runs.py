"""What a finished run can do: evaluate, embed, search, report, compare, export."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from likewise.classification.predict import PRECISE
from likewise.collectives import rank
from likewise.commands.words import DataArgument, Positional, RunArgument, parse, say_skipped
from likewise.counts import amount
from likewise.data.columns.captions import lines_of
from likewise.data.columns.column_names import MissingLabels
from likewise.data.columns.masks import MaskClasses
from likewise.data.sources.headings import has_image_ending
from likewise.errors import LikewiseError
from likewise.runs import api
from likewise.runs.export import Format
from likewise.runs.run import Run
from likewise.training import Interrupted
from likewise.training.processes import started_processes
from likewise.vectors.parts import PART_SIZE
from likewise.vectors.vectors import require_writable
from likewise.write_lock import only_writer


@dataclass(frozen=True)
class Evaluate:
    """Score a run's encoder and, as a baseline, an untrained one of the same shape."""

    run: RunArgument
    """the run's folder"""
    data: str | None = None
    """data to score on; default: the data that the run was trained on"""
    labels: str | None = None
    """labels of --data: none, all, 10 (for each class), total:4000, 1%, or a CSV of paths and labels"""
    path_column: str | None = None
    """column of the CSV in --labels or --data that holds the paths, by name, or by number from 1 without a heading"""
    label_column: str | None = None
    """column of the CSV, the table or the Parquet files that holds the labels of --data"""
    group_column: str | None = None
    """column of the CSV, the table or the Parquet files that says which rows of --data belong together"""
    missing_labels: MissingLabels = "unlabelled"
    """what NaN, NA, N/A, None and null mean as a label: unlabelled, or a class of that name"""
    masks: str | None = None
    """folder of PNG masks for --data; default: the column "mask" of Parquet files"""
    ignore_index: int = 255
    """value in the masks of --data of pixels that belong to no class"""
    mask_classes: MaskClasses = "numbers"
    """what the masks of --data hold: numbers of classes, or (binary) numbers of objects that are all one class"""
    fine_tune: bool = False
    """also fine-tune the whole network, this one and the baselines, on the visible labels (minutes)"""
    corruptions: bool = False
    """also measure accuracy on corrupted test images: 15 kinds at 5 severities (a minute)"""
    full_bank: bool = False
    """for a run with --imbalance: neighbours and probes learn from the images that it left out too"""
    neighbours: int = 20  # nearest training images that vote
    strict: bool = False
    """end with code 1 where files could not be read; the scores of the others are written all the same"""
    pixel_range: tuple[float, float] | None = None
    """values of pixels of more than 8 bits that become black and white; default: the run's own"""


def evaluate(words: list[str]) -> None:
    """``likewise evaluate RUN``."""
    given = dict(vars(parse(Evaluate, words, "likewise evaluate")))
    api.load(given.pop("run")).evaluate(**given, console=Console())


@dataclass(frozen=True)
class Embed:
    """Images to vectors; or the lines of a text file, for a run that learned from captions."""

    run: RunArgument
    """the run's folder"""
    data: DataArgument
    """folder, file or built-in data set; or a .txt file, a text a line where it is no list of image files"""
    out: str | None = None
    """Parquet file for the id, label and vector of each image; default: vectors.parquet. Several devices or processes,
    and --part-size, write a folder of Parquet files; default then: vectors"""
    devices: int = 1
    """GPUs or CPU processes that share the images; under torchrun and srun their processes do without it"""
    part_size: int | None = None
    """images in each file of a folder; default: one file, or 50000 with several processes. The same command goes on
    with a folder that is not finished"""
    overwrite: bool = False
    """replace the file, or the files in the folder, if there are any"""
    strict: bool = False
    """end with code 1 where images could not be read; the vectors of the others are written all the same"""
    pixel_range: tuple[float, float] | None = None
    """values of pixels of more than 8 bits that become black and white; default: the run's own"""


def embed(words: list[str]) -> None:
    """``likewise embed RUN DATA --out vectors.parquet``."""
    given = parse(Embed, words, "likewise embed")
    run, of_texts = api.load(given.run), _holds_texts(given.data)
    if given.part_size is None and given.devices == 1 and started_processes() is None:
        out = given.out or "vectors.parquet"
        if Path(out).suffix != ".parquet":
            raise LikewiseError(
                f"--out {out}: vectors are a Parquet file. Give a name in .parquet."
            )
        require_writable(out, given.overwrite)  # before hours of embedding
        with only_writer(Path(out)):
            if of_texts:
                vectors = run.embed_text(lines_of(Path(given.data)))
            else:
                vectors = run.embed(given.data, pixel_range=given.pixel_range, console=Console())
            vectors.save(out, overwrite=given.overwrite)
        print(
            f"{amount(len(vectors.ids), 'vector')} of {vectors.vectors.shape[1]} numbers -> {out}"
        )
        say_skipped(vectors.skipped, "have no vector", given.strict)
    elif of_texts:
        raise LikewiseError(
            "Texts are embedded by one process into one file: leave --devices and --part-size out."
        )
    else:
        _embed_parts(run, given)


def _holds_texts(data: str) -> bool:
    """Whether the data are a text file with a text a line, and not a list of image files."""
    if not data.endswith(".txt"):
        return False
    lines = lines_of(Path(data))
    cells = re.split(r"[,;\t ]", lines[0]) if lines else []
    return not any(map(has_image_ending, cells))


def _embed_parts(run: Run, given: Embed) -> None:
    out = given.out or "vectors"
    if Path(out).suffix == ".parquet":
        raise LikewiseError(
            f"--out {out} is one file, but several processes, or --part-size, write a folder of files. Give a folder, "
            f"for instance --out {Path(out).with_suffix('')}."
        )
    made = run.embed_parts(
        given.data,
        out,
        part_size=PART_SIZE if given.part_size is None else given.part_size,
        devices=given.devices,
        pixel_range=given.pixel_range,
        overwrite=given.overwrite,
        console=Console(),
    )
    if rank() == 0:
        print(f"{amount(made.vectors, 'vector')} in {amount(made.parts, 'file')} -> {out}")
        say_skipped(made.skipped, "have no vector", given.strict)


@dataclass(frozen=True)
class Predict:
    """The class of each new image, with a calibrated probability and whether it is sure."""

    run: RunArgument
    """folder of a run that saw labels, or of an advice"""
    data: DataArgument
    """folder, file or built-in data set of new images; or the file or folder of vectors that `likewise embed` wrote"""
    out: str = "predictions.csv"
    """file for the predictions, .csv or .parquet; an interrupted one is continued by the same command"""
    precise: float = PRECISE
    """wanted share of correct predictions, of those that are not marked unsure"""
    batch_size: int = 256
    """images classified at a time"""
    overwrite: bool = False
    """replace the file if it is there"""
    strict: bool = False
    """end with code 1 where files could not be read; the predictions of the others are written all the same"""
    pixel_range: tuple[float, float] | None = None
    """values of pixels of more than 8 bits that become black and white; default: the run's own"""


def predict(words: list[str]) -> None:
    """``likewise predict RUN NEW/ --out predictions.csv``."""
    given = parse(Predict, words, "likewise predict")
    try:
        run = api.load(given.run)
        made = run.predict(
            given.data,
            given.out,
            given.precise,
            given.overwrite,
            given.batch_size,
            given.pixel_range,
            Console(),
        )
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted. The same command goes on with {given.out}.") from None
    if made.started_again:
        print(
            "The unfinished predictions were of another classifier, other images or other options: started again."
        )
    if made.continued_from:
        print(f"Continued from row {made.continued_from:,}.")
    print(f"{made.summary()} -> {given.out}")
    accuracy = made.accuracy
    if accuracy is not None:
        print(accuracy)
    say_skipped(made.unread, "could not be read, so they have no class", given.strict)


@dataclass(frozen=True)
class Search:
    """The images most similar to an image, a text or a sound."""

    run: RunArgument
    """the run whose encoder made the vectors"""
    query: Annotated[
        str | None, Positional, tyro.conf.arg(metavar="[IMAGE]", help_behavior_hint="")
    ] = None
    """an image file"""
    text: str | None = None
    """a description, instead of an image; for a run that learned from captions"""
    sound: str | None = None
    """a file with sound, instead of an image; for a run that learned from videos and their sound"""
    in_: Annotated[str, tyro.conf.arg(name="in")] = "vectors.parquet"
    """Parquet file that `likewise embed` wrote, or its folder of parts"""
    count: int = 10
    """number of images to list"""
    strict: bool = False
    """end with code 1 where the file of vectors leaves out images that could not be read"""
    pixel_range: tuple[float, float] | None = None
    """values of pixels of more than 8 bits that become black and white; default: the run's own"""


def search(words: list[str]) -> None:
    """``likewise search RUN query.jpg --in vectors.parquet``, or ``--text "a dog"``, or ``--sound bark.wav``."""
    given = parse(Search, words, "likewise search")
    if [given.query, given.text, given.sound].count(None) != 2:
        raise LikewiseError(
            'Give one of the three: an image file, a description as in --text "a dog in snow", or a file with sound as '
            "in --sound bark.wav."
        )
    table, run = Table("cosine", "image", "label"), api.load(given.run)
    vectors = run.vector_index(given.in_)
    if given.text is not None:
        found = run.search_text(given.text, vectors, given.count)
    elif given.sound is not None:
        found = run.search_sound(given.sound, vectors, given.count)
    else:
        found = run.search(str(given.query), vectors, given.count, given.pixel_range)
    for match in found:
        table.add_row(f"{match.cosine:.3f}", escape(match.id), escape(match.label))
    Console().print(table)
    say_skipped(vectors.skipped, "could not be embedded, so they are not searched", given.strict)


@dataclass(frozen=True)
class Report:
    """Write a run's page again, from the files in its folder."""

    run: RunArgument
    """the run's folder"""


def report(words: list[str]) -> None:
    """``likewise report RUN``."""
    print(api.load(parse(Report, words, "likewise report").run).report())


@dataclass(frozen=True)
class Compare:
    """Several runs on one page."""

    runs: Annotated[
        tuple[str, ...], Positional, tyro.conf.arg(metavar="RUN RUN ...", help_behavior_hint="")
    ]
    """two or more run folders; the first is the baseline of the others"""
    out: str = "compare.html"
    """HTML file to write"""
    score: str | None = None
    """online score that the curves show, for instance knn20_top1; default: one that all runs have"""
    allow_incomparable: bool = False
    """compare scores that were taken by different protocols, which says little"""


def compare(words: list[str]) -> None:
    """``likewise compare RUN RUN ...``."""
    given = parse(Compare, words, "likewise compare")
    api.compare(given.runs, given.out, given.score, given.allow_incomparable, Console())


@dataclass(frozen=True)
class Export:
    """The encoder, or the whole classifier, as files for other tools; verified by loading them back."""

    run: RunArgument
    """the run's folder"""
    to: Format = "safetensors"
    """safetensors: all weights; timm: weights that timm.create_model loads; hub: a folder with config.json that timm
    loads by local-dir or from a hub; onnx, torchscript: a graph"""
    out: str | None = None
    """file to write, or the folder of hub; default: in the run's folder, named after the format"""
    with_head: bool = False
    """the whole classifier, with class names and temperature, instead of the encoder alone"""


def export(words: list[str]) -> None:
    """``likewise export RUN --to timm``."""
    given = parse(Export, words, "likewise export")
    run = api.load(given.run)
    print(run.export(given.to, given.out, given.with_head))
    for sentence in run.caveats:
        print(sentence, file=sys.stderr)
