"""A small run's folder, made from formulas."""

import json
from pathlib import Path

import numpy as np

from likewise.json_files import write_json
from likewise.run_folder import FORMAT, RunFolder

CLASSES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "<script>alert('x')</script>",
    'Bag "quoted" & more',
]
COLOURS = np.array(
    [[200, 40, 40], [40, 200, 40], [40, 40, 200], [200, 200, 40], [200, 40, 200], [40, 200, 200]]
)


def online_accuracy(images: float, half: float = 40_000, top: float = 0.8) -> float:
    """Accuracy that rises from 0 towards ``top`` and is half way there after ``half`` images."""
    return top * images / (images + half)


def metric_lines(steps: int = 200, half: float = 40_000, speed: float = 5_000) -> list[dict]:
    lines = []
    for step in range(1, steps + 1):
        cost = {"step": step, "images": 1024 * step, "seconds": 1024 * step / speed}
        lines.append({**cost, "loss": 6 - 2 * step / (step + 30) + 0.1 * np.sin(step), "lr": 0.1})
        if step % 20 == 0:
            lines.append(
                {
                    **cost,
                    "knn20_top1": online_accuracy(cost["images"], half),
                    "effective_rank": 10 + step / 4,
                }
            )
    return lines


def score(name: str, value: float, count: int = 2000, **protocol) -> dict:
    return {"name": name, "value": value, "low": value - 0.02, "high": value + 0.02, "count": count,
            "protocol": protocol}  # fmt: skip


def write_gallery(run: RunFolder, per_class: int = 30, size: int = 28) -> None:
    """Clusters on a circle; each thumbnail has its class's colour, and a brightness that tells it from the others."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(len(CLASSES)), per_class)
    angle = 2 * np.pi * labels / len(CLASSES)
    vectors = np.stack(
        [np.cos(angle), np.sin(angle), np.ones_like(angle)], 1
    ) + 0.2 * random.normal(size=(len(labels), 3))
    predictions = np.where(random.random(len(labels)) < 0.15, (labels + 1) % len(CLASSES), labels)
    brightness = np.linspace(0.4, 1.2, len(labels))[:, None]
    paint = (COLOURS[labels] * brightness).clip(0, 255).astype(np.uint8)
    thumbnails = np.broadcast_to(paint[:, None, None, :], (len(labels), size, size, 3))
    truth = np.repeat(np.arange(len(CLASSES)), 100)
    answers = np.where(random.random(len(truth)) < 0.25, (truth + 2) % len(CLASSES), truth)
    np.savez(
        run.gallery, vectors=vectors.astype(np.float16), labels=labels, predictions=predictions, thumbnails=thumbnails,
        ids=np.array([f"test/{row:04d}<b>.png" for row in range(len(labels))]), class_names=np.array(CLASSES),
        all_labels=truth, all_predictions=answers,
    )  # fmt: skip


def write_run(
    path: Path,
    method: str = "simclr",
    labels: str = "10",
    half: float = 40_000,
    speed: float = 5_000,
) -> RunFolder:
    run = RunFolder(path)
    path.mkdir(parents=True)
    settings = {"epochs": 20, "batch_size": 256, "seed": 0, "validation": 0.1, "out": str(path)}
    write_json(run.config, {
        "format": FORMAT, "data": "photos/<clothes>", "method": {"name": method, "settings": {"temperature": 0.2}},
        "labels": labels, "encoder": {"name": "small"}, "steps": 200, "settings": settings,
    })  # fmt: skip
    write_json(run.environment, {"likewise": "0.1.0", "torch": "2.9", "machine": "2 x Intel Xeon", "device": "cpu",
                                 "precision": "bf16-mixed", "precision_reason": "the CPU has AMX",
                                 "seconds": 40.96})  # fmt: skip
    write_json(run.data, {
        "source": "photos/<clothes>", "splits": {"train": 10_000, "test": 2_000}, "labelled": 12_000, "unlabelled": 0,
        "classes": [{"name": name, "count": 1000 + 100 * at, "visible_labels": 10} for at, name in enumerate(CLASSES)],
        "visible_labels": 60, "image_size": 28, "channels": 3, "warnings": ["12 images occur twice"],
        "skipped": [{"id": "broken & <i>.jpg", "reason": "it is empty (0 bytes)"}],
    })  # fmt: skip
    run.metrics.write_text(
        "".join(json.dumps(line) + "\n" for line in metric_lines(half=half, speed=speed))
    )
    knn = {"k": 20, "k_requested": 20, "temperature": 0.07, "bank": 10_000}
    probe = {"strength": 0.01, "strength_chosen": "validation part", "validation": 2000, "validation_accuracy": 0.81,
             "labelled": 10_000, "seed": 0}  # fmt: skip
    write_json(run.scores, {
        "trained": [score("knn20_top1", 0.712, **knn), score("linear_top1", 0.789, **probe),
                    score("few10_top1", 0.655, draws=5)],
        "start": [score("knn20_top1", 0.642, **knn), score("linear_top1", 0.701, **probe)],
        "untrained": [score("knn20_top1", 0.55, **knn), score("linear_top1", 0.601, **probe),
                      score("few10_top1", 0.402, draws=5)],
        "differences": [{"name": "linear_top1", "over": "start", "value": 0.088, "low": 0.071, "high": 0.105},
                        {"name": "linear_top1", "over": "untrained", "value": 0.188, "low": 0.171, "high": 0.205}],
        "notes": ["few50_top1 was left out: a class has 40 images"],
        "label_free": {"trained": {"effective_rank": 60.2, "uniformity": -2.1},
                       "untrained": {"effective_rank": 6.1, "uniformity": -0.4}},
    })  # fmt: skip
    run.weights.write_bytes(b"")
    write_gallery(run)
    return run
