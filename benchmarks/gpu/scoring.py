"""Scores of 50,000 training and 10,000 test images on the device, as a run ends with them: aim, under 5 s together.

The features are drawn; a ResNet-18 extracts others of random images, so that this is timed too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import torch
from torch import Tensor

from gpu.section import Clock, Result, Section
from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.encoders import EncoderSettings, build_encoder
from likewise.evaluation.evaluate_features import Targets, evaluate_features
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.evaluation.features import extract
from likewise.evaluation.metrics.few_label import FewLabel
from likewise.evaluation.metrics.knn import Knn
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.statistics.scores import Features, Measurement
from likewise.views.policies import centre

TRAIN, TEST, WIDTH, CLASSES = 50_000, 10_000, 512, 10


def parts() -> tuple[Features, Features, list[str]]:
    """Clouds of each class that overlap, along axes of very different lengths; and ids."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(TRAIN + TEST) % CLASSES
    lengths = torch.linspace(1, 0.02, WIDTH)
    centres = torch.randn(CLASSES, WIDTH, generator=generator)[labels]
    vectors = (torch.randn(TRAIN + TEST, WIDTH, generator=generator) + 0.15 * centres) * lengths
    train = Features(vectors[:TRAIN], labels[:TRAIN])
    return (
        train,
        Features(vectors[TRAIN:], labels[TRAIN:]),
        [f"train/{row}.png" for row in range(TRAIN)],
    )


def timed(work: Callable[[], Measurement]) -> tuple[Result, Tensor]:
    """Seconds and accuracy of the second call, and its predictions."""
    work()
    start = time.perf_counter()
    found = work()
    seconds = round(time.perf_counter() - start, 3)
    return {"seconds": seconds, "accuracy": round(found.score.value, 4)}, found.predictions


def measures(device: torch.device, clock: Clock) -> None:
    """Each measure on the device, then on the host, and on what share of the test images both agree."""
    train, test, ids = parts()
    there = [Features(part.vectors.to(device), part.labels) for part in (train, test)]
    few = FewLabel()
    work: dict[str, Callable[[Features, Features], Measurement]] = {
        "knn": lambda train, test: Knn().evaluate(train, test),
        "linear": lambda train, test: LinearProbe().evaluate(train, test),
        "few labels": lambda train, test: list(few.evaluate(train, test, ids))[-1],
    }
    for name, measure in work.items():
        clock.check()
        found, predictions = timed(lambda measure=measure: measure(*there))
        clock.found[name] = found
        on_host, expected = timed(lambda measure=measure: measure(train, test))
        clock.found[name] = {
            "device": found,
            "host": on_host,
            "alike": float((predictions == expected).float().mean()),
        }
        print(f"scoring, {name}: {json.dumps(clock.found[name])}", flush=True)


def everything(device: torch.device, clock: Clock) -> None:
    """Two encoders' features extracted, and every score of both, as after a run."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(
        0, 256, (TRAIN + TEST, 3, 32, 32), dtype=torch.uint8, generator=generator
    )
    images = InMemoryImages(Pixels(pixels, torch.ones(len(pixels))))
    settings = EncoderSettings("timm/resnet18", 32, (0.5,) * 3, (0.25,) * 3, small_stem=True)
    encoders = {name: build_encoder(settings).to(device) for name in ("trained", "untrained")}
    train, test, ids = parts()
    known = Targets(labels=train.labels, ids=ids)
    asked = Targets(labels=test.labels, ids=[f"test/{row}.png" for row in range(TEST)])
    index = torch.arange(TRAIN + TEST)
    start = time.perf_counter()
    for encoder in encoders.values():
        extract(encoder, images, index, centre(), device=device)
    clock.found["extraction of two encoders (s)"] = round(time.perf_counter() - start, 2)
    source = {"train": train.vectors, "test": test.vectors}.__getitem__
    start = time.perf_counter()
    evaluate_features(
        {"trained": source, "untrained": source}, known, asked, EvaluationSettings(), device
    )
    clock.found["scores of two encoders (s)"] = round(time.perf_counter() - start, 2)
    print(f"scoring: {json.dumps(clock.found)}", flush=True)


def run(device: torch.device, clock: Clock) -> None:
    """The whole first."""
    everything(device, clock)
    measures(device, clock)


SECTION = Section(run, 35.0)
