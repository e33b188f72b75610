"""What holds training up is named: a slow source, a slow network, and by the right seconds."""

import dataclasses
import io
import json
import os
import time

import pytest
import torch
from lightning_fabric import Fabric
from rich.console import Console

from data.pictures import save
from likewise.data.images import FileImages, open_images
from likewise.data.loader import Loader
from likewise.data.sources.open import open_manifest
from likewise.methods import Recipe
from likewise.run_folder import RunFolder
from likewise.training import Interrupted, LoopSettings, train
from likewise.training.bottleneck import Bottleneck, StepSeconds, StepTimes, remedy_for
from likewise.training.screen import Screen
from methods.test_contract import SIZE, images, loader, method, nets_of
from training.test_resume import StopAfter

PAUSE = 0.1
"""seconds of sleep in the part that is to be slow; a step here takes about 0.01"""
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


class Slow(Loader):
    """A source that takes its time."""

    def batches(self, first_step, last_step):
        for batch in super().batches(first_step, last_step):
            time.sleep(PAUSE)
            yield batch


def slow_source():
    return Slow(images(), torch.arange(32) % 4, 8, 5)


def run(folder, batches, slow=None, steps=6, observe=None, device="cpu", log_every=1):
    """The lines of the log and what was said."""
    (folder / "checkpoints").mkdir(exist_ok=True)
    rule = method("simclr")
    nets, said = nets_of(rule), io.StringIO()
    if slow == "forward":
        nets.encoder.register_forward_pre_hook(lambda *_: pause(device))
    if slow == "backward":
        nets.encoder.register_forward_hook(lambda _, __, output: output.register_hook(lambda _: pause(device)) and None)
    plan = LoopSettings(steps, seed=1, log_every=log_every, eval_every=1 if observe else 0)
    screen = Screen(Console(file=said, width=200))
    fabric = Fabric(accelerator=device, devices=1)
    try:
        train(fabric, rule, nets, batches, Recipe("sgd", 0.1), plan, RunFolder(folder), observe, screen)
    except Interrupted:
        pass
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()], said.getvalue()


def pause(device):
    """Sleep on the CPU; on a GPU keep the GPU busy and the CPU not."""
    if device == "cpu":
        time.sleep(PAUSE)
    else:
        torch.cuda._sleep(int(PAUSE * 1e9))


def seconds_of(lines):
    return [StepSeconds(*(line[f"seconds_{part}"] for part in StepSeconds._fields))
            for line in lines if "seconds_data" in line]  # fmt: skip


@pytest.mark.parametrize("device", DEVICES)
def test_a_slow_source_is_named_and_warned_of_once(tmp_path, device):
    lines, said = run(tmp_path, slow_source(), device=device)
    assert "  waits for data " in said and ": choose a smaller --image-size" in said
    warned = [line["step"] for line in lines if "goes into waiting for data" in line.get("warning", "")]
    assert len(warned) == 1 and warned[0] >= 4, "once, and not before three looks in a row"
    assert said.count("goes into waiting for data") == 1
    assert all(seconds.data >= 0.9 * PAUSE for seconds in seconds_of(lines))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("part", ["forward", "backward"])
def test_a_slow_network_is_named_and_its_source_is_not(tmp_path, part, device):
    lines, said = run(tmp_path, loader(method("simclr")), slow=part, device=device)
    assert f"  {part} " in said and "%" in said
    assert "waiting for data" not in said and "waits for data" not in said
    assert all(getattr(seconds, part) >= 0.9 * PAUSE for seconds in seconds_of(lines))


@pytest.mark.parametrize("log_every", [1, 3])
def test_the_parts_add_up_to_the_steps(tmp_path, log_every):
    lines, _ = run(tmp_path, slow_source(), slow="forward", steps=9, log_every=log_every)
    lines = [line for line in lines if "loss" in line]
    assert ("seconds_data" in lines[0]) == (log_every > 1), "the first step is not timed"
    spent = lines[-1]["seconds"] - lines[0]["seconds"]
    assert log_every * sum(sum(seconds) for seconds in seconds_of(lines[1:])) == pytest.approx(spent, rel=0.1)


def test_time_between_steps_belongs_to_no_part(tmp_path):
    def look(nets):
        time.sleep(0.2)
        return {}

    lines, said = run(tmp_path, loader(method("simclr")), slow="forward", observe=look)
    assert all(sum(seconds) < 0.2 for seconds in seconds_of(lines)) and "waits for data" not in said


def test_a_resumed_run_is_timed_like_any_other(tmp_path):
    run(tmp_path, slow_source(), observe=StopAfter(2))
    lines, said = run(tmp_path, slow_source(), observe=lambda _: {})
    timed = [line["step"] for line in lines if "seconds_data" in line]
    assert timed == [2, 4, 5, 6], "the first step of either stretch is not timed"
    assert "waits for data" in said


def test_workers_that_decode_too_slowly_are_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for place in range(16):
        save(tmp_path / "photographs" / f"{place}.jpg", place, SIZE, SIZE)
    opened = open_images(open_manifest(tmp_path / "photographs"), SIZE, channels=1, memory_limit=0)
    assert isinstance(opened, FileImages)
    slow = FileImages(SlowPixels(opened.source), opened.ids, SIZE, 1)
    _, said = run(tmp_path, Loader(slow, torch.arange(16) % 4, 8, 5, workers=1))
    assert "waits for data" in said and ": raise --num-workers (1 now, of 4 cores)" in said
    everywhere = dataclasses.replace(loader(method("simclr")), images=slow, workers=4, labels=torch.zeros(16))
    assert remedy_for(everywhere) == "choose a smaller --image-size, for --num-workers 4 keep all 4 cores busy"


class SlowPixels:
    """Files on a slow disk."""

    def __init__(self, source):
        self.source, self.headers = source, source.headers

    def __len__(self):
        return len(self.source)

    def read(self, position, size=None):
        time.sleep(PAUSE / 8)
        return self.source.read(position, size)


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
    watched, short, fine = Bottleneck("do this"), StepSeconds(2.0, 1.0, 1.0), StepSeconds(0.1, 1.0, 1.0)
    said = [watched.check(seconds, 1) for seconds in (short, short, fine, short, short, short, short)]
    assert [bool(warning) for warning in said] == [False] * 5 + [True, False]


def test_each_look_tells_of_the_steps_since_the_last():
    times, take_columns = StepTimes(torch.device("cpu")), []
    for pauses in ([0, 0.2], [0.01, 0.03], [0]):
        for seconds in pauses:
            times.begin("data")
            times.begin("forward")
            time.sleep(seconds)
            times.begin("backward")
            times.end()
        take_columns.append(times.take())
    assert [seconds.forward >= least for seconds, least in zip(take_columns, (0.2, 0.02, 0.0), strict=True)] == [
        True
    ] * 3
    assert take_columns[2].forward < 0.04 and times.take() is None


def test_a_device_without_a_clock_of_its_own_is_not_timed():
    times = StepTimes(torch.device("mps"))
    for _ in range(3):
        for part in ("data", "forward", "backward"):
            times.begin(part)
        times.end()
    assert times.take() is None
