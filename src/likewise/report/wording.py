"""Numbers and names for readers: 640,000 images, 1 min 50 s, 71.2%."""

from __future__ import annotations

import math
import re

from likewise.counts import amount

SCORES = {
    "linear_top1": "linear probe",
    "linear_on_budget_top1": "linear probe on visible labels",
    "fine_tune_top1": "fine-tuned network",
    "linear_miou": "segmentation, mean IoU",
    "linear_pixel_accuracy": "segmentation, pixel accuracy",
    "classifier_top1": "the method's own classifier",
    "teacher_top1": "the teacher's classifier",
    "sync_auc": "audio-visual synchronisation, AUC",
    "attention_in_box": "attention inside the sound source",
    "teacher_agreement": "agreement with the teacher",
    "multilabel_map": "several classes, mean average precision",
    "regression_r2": "ridge regression, R²",
}
SPLITS = {"train": "for training", "val": "for validation", "test": "for testing"}
CLASS_GROUPS = {
    "balanced": "mean over classes",
    "rare": "rare classes",
    "frequent": "frequent classes",
}
CORRUPTED = "corrupted_"


def is_over_classes(name: str) -> bool:
    """Whether a score is a mean over classes, such as ``knn20_rare_top1``."""
    return any(name.endswith(f"_{group}_top1") for group in CLASS_GROUPS)


def is_main(name: str) -> bool:
    """Whether a score belongs in the first table: one over all test images as they are."""
    return not is_over_classes(name) and not name.startswith(CORRUPTED)


def percent(value: float | None, digits: int = 1) -> str:
    """0.7123 -> ``71.2%``; a dash for what is not a number."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:.{digits}f}%"


def points(difference: float) -> str:
    """0.162 -> ``+16.2 points``: a difference of two percentages."""
    return f"{100 * difference:+.1f} points".replace("-", "−")


def interval(low: float, high: float) -> str:
    """(0.692, 0.732) -> ``69.2 to 73.2``."""
    return f"{100 * low:.1f} to {100 * high:.1f}".replace("-", "−")


def duration(seconds: float) -> str:
    """110.4 -> ``1 min 50 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def ratio(value: float) -> str:
    """0.4567 -> ``0.46``; from 10 on without decimals."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def score_name(name: str) -> str:
    """``knn20_top1`` -> ``k-NN (k=20)``; an unknown name stays as it is."""
    if match := re.fullmatch(r"knn(\d+)_top1", name):
        return f"k-NN (k={match[1]})"
    if match := re.fullmatch(r"few(\d+)_top1", name):
        return f"linear probe, {amount(int(match[1]), 'label')} per class"
    if match := re.fullmatch(
        r"(text_to_image|image_to_text|sound_to_clip|clip_to_sound)_r(\d+)", name
    ):
        return f"{match[1].replace('_', ' ')}, recall at {match[2]}"
    if match := re.fullmatch(r"zero_shot_hit(\d+)", name):
        return f"zero-shot, top-{match[1]} accuracy"
    if name.startswith(CORRUPTED):
        return f"{score_name(name.removeprefix(CORRUPTED))}, corrupted images"
    for group, words in CLASS_GROUPS.items():
        if name.endswith(f"_{group}_top1"):
            return f"{score_name(name.removesuffix(f'_{group}_top1') + '_top1')}, {words}"
    return SCORES.get(name, name.removesuffix("_top1").replace("_", " "))


def sentence_case(words: str) -> str:
    """The words with a capital at the start; all other letters stay: mean IoU, k-NN."""
    return words if words.startswith("k-NN") else words[:1].upper() + words[1:]


def label_budget(labels: object) -> str:
    """The ``labels`` setting in words: ``none``, ``all``, ``10`` (per class), ``total:4000``, ``1%`` or a file."""
    text = str(labels)
    if text in ("none", "0", "None"):
        return "no labels"
    if text == "all":
        return "all labels"
    if text.isdigit():
        return f"{amount(int(text), 'label')} per class"
    if text.startswith("total:"):
        return f"{amount(int(text.removeprefix('total:')), 'label')} in all"
    if text.endswith("%"):
        return f"{text[:-1].strip()}% of the labels"
    return f"the labels in {text}"


def listed(names: list[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
