"""What the measurements are to show, one line an aim, and what a run of ``benchmarks/on_gpu.py`` found of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gpu.section import Result

STEPS = 50_000 // 512
"""of an epoch of CIFAR-10"""
AUTO = 5000
"""steps from which ``--compile auto`` compiles"""
COPY = "copy, GB/s"
AGREEMENT = "agreement, "


@dataclass(frozen=True)
class Aim:
    """A number that is to be reached."""

    section: str
    name: str
    wanted: float | None
    """None: the number is wanted, and there is no aim"""
    measure: Callable[[Mapping[str, Any]], float]
    """of what the section found; a `KeyError` or `TypeError` where it found too little"""
    needs: tuple[str, ...]
    """entries of the section that it reads, to say why they are not there"""
    at_least: bool = False

    def judged(self, found: Mapping[str, Any]) -> Result:
        """The aim, what was measured, and whether it holds."""
        measured, note = None, ""
        try:
            measured = self.measure(found)
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            note = why_not(found, self.needs)
        holds = None
        if measured is not None and self.wanted is not None:
            holds = measured >= self.wanted if self.at_least else measured <= self.wanted
        word = "at least" if self.at_least else "at most"
        aim = "" if self.wanted is None else f"{word} {self.wanted:g}"
        return {
            "section": self.section,
            "name": self.name,
            "aim": aim,
            "measured": measured,
            "holds": holds,
            "note": note,
        }


def why_not(found: Mapping[str, Any], needs: tuple[str, ...]) -> str:
    """What was not measured, and why."""
    for name in needs:
        entry = found.get(name)
        if entry is None:
            return f"{name}: {last_line(found.get('ended', 'not reached'))}"
        for reason in ("ended", "not measured", "not captured"):
            if isinstance(entry, Mapping) and reason in entry:
                return f"{name}: {reason}: {last_line(entry[reason])}"
    return "too little was found"


def last_line(reason: object) -> str:
    """Of a traceback."""
    return str(reason).strip().rpartition("\n")[2][:160]


def number(found: Mapping[str, Any], *path: str) -> float:
    """A number by its place."""
    value: Any = found
    for name in path:
        value = value[name]
    return float(value)


def at(section: str, name: str, wanted: float | None, *path: str, at_least: bool = False) -> Aim:
    """An aim of one number."""
    return Aim(section, name, wanted, partial(number_at, path), path[:1], at_least)


def number_at(path: tuple[str, ...], found: Mapping[str, Any]) -> float:
    return number(found, *path)


def ratio(
    section: str,
    name: str,
    wanted: float | None,
    above: tuple[str, ...],
    below: tuple[str, ...],
    at_least: bool = False,
) -> Aim:
    """An aim of one number over another."""

    def measure(found: Mapping[str, Any]) -> float:
        return number(found, *above) / number(found, *below)

    return Aim(section, name, wanted, measure, (above[0], below[0]), at_least)


def greatest_difference(found: Mapping[str, Any]) -> float:
    """Of the views of all sizes from the CPU's."""
    return max(
        number(each, "greatest, of 255 levels")
        for name, each in found.items()
        if name.startswith(AGREEMENT)
    )


def greatest_error(found: Mapping[str, Any]) -> float:
    """Of losses and gradients, relative to float64; a check that failed is none."""
    checks = [each for name, each in found.items() if name.startswith("check ")]
    return max(max(each["loss"], *each["gradients"]) for each in checks)


def slowest_beside_compiled(found: Mapping[str, Any]) -> float:
    """The greatest ratio of our time over that of the compiled dense form, in a graph, over all sizes that were timed.

    A compiled form that does not fit into memory is no slower.
    """
    ratios = []
    for name, each in found.items():
        if name.startswith("nt_xent N = ") and "ms in a graph" in each.get("dense, compiled", {}):
            ours, compiled = (each[key]["ms in a graph"] for key in ("likewise", "dense, compiled"))
            ratios.append(ours / compiled)
    return max(ratios)


def epoch(entry: str, found: Mapping[str, Any]) -> float:
    """Seconds of an epoch."""
    return STEPS * number(found, entry, "ms a step") / 1e3


def steps_that_pay(found: Mapping[str, Any]) -> float:
    """After how many steps compiling has won back its start."""
    plain, compiled = found["simclr captured"], found["simclr captured, compiled"]
    start = compiled["seconds with start"] - plain["seconds with start"]
    return 1e3 * start / (plain["ms a step"] - compiled["ms a step"])


def greatest_agreement(found: Mapping[str, Any]) -> float:
    """Greatest relative difference of the losses of captured and eager steps."""
    return max(max(each) for each in found["agreement"].values())


LARGE = "512 of 224 px from 256"
SMALL, MANY = "512 of 32 px", "50,000 of 32 px"
CAPTURED, COMPILED = "simclr captured", "simclr captured, compiled"
BUSY = "GPU busy (share, under the profiler)"
MS = "ms a step"


def of_transformer() -> list[Aim]:
    """Aims of the section "transformer"; a forward more is a third of forward and backward."""
    found: list[Aim] = []
    with_it, without = "with activation checkpointing", "without activation checkpointing"
    for name, entry, wanted in (("memory", "GB at most", None), ("time", MS, 4 / 3)):
        name = f"ViT-S/16 with activation checkpointing, {name} over that without"
        found.append(ratio("transformer", name, wanted, (with_it, entry), (without, entry)))
    for precision in ("high", "medium"):
        name = f"ViT-S/16 in float32, --matmul-precision {precision}, time over that of highest"
        above = (f"float32, {precision}", MS)
        found.append(ratio("transformer", name, None, above, ("float32, highest", MS)))
    return found


def of_views() -> list[Aim]:
    """Aims of the section "views"."""
    found: list[Aim] = []
    for entry, wanted in ((MANY, 3.0), (SMALL, 0.15)):
        for blur in ("no blur", "blur"):
            name = f"two views of {entry} without their draws, {blur} (ms)"
            found.append(at("views", name, wanted, f"{entry}, {blur}", "ms"))
        name = f"two views of {entry} with their draws, no blur, in a graph (ms)"
        found.append(at("views", name, wanted, f"in a graph, {entry}", "ms"))
    for blur in ("no blur", "blur"):
        name = f"views of 224 px, share of a copy's speed, {blur}"
        above = (f"{LARGE}, {blur}", "GB/s")
        found.append(ratio("views", name, 0.6, above, (COPY,), at_least=True))
    for peer in ("kornia", "torchvision v2"):
        for size in (32, 224):
            peers = "peers, views a second"
            above, below = (peers, f"likewise, {size} px"), (peers, f"{peer}, {size} px")
            name = f"views of {size} px, times the speed of {peer}"
            found.append(ratio("views", name, 1.0, above, below, at_least=True))
    strong = f"in a graph, {SMALL}, FixMatch's strong view"
    same = "greatest difference from the CPU's views (of 255 levels)"
    return [
        *found,
        at(
            "views",
            "two of FixMatch's strong views of 512 images, in a graph (ms)",
            None,
            strong,
            "ms",
        ),
        Aim("views", same, 0.5, greatest_difference, (f"{AGREEMENT}32 px",)),
    ]


def of_losses() -> list[Aim]:
    """Aims of the section "losses"."""
    found = [
        at("losses", "NT-Xent over 1,024 rows, in a graph (ms)", 0.15, "nt_xent N = 1024", "likewise", "ms in a graph"),
        at("losses", "NT-Xent over 1,024 rows, as a call (ms)", 0.15, "nt_xent N = 1024", "likewise", "ms"),
        Aim("losses", "NT-Xent, greatest time over that of the dense form by torch.compile", 1.0,
            slowest_beside_compiled, ("nt_xent N = 1024",)),
        Aim("losses", "greatest relative error of losses and gradients", 1e-5, greatest_error,
            ("check queue_nce, 512 x 4096 x 128",)),
        at("losses", "NT-Xent, kernels forward and backward", 8, "nt_xent N = 1024", "likewise", "kernels"),
    ]  # fmt: skip
    for name in ("queue_nce", "similarity_distillation", "clip_loss", "soft_nce", "info_nce",
                 "sup_con", "suncet"):  # fmt: skip
        entry = f"{name}, 512 images"
        found.append(at("losses", f"{name}, kernels forward and backward", 8, entry, "kernels"))
    for name in ("queue_nce", "similarity_distillation"):
        entry = f"{name}, 512 images, 65,536 keys"
        above, below = (entry, "likewise", "ms in a graph"), (entry, "dense", "ms in a graph")
        found.append(ratio("losses", f"{name} of 65,536 keys, time over dense", 1.0, above, below))
    return found


def of_large_losses() -> list[Aim]:
    """Aims of the section "large_losses"."""
    once, every = "each score once", "all scores"
    rows, clip = "nt_xent N = 65536", "clip_loss, 32768 pairs, D = 768"
    one_way = "info_nce, 32768 x 32768, D = 768, TensorFloat-32"
    section = "large_losses"
    return [
        at(section, "NT-Xent over 65,536 rows, each score once (ms)", 4.3, rows, once, "ms"),
        ratio(section, f"NT-Xent over 65,536 rows, {once}, time over {every}", 1.0,
              (rows, once, "ms"), (rows, every, "ms")),
        ratio(section, "clip_loss of 32,768 pairs, D = 768, time over memeff", 1.0,
              (clip, "likewise", "ms"), (clip, "memeff", "ms")),
        ratio(section, "info_nce of 32,768 rows, D = 768, time over inf-cl", 1.0,
              (one_way, "likewise", "ms"), (one_way, "inf-cl", "ms")),
    ]  # fmt: skip


def of_step() -> list[Aim]:
    """Aims of the section "step"."""
    found: list[Aim] = []
    for wanted in (2.0, 1.2):
        for entry in (COMPILED, CAPTURED):
            name = f"an epoch of CIFAR-10, ResNet-18, two views, {entry} (s)"
            found.append(Aim("step", name, wanted, partial(epoch, entry), (entry,)))
    for entry in (f"{CAPTURED}, profiled", "simclr compiled, profiled"):
        name = f"share of the time in which the GPU works, {entry}"
        found.append(at("step", name, 0.95, entry, BUSY, at_least=True))
    bare = ("bare steps", MS)
    found.append(ratio("step", "lw.train, time over bare steps", 1.05, ("lw.train", MS), bare))
    for method in ("moco-v2", "byol", "isd", "suncet", "comatch"):
        name = f"{method}, time over that of its views and networks"
        found.append(at("step", name, 1.3, method, "times the floor"))
    alone = ("graph alone", "ms"), ("graph alone, PyTorch's batch normalisation", "ms")
    name = "graph of a step, time over that with PyTorch's batch normalisation"
    found.append(ratio("step", name, 1.0, *alone))
    pays = "steps after which compiling has won back its first start (--compile auto: 5,000)"
    same = "greatest relative difference of captured and eager losses"
    return [
        *found,
        Aim("step", pays, AUTO, steps_that_pay, (CAPTURED, COMPILED)),
        Aim("step", same, 1e-3, greatest_agreement, ("agreement",)),
    ]


def of_batch_norm() -> list[Aim]:
    """Aims of the section "batch_norm"."""
    found = [
        at(
            "batch_norm",
            f"error over float64's length, {follows}",
            1e-2,
            f"error, {follows}",
            "kernels",
        )
        for follows in ("relu", "sum and relu")
    ]
    large, speed = "[1024, 64, 32, 32], sum and relu", "GB/s of the kernels' passes"
    kernels = (f"{large}, kernels", speed)
    name = "batch normalisation of the largest map, share of a copy's speed"
    found.append(ratio("batch_norm", name, 0.7, kernels, (COPY,), at_least=True))
    for other in ("PyTorch", "torch.compile"):
        name = f"batch normalisation of the largest map, time over {other}'s"
        above, below = (f"{large}, kernels", "ms"), (f"{large}, {other}", "ms")
        found.append(ratio("batch_norm", name, 1.0, above, below))
    return found


def of_the_rest() -> list[Aim]:
    """Aims of the sections "scoring", "around" and "tests"."""
    decoding, again, fsdp = "decoding of 60,000 JPEG files", "start with the compile cache", "FSDP2"
    return [
        at("scoring", "CIFAR-10's whole scoring (s)", 5, "whole scoring (s)"),
        at("around", "60,000 small JPEG files decoded on all cores (s)", 3, decoding, "seconds"),
        at("around", "start of a second process that compiles (s)", None, again, "seconds"),
        at(
            "around",
            "FSDP2 with one GPU, difference from training without it",
            1e-3,
            fsdp,
            "difference",
        ),
        Aim(
            "tests", "tests that fail on a GPU", 0, lambda found: len(found["failed"]), ("failed",)
        ),
    ]


AIMS = [
    *of_step(),
    *of_views(),
    *of_losses(),
    *of_large_losses(),
    *of_batch_norm(),
    *of_transformer(),
    *of_the_rest(),
]


def judged(result: Mapping[str, Any]) -> list[Result]:
    """The aims of the sections that were asked."""
    return [aim.judged(result[aim.section]) for aim in AIMS if aim.section in result]


def verdict(aim: Mapping[str, Any]) -> str:
    """Holds, does not hold, measured (where there is no aim), or not measured."""
    if aim["measured"] is None:
        return "not measured"
    return {True: "holds", False: "does not hold", None: "measured"}[aim["holds"]]


def table(judged: list[Result]) -> str:
    """One line an aim."""
    lines = []
    for aim in judged:
        measured = "" if aim["measured"] is None else f"{aim['measured']:.4g}"
        lines.append(
            f"{verdict(aim):13}  {measured:>10}  {aim['aim']:>14}  {aim['name']}  {aim['note']}".rstrip()
        )
    return "\n".join(lines)
