"""What holds training up is named: a slow source, a slow network, and by the right seconds."""

import contextlib
import dataclasses
import io
import json
import os
from dataclasses import dataclass

import pytest
import torch
from lightning_fabric import Fabric
from rich.console import Console

from data.pictures import save
from likewise.data.images import FileImages
from likewise.data.loader import Loader
from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest
from likewise.methods import Recipe
from likewise.run_folder import RunFolder
from likewise.training import Interrupted, LoopSettings, bottleneck, loop, train
from likewise.training.bottleneck import Bottleneck, StepSeconds, StepTimes, remedy_for
from likewise.training.screen import Screen
from methods.fixtures import SIZE, images, loader, method, nets_of
from training.test_resume import StopAfter

PAUSE = 0.1
"""seconds that the slow part takes by the clock, which stands still otherwise"""


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds=PAUSE):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (bottleneck, loop):
        monkeypatch.setattr(module, "time", clock)
    return clock


@dataclass(frozen=True)
class Slow(Loader):
    """A source that takes its time."""

    clock: Clock = None

    def batches(self, first_step, last_step):
        for batch in super().batches(first_step, last_step):
            self.clock.sleep()
            yield batch


def slow_source(clock):
    return Slow(images(), torch.arange(32) % 4, 8, 5, clock=clock)


def run(folder, batches, clock, slow=None, steps=6, evaluate=None, log_every=1):
    """The lines of the log and what was said."""
    (folder / "checkpoints").mkdir(exist_ok=True)
    rule = method("simclr")
    nets, said = nets_of(rule), io.StringIO()
    if slow == "forward":
        nets.encoder.register_forward_pre_hook(lambda *_: clock.sleep())
    if slow == "backward":
        nets.encoder.register_forward_hook(
            lambda _, __, output: output.register_hook(lambda _: clock.sleep()) and None
        )
    settings = LoopSettings(steps, seed=1, log_every=log_every, eval_every=1 if evaluate else 0)
    screen = Screen(Console(file=said, width=200))
    fabric = Fabric(accelerator="cpu", devices=1)
    with contextlib.suppress(Interrupted):
        train(
            fabric,
            rule,
            nets,
            batches,
            Recipe("sgd", 0.1),
            settings,
            RunFolder(folder),
            evaluate,
            screen,
        )
    return [
        json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()
    ], said.getvalue()


def seconds_of(lines):
    timed = [line for line in lines if "seconds_data" in line]
    return [
        StepSeconds(*(line[f"seconds_{part}"] for part in StepSeconds._fields)) for line in timed
    ]


def test_a_slow_source_is_named_and_warned_of_once(tmp_path, clock):
    lines, said = run(tmp_path, slow_source(clock), clock)
    warned = [line["step"] for line in lines if "warning" in line]
    assert warned == [4], (
        "once, and not before three readings in a row; the first step is not timed"
    )
    assert "data 100%" in said and said.count("--image-size") >= 1
    assert seconds_of(lines) == 5 * [StepSeconds(data=PAUSE)]


@pytest.mark.slow  # real time: beside other tests a step may wait for its processor as long as for data
def test_decoding_that_starves_a_run_is_named_by_real_seconds(tmp_path, monkeypatch):
    """Large PNG files, which have no small version to decode, and one process that reads them."""
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    for number in range(8):
        save(tmp_path / "photographs" / f"{number}.png", number, 2000, 1400, compress_level=1)
    opened = open_images(open_manifest(tmp_path / "photographs"), SIZE, channels=1, memory_limit=0)
    starved = Loader(opened, torch.zeros(8).long(), 4, 5, workers=1)
    lines, said = run(tmp_path, starved, None, steps=6)
    (warned,) = [line["warning"] for line in lines if "warning" in line]
    assert "--num-workers" in warned and "1 now, of 16 cores" in warned
    assert "waits for data" in said
    waited = seconds_of(lines)[-1]
    assert waited.data > bottleneck.STARVED * sum(waited)


@pytest.mark.parametrize("part", ["forward", "backward"])
def test_a_slow_network_is_named_and_its_source_is_not(tmp_path, clock, part):
    lines, said = run(tmp_path, loader(method("simclr")), clock, slow=part)
    assert f"  {part} 100%" in said and "--image-size" not in said
    assert not [line for line in lines if "warning" in line]
    assert seconds_of(lines) == 5 * [StepSeconds(**{part: pytest.approx(PAUSE)})]


@pytest.mark.parametrize("log_every", [1, 3])
def test_the_parts_add_up_to_the_steps(tmp_path, clock, log_every):
    lines, _ = run(
        tmp_path, slow_source(clock), clock, slow="forward", steps=9, log_every=log_every
    )
    lines = [line for line in lines if "loss" in line]
    assert ("seconds_data" in lines[0]) == (log_every > 1), "the first step is not timed"
    spent = lines[-1]["seconds"] - lines[0]["seconds"]
    assert log_every * sum(sum(seconds) for seconds in seconds_of(lines[1:])) == pytest.approx(
        spent
    )


def test_time_between_steps_belongs_to_no_part(tmp_path, clock):
    def evaluate(nets):
        clock.sleep(0.2)
        return {}

    lines, said = run(tmp_path, loader(method("simclr")), clock, slow="forward", evaluate=evaluate)
    assert all(sum(seconds) == pytest.approx(PAUSE) for seconds in seconds_of(lines))
    assert "--image-size" not in said


def test_a_resumed_run_is_timed_like_any_other(tmp_path, clock):
    run(tmp_path, slow_source(clock), clock, evaluate=StopAfter(2))
    lines, said = run(tmp_path, slow_source(clock), clock, evaluate=lambda _: {})
    timed = [line["step"] for line in lines if "seconds_data" in line]
    assert timed == [2, 4, 5, 6], "the first step of either stretch is not timed"
    assert "--image-size" in said


def test_the_remedy_for_slow_workers_fits_their_number(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for number in range(4):
        save(tmp_path / "photographs" / f"{number}.jpg", number, SIZE, SIZE)
    opened = open_images(open_manifest(tmp_path / "photographs"), SIZE, channels=1, memory_limit=0)
    assert isinstance(opened, FileImages)
    few = Loader(opened, torch.zeros(4), 4, 5, workers=1)
    assert "--num-workers" in remedy_for(few) and "1 now, of 4" in remedy_for(few)
    all_cores = dataclasses.replace(few, workers=4)
    assert "--image-size" in remedy_for(all_cores)
    in_memory = loader(method("simclr"))
    assert "--image-size" in remedy_for(in_memory) and "--num-workers" not in remedy_for(in_memory)


@pytest.mark.parametrize(
    ("seconds", "named"),
    [
        ((4.0, 3.0, 3.0), "waits for data 40%: do this"),
        ((3.0, 2.9, 4.1), ""),
        ((0.1, 0.5, 0.4), "forward 50%"),
        ((0.1, 0.3, 0.6), "backward 60%"),
        ((0.0, 0.0, 0.0), ""),
    ],
)
def test_only_what_stands_out_is_named(seconds, named):
    assert Bottleneck("do this").name(StepSeconds(*seconds)) == named


def test_a_moment_of_waiting_is_no_warning():
    watched = Bottleneck("do this")
    short = StepSeconds(2.0, 1.0, 1.0)
    fine = StepSeconds(0.1, 1.0, 1.0)
    said = [
        watched.check(seconds, 1) for seconds in (short, short, fine, short, short, short, short)
    ]
    assert [bool(warning) for warning in said] == [False] * 5 + [True, False]


def test_each_reading_is_the_mean_of_the_steps_since_the_last(clock):
    times, readings = StepTimes(torch.device("cpu")), []
    for pauses in ([9.0, 0.2], [0.01, 0.03], [0.0]):  # the very first step is not timed
        for seconds in pauses:
            times.begin("data")
            times.begin("forward")
            clock.sleep(seconds)
            times.begin("backward")
            times.end()
        readings.append(times.take())
    assert [reading.forward for reading in readings] == pytest.approx([0.2, 0.02, 0.0])
    assert times.take() is None


def test_parts_that_come_several_times_in_a_step_add_up(clock):
    """As they do where gradients of several batches make a step."""
    times = StepTimes(torch.device("cpu"))
    for _ in range(2):
        for _ in range(3):
            times.begin("data")
            clock.sleep(1.0)
            times.begin("forward")
            clock.sleep(2.0)
        times.end()
    assert times.take() == StepSeconds(data=3.0, forward=6.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_is_timed_by_its_own_clock():
    times = StepTimes(torch.device("cuda"))
    for _ in range(2):
        times.begin("data")
        times.begin("forward")
        torch.cuda._sleep(int(1e8))
        times.begin("backward")
        times.end()
    assert times.take().largest[0] == "forward"


def test_a_device_without_a_clock_of_its_own_is_not_timed():
    times = StepTimes(torch.device("mps"))
    for _ in range(3):
        for part in ("data", "forward", "backward"):
            times.begin(part)
        times.end()
    assert times.take() is None
