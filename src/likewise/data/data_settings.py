"""What a run reads and which part of it training may see: the settings that the data need, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from likewise.data.columns.column_names import ColumnNames, MissingLabels
from likewise.data.columns.masks import MaskClasses
from likewise.data.columns.targets import Task
from likewise.data.video.clip_sampling import Region

Store = Literal["original", "squeezed"]
"""Where the crops of training come from: the file's own pixels, or a square of a little more than the view's size."""


@dataclass(frozen=True)
class DataSettings:
    """Labels, splits, masks, captions, the part of each video that is stored, and changes of the data for studies."""

    labels: str = "all"
    """labels that training may see: none, all, 10 (for each class), total:4000, 1% (of each class), a split file, or
    paths and labels as CSV, JSON lines or Parquet"""
    task: Task = "classification"
    """what labels are: one class an image (classification), any number of classes (multilabel; in a CSV with | between
    them) or numbers (regression). Lists and arrays [N, classes] are multilabel anyway"""
    path_column: str | None = None
    """the column of a CSV that holds the paths of the images, by name, or by number from 1 where there is no heading;
    default: the one that is called so and names images. With --labels and --captions it is that of --labels"""
    label_column: str | None = None
    """the column of a CSV (by name or by number from 1), a table or Parquet files that holds the labels; default:
    label, class, target and their kin, or the one marked as classes"""
    group_column: str | None = None
    """the column of a CSV, a table or Parquet files that says which rows belong together (one scene, one speaker): a
    group is then never divided between splits; default: group"""
    missing_labels: MissingLabels = "unlabelled"
    """what NaN, NA, N/A, None and null mean as a label: unlabelled, or a class of that name"""
    budget: str = "all"
    """label budget where --labels names a CSV file: none, all, 10 (for each class), total:4000, 1% or a split file"""
    captions: str | None = None
    """a CSV of paths and captions, a line for each caption, where the data have no captions of their own"""
    caption_column: str | None = None
    """the column of a CSV that holds the captions, by name or by number from 1; default: caption, text and their kin"""
    caption_noise: float = 0.0
    """share of the training images that get another image's captions, 0 to 1, for a study"""
    test_data: str | None = None
    """a second data source with the test images; default: the data's test split, or else a part held out"""
    masks: str | None = None
    """folder of PNG masks, one an image under the same relative path, that give each pixel's class; none: no masks.
    Default: the column "mask" of Parquet files"""
    ignore_index: int = 255
    """the value in masks of pixels that belong to no class; they are neither learned from nor counted"""
    mask_classes: MaskClasses = "numbers"
    """numbers: the values of a mask are classes; binary: they number objects, and all but 0 are one class"""
    seconds: float | None = None
    """seconds of each video that are read, from its beginning; default: the median length, at most 10"""
    region: Region | None = None
    """part of each video's frames that is read, as shares of their sides: left top right bottom; default: all"""
    pixel_range: tuple[float, float] | None = None
    """values of pixels that become black and white, where they have more than 8 bits, for instance 0 4095; default: one
    range for the whole set, found in it. Stored with the encoder"""
    store: Store = "original"
    """what training crops of photographs are cut from: original, the file's own pixels, as in the papers; squeezed, a
    stored square of 8/7 of the image size, in which small crops have lost their detail"""
    shuffle_buffer: int | None = None
    """images that are shuffled together where the data are shards (tar archives, Parquet files) that do not fit in
    memory: the shards are shuffled, and then the images of as many shards as hold this number. Default: 32,768 where
    the shards are at URLs, else all"""
    num_canonical_nodes: int = 1
    """parts into which shards are cut, each of which gives as many images to every batch. With as many machines as
    parts, or fewer, each machine reads the shards of its own parts alone; the batches are those of one machine"""
    cache_dir: str | None = None
    """folder for copies of shards that are at URLs. Default: LIKEWISE_CACHE_DIR, or ~/.cache/likewise/shards"""
    cache_size: str | None = None
    """bytes of that folder, for instance 20GB; the copies used longest ago go first. Default: LIKEWISE_CACHE_SIZE, or
    20GB"""
    val_fraction: float = 0.1
    """share of the labelled training images that validates, 0 to 1, where the data have no val split"""
    test_fraction: float = 0.2
    """share of the labelled images that tests, 0 to 1, where the data have no test split"""
    imbalance: Literal["none", "long-tail", "step"] = "none"
    """leave out labelled training images, for a study: long-tail (exponential class sizes) or step (some are rare)"""
    imbalance_ratio: float = 10.0
    """images of the most frequent class for each image of the rarest, with --imbalance"""
    imbalance_rare: float = 0.5
    """share of the classes that are rare, 0 to 1, with --imbalance step; the last classes are"""
    label_noise: float = 0.0
    """share of the visible training labels that are flipped to another class, 0 to 1, for a study"""
    seed: int = 0
    """seed of weights, order, views, held-out parts and label budgets"""

    @property
    def columns(self) -> ColumnNames:
        """The columns that were named, and what the labels are."""
        return ColumnNames(
            label=self.label_column,
            group=self.group_column,
            task=self.task,
            path=self.path_column,
            caption=self.caption_column,
            missing_labels=self.missing_labels,
        )
