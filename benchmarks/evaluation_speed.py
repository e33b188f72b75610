"""Nearest neighbours and the linear probe over 50,000 x 512 features and 10,000 queries, against peers, with memory.

python benchmarks/evaluation_speed.py --clock wall     # on a machine with nothing else to do

The features are those of a convolutional network with random weights on Fashion-MNIST: real images, so that the
features lean on one another as features do; the network need not have learned anything to be as slow to fit. Every
candidate works in a process of its own, which tells its peak memory beyond what it held with the features in it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import measuring
import numpy as np
import torch
import tyro
from measuring import Claim, Table

from likewise.data.open_images import open_images
from likewise.data.sources.named_sets import named_set
from likewise.encoders.small import ConvNet, Shape
from likewise.evaluation.features import extract
from likewise.evaluation.metrics.knn import Knn
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.statistics.scores import Features
from likewise.views.policies import centre

ROWS, QUERIES, WIDTH, CLASSES = 50_000, 10_000, 512, 10
LIMIT, MEMORY_LIMIT = 10.0, 1000


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    clock: measuring.Clock = "processor"
    """seconds that the process worked, which other processes hardly change, or seconds that went by"""
    rounds: int = 3
    """calls of each of ours, of which the median counts; a peer gets one, for it takes long"""
    alone: str = ""
    """measure this candidate here and print it as JSON; the script calls itself so"""
    features: Path | None = None
    """file of the features, for the child process"""


def random_features() -> tuple[Features, Features]:
    """Of Fashion-MNIST by a network that has learned nothing: training rows and queries."""
    manifest = named_set("fashion-mnist")
    torch.manual_seed(0)
    network = ConvNet(Shape((32, 64, 128, WIDTH), (2, 2, 2, 2), (5, 3, 3, 3)), (0.2860,), (0.3530,))
    chosen = torch.cat([torch.arange(ROWS), torch.arange(QUERIES) + len(manifest) - QUERIES])
    vectors = extract(network, open_images(manifest), chosen, centre())
    labels = manifest.labels[chosen]
    return Features(vectors[:ROWS], labels[:ROWS]), Features(vectors[ROWS:], labels[ROWS:])


Answer = Callable[[Features, Features], object]
"""From the bank and the queries to a class for each query."""


def our_knn(train: Features, test: Features) -> object:
    return Knn().predict(train, test.vectors)


def our_probe(train: Features, test: Features) -> object:
    return LinearProbe().fit(train).predict(test.vectors)


def our_probe_at_one_strength(train: Features, test: Features) -> object:
    return LinearProbe(strengths=(100.0,)).fit(train).predict(test.vectors)


def knn_of_scikit_learn(train: Features, test: Features) -> object:
    from sklearn.neighbors import KNeighborsClassifier

    voters = KNeighborsClassifier(20, metric="cosine")
    voters.set_params(weights=lambda distance: np.exp((1 - distance) / 0.07))
    return voters.fit(train.vectors.numpy(), train.labels.numpy()).predict(test.vectors.numpy())


def knn_of_lightly(train: Features, test: Features) -> object:
    from lightly.utils.benchmarking import knn_predict  # pyright: ignore[reportMissingImports]

    bank = torch.nn.functional.normalize(train.vectors, dim=1).T.contiguous()
    queries = torch.nn.functional.normalize(test.vectors, dim=1)
    # As its callers do, batch by batch: it holds all similarities of what it is given.
    answers = [
        knn_predict(part, bank, train.labels, CLASSES, 20, 0.07)[:, 0]
        for part in queries.split(512)
    ]
    return torch.cat(answers)


def probe_of_scikit_learn(train: Features, test: Features) -> object:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    return fitted.fit(train.vectors.numpy(), train.labels.numpy()).predict(test.vectors.numpy())


KNN: dict[str, Answer] = {
    "likewise": our_knn,
    "lightly knn_predict": knn_of_lightly,
    "scikit-learn KNeighborsClassifier": knn_of_scikit_learn,
}
PROBES: dict[str, Answer] = {
    "likewise, strength chosen among 7": our_probe,
    "likewise, strength given": our_probe_at_one_strength,
    "scikit-learn LogisticRegression, strength given": probe_of_scikit_learn,
}


def measure_alone(settings: Settings) -> None:
    """In a process of its own: seconds, peak memory beyond the features in MB, and accuracy, as JSON."""
    assert settings.features is not None
    train, test = (Features(*part) for part in torch.load(settings.features))
    work = (KNN | PROBES)[settings.alone]
    few = Features(train.vectors[:200], train.labels[:200])
    # Imports and threads are no part of the time.
    work(few, Features(test.vectors[:20], test.labels[:20]))
    # Linux: the peak starts anew, for loading had one of its own
    Path("/proc/self/clear_refs").write_text("5")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent: list[float] = []
    answers: list[object] = []
    for _ in range(settings.rounds if settings.alone.startswith("likewise") else 1):
        answers.clear()
        spent.append(measuring.seconds(lambda: answers.append(work(train, test)), settings.clock))
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    right = float(np.mean(np.asarray(answers[0]) == test.labels.numpy()))
    print(json.dumps([float(np.median(spent)), extra, right]))


def gemm_speed(clock: measuring.Clock) -> float:
    """Multiplications and additions a second of large float32 products, the faster of two shapes."""
    square, tall = torch.randn(2048, 2048), torch.randn(4096, WIDTH)
    work = {"square": lambda: square @ square, "features": lambda: tall @ tall.T}
    spent = measuring.in_turns(work, 5, clock, warm_up=2)
    return max(2 * 2048**3 / spent["square"], 2 * 4096**2 * WIDTH / spent["features"])


def rows_of(found: dict[str, list[float]], floor: float) -> list[Sequence[str]]:
    ours = next(iter(found.values()))[0]
    return [
        [
            name,
            f"{spent:.2f}",
            f"{spent / ours:.1f}",
            f"{floor / spent:.0%}",
            f"{extra:,.0f}",
            f"{right:.1%}",
        ]
        for name, (spent, extra, right) in found.items()
    ]


def main(settings: Settings) -> None:
    if settings.alone:
        return measure_alone(settings)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "features.pt"
        torch.save([tuple(part) for part in random_features()], file)
        found = {name: in_own_process(name, file, settings) for name in KNN | PROBES}
    speed = gemm_speed(settings.clock)
    similarities = 2 * ROWS * QUERIES * WIDTH / speed
    gram = 2 * 2 * ROWS * WIDTH**2 / speed
    shape = (
        f"{ROWS:,} x {WIDTH} features, {QUERIES:,} queries, "
        f"{torch.get_num_threads()} threads, {settings.clock} seconds"
    )
    columns = (
        "library",
        "seconds",
        "time over likewise",
        "share of the floor",
        "extra memory, MB",
        "accuracy",
    )
    knn, probes = ({name: found[name] for name in table} for table in (KNN, PROBES))
    seconds_of_knn, memory_of_knn, _ = found["likewise"]
    seconds_of_probe, memory_of_probe, _ = found["likewise, strength chosen among 7"]
    measuring.keep(
        "evaluation_speed",
        "Scoring features",
        [
            Table("20 nearest neighbours", columns, rows_of(knn, similarities),
                  [shape, f"floor: the similarities at {speed / 1e9:.0f} GFLOP/s, measured in the same run"]),
            Table("Linear probe", columns, rows_of(probes, gram),
                  [shape, "floor: the covariance and one rotation of the features, without which nothing can be fitted",
                   "scikit-learn stops after 200 steps where it has not converged"]),
        ],
        [
            Claim("50,000 neighbours of 10,000 queries in under 10 s", LIMIT, seconds_of_knn, at_least=False),
            Claim("a linear probe of 50,000 rows, with a search for the regularisation, in under 10 s", LIMIT,
                  seconds_of_probe, at_least=False),
            Claim("either in less than 1,000 MB beyond the features", MEMORY_LIMIT,
                  max(memory_of_knn, memory_of_probe), at_least=False),
        ],
        clock=settings.clock,
        took=round(time.perf_counter() - started),
    )  # fmt: skip


def in_own_process(name: str, features: Path, settings: Settings) -> list[float]:
    words = [
        sys.executable,
        __file__,
        "--alone",
        name,
        "--features",
        str(features),
        "--clock",
        settings.clock,
    ]
    done = subprocess.run(
        [*words, "--rounds", str(settings.rounds)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main(tyro.cli(Settings))
