"""Scores of 50,000 training and 10,000 test images on the device, as a run ends with them: aim, under 5 s together.

The features are drawn; a ResNet-18 extracts others of random images, so that this is timed too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

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

CLASSES = 10


@dataclass(frozen=True)
class Sizes:
    """Of what is scored; small ones try the section on a CPU."""

    train: int = 50_000
    test: int = 10_000
    width: int = 512
    """of the features"""
    side: int = 32
    encoder: str = "timm/resnet18"


def parts(sizes: Sizes) -> tuple[Features, Features, list[str]]:
    """Clouds of each class that overlap, along axes of very different lengths; and ids."""
    generator, count = torch.Generator().manual_seed(0), sizes.train + sizes.test
    labels = torch.arange(count) % CLASSES
    lengths = torch.linspace(1, 0.02, sizes.width)
    centres = torch.randn(CLASSES, sizes.width, generator=generator)[labels]
    vectors = (torch.randn(count, sizes.width, generator=generator) + 0.15 * centres) * lengths
    train = Features(vectors[: sizes.train], labels[: sizes.train])
    test = Features(vectors[sizes.train :], labels[sizes.train :])
    return train, test, [f"train/{row}.png" for row in range(sizes.train)]


def timed(work: Callable[[], Measurement]) -> tuple[Result, Tensor]:
    """Seconds and accuracy of the second call, and its predictions."""
    work()
    start = time.perf_counter()
    found = work()
    seconds = round(time.perf_counter() - start, 3)
    return {"seconds": seconds, "accuracy": round(found.score.value, 4)}, found.predictions


def measures(device: torch.device, clock: Clock, sizes: Sizes) -> None:
    """Each measure on the device, then on the host, and on what share of the test images both agree."""
    train, test, ids = parts(sizes)
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


def everything(device: torch.device, clock: Clock, sizes: Sizes) -> None:
    """Two encoders' features extracted, and every score of both, as after a run."""
    generator, count = torch.Generator().manual_seed(0), sizes.train + sizes.test
    shape = (count, 3, sizes.side, sizes.side)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    images = InMemoryImages(Pixels(pixels, torch.ones(len(pixels))))
    settings = EncoderSettings(sizes.encoder, sizes.side, (0.5,) * 3, (0.25,) * 3, small_stem=True)
    encoders = {name: build_encoder(settings).to(device) for name in ("trained", "untrained")}
    train, test, ids = parts(sizes)
    known = Targets(labels=train.labels, ids=ids)
    asked = Targets(labels=test.labels, ids=[f"test/{row}.png" for row in range(sizes.test)])
    index = torch.arange(count)
    start = time.perf_counter()
    for encoder in encoders.values():
        extract(encoder, images, index, centre(), device=device)
    extraction = time.perf_counter() - start
    clock.found["extraction of two encoders (s)"] = round(extraction, 2)
    source = {"train": train.vectors, "test": test.vectors}.__getitem__
    start = time.perf_counter()
    evaluate_features(
        {"trained": source, "untrained": source}, known, asked, EvaluationSettings(), device
    )
    scores = time.perf_counter() - start
    clock.found["scores of two encoders (s)"] = round(scores, 2)
    clock.found["whole scoring (s)"] = round(extraction + scores, 2)
    print(f"scoring: {json.dumps(clock.found)}", flush=True)


def run(device: torch.device, clock: Clock, sizes: Sizes | None = None) -> None:
    """The whole first."""
    sizes = sizes or Sizes()
    everything(device, clock, sizes)
    measures(device, clock, sizes)


SECTION = Section(run, 25.0)
