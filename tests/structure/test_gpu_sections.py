"""Each section of ``benchmarks/on_gpu.py`` runs to its end, at tiny sizes, where a stand-in has what only CUDA has."""

import importlib
import importlib.util
import json
import time
from pathlib import Path

import pytest
import torch

from likewise.training.batch_norm.fused import plain
from structure import cuda_stand_in

CPU = torch.device("cpu")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def section(monkeypatch):
    """A section by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    cuda_stand_in.install(monkeypatch.setattr)
    monkeypatch.setattr(importlib.import_module("gpu.batch_norm"), "fused", pytorch_norm)
    return lambda name: importlib.import_module(f"gpu.{name}")


def pytorch_norm(norm, x, residual=None, relu=False, tiling=None):
    """In place of the kernels, which are tested with the training loop."""
    return plain(norm, x, residual, relu)


def run(script, *sizes):
    """What a section finds within a minute."""
    clock = importlib.import_module("gpu.section").Clock(time.monotonic() + 60, {})
    script.SECTION.run(CPU, clock, *sizes)
    assert "ended" not in json.dumps(clock.found)
    return clock.found


def check_sizes(script):
    few = script.step.Sizes(images=32, batch=8, side=8, encoder="conv4", steps=3, replays=1)
    return script.Sizes(12, 20, 8, 8, few, (4, 5, 3, 2))


def test_check(section):
    script = section("check")
    found = run(script, check_sizes(script))
    assert not found["does not work"] and not found["not reached"]
    assert found["captured step"]["steps"] == 8


def test_check_names_what_does_not_work(section, monkeypatch):
    script = section("check")
    monkeypatch.setattr(script.losses, "checked", lambda case: {"loss": 1e-3, "gradients": [0.0]})
    monkeypatch.setattr(script, "captured", lambda *_: 1 / 0)
    clock = importlib.import_module("gpu.section").Clock(time.monotonic() + 60, {})
    script.SECTION.run(CPU, clock, check_sizes(script))
    assert clock.found["does not work"] == ["captured step", *script.FAMILIES]


def test_large_losses(section, monkeypatch):
    script = section("large_losses")
    kernels = {"forward": lambda z, *_: (z[:, 0], None), "backward_square": lambda z, *_: z}
    monkeypatch.setattr(script.gpu_triangle, "forward", kernels["forward"])
    monkeypatch.setattr(script.gpu_tiles, "backward_square", kernels["backward_square"])
    small = script.Sizes((32, 16), 8, (24, 8), 12, 8, (99, 9), (8, 4), (script.Tiles(16, 16),))
    found = run(script, small)
    for count in (32, 16):
        each = found[f"nt_xent N = {count}"]
        assert each["each score once, the same bits twice"]
        assert each["each score once, loss"] == pytest.approx(each["all scores, loss"])
    peers = [each for name, each in found.items() if "D = 12" in name and "nt_xent" not in name]
    for each in peers:  # neither may be installed
        each.update({name: {"ms": 1.0} for name in ("memeff", "inf-cl") if name in each})
    assert all(ms > 0 for ms in found["clip_loss, 24 pairs"].values())
    assert script.row_blocks.SCORES == 2**26 and script.gpu_sizes.BATCH_ROWS > 0
    assert "dense" in peers[2] and "dense" not in peers[0]
    assert_judged(
        "large_losses",
        at_size(found, {"N = 32": "N = 65536", " 24": " 32768", "D = 12": "D = 768"}),
    )


def test_peers_are_told_apart_by_value_and_gradient(section):
    script = section("large_losses")
    inputs = script.pairs(24, 12, CPU)
    same = script.difference(script.our_clip, script.half_dense_clip, inputs)
    other = script.difference(script.our_clip, script.our_one_way, inputs)
    assert same["loss"] < 1e-2 and max(same["gradients"]) < 5e-2
    assert other["loss"] > 1e-2 and max(other["gradients"]) > 5e-2
    times = {64: (1, 2), 8: (3, 2), 32: (2, 2), 16: (1, 2)}
    found = {
        f"nt_xent N = {rows}": {"each score once": {"ms": once}, "all scores": {"ms": every}}
        for rows, (once, every) in times.items()
    }
    assert script.once_from(found, tuple(times)) == 16
    assert script.once_from(found, (8,)) is None


def test_batch_norm(section, monkeypatch):
    script = section("batch_norm")
    monkeypatch.setattr(torch, "compile", lambda layer: layer)
    shape = (4, 5, 3, 2)
    found = run(script, script.Sizes(shape, (4, 6, 2, 2), shape, 2**10))
    assert found["error, relu"]["kernels"] == found["error, relu"]["PyTorch"] < 1e-2
    assert len(found["[4, 5, 3, 2], other cuts (ms)"]) == len(script.OTHER_TILINGS)
    assert found["[4, 6, 2, 2], sum and relu, kernels"]["ms"] > 0
    assert_judged("batch_norm", at_size(found, {"[4, 5, 3, 2]": "[1024, 64, 32, 32]"}))


def test_scoring(section):
    script = section("scoring")
    sizes = script.Sizes(train=600, test=60, width=16, side=8, encoder="conv4")
    found = run(script, sizes)
    assert all(found[name]["alike"] == 1 for name in ("knn", "linear", "few labels"))
    spent = found["extraction of two encoders (s)"] + found["scores of two encoders (s)"]
    assert found["whole scoring (s)"] == pytest.approx(spent, abs=0.02)
    assert_judged("scoring", found)


CALLED = {"moco-v2": [3, 2], "byol": [8, 6], "suncet": [2, 2], "comatch": [8, 5]}
"""Calls of networks, and those with a gradient. BYOL: encoder, projector and predictor twice, and the teacher twice;
CoMatch: one encoder, two heads of two kinds of views, and of others without a gradient."""


def test_step(section, monkeypatch):
    script = section("step")
    monkeypatch.setattr(script, "profile", cuda_stand_in.Profile)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)
    monkeypatch.setattr(script, "UNCOUNTED", 5)  # three to warm up, and the capture
    sizes = script.Sizes(images=64, batch=16, side=8, encoder="conv4", steps=3, replays=1)
    found = run(script, sizes)
    assert found["simclr captured, profiled"]["kernels a step"] > 0
    assert all("not captured" not in result for result in found.values())
    assert found["lw.train"]["ms a step"] > 0
    calls = ("calls of networks", "with gradient")
    called = {name: [found[name][key] for key in calls] for name in CALLED}
    assert called == CALLED
    assert_judged("step", found)


def test_transformer(section, monkeypatch):
    script = section("transformer")
    monkeypatch.setattr(script.step, "UNCOUNTED", 4)
    train, seen = script.step.train, []

    def told(fabric, method, nets, loader, recipe, settings, **more):
        seen.append((settings.activation_checkpointing, torch.get_float32_matmul_precision()))
        return train(fabric, method, nets, loader, recipe, settings, **more)

    monkeypatch.setattr(script.step, "train", told)
    few = script.step.Sizes(images=16, batch=8, side=8, encoder="conv4", small_stem=False, steps=2)
    found = run(script, few)
    precisions = ("medium", "high", "highest")
    assert seen == [(False, "highest"), (True, "highest"), *((False, each) for each in precisions)]
    assert all(each["ms a step"] > 0 and each["GB at most"] > 0 for each in found.values())
    assert_judged("transformer", found)


def test_around(section, monkeypatch, tmp_path):
    script = section("around")
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: None)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    compiled = script.step.Sizes(images=32, batch=16, side=8, encoder="conv4", replays=1)
    sizes = script.Sizes(30, 10, 32, 64, 1, 4, 2, compiled)
    found = run(script, sizes)
    assert found["decoding of 30 JPEG files"]["files"] == 30
    assert "step" in found["start with the compile cache"]["not measured"]
    assert found["FSDP2"]["difference"] < 1e-4
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "kernel.py").touch()
    found["start with the compile cache"] = script.started_again(CPU, sizes)
    assert_judged("around", at_size(found, {"30 JPEG": "60,000 JPEG"}))


def test_tests(section, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # one process is enough
    (tmp_path / "test_a.py").write_text("def test_one(): pass\ndef test_two(): assert 1 == 2\n")
    (tmp_path / "test_b.py").write_text("import no_such_package\n")
    files = tuple(str(tmp_path / name) for name in ("test_a.py", "test_b.py"))
    found = run(section("tests"), files)
    assert (found["exit status"], found["passed"]) == (1, 1)
    assert [name.rpartition("/")[2] for name in found["failed"]] == [
        "test_a.py::test_two",
        "test_b.py",
    ]


def test_tests_without_time_are_not_begun_and_the_aim_says_so(section, monkeypatch):
    script = section("tests")
    monkeypatch.setattr(script.subprocess, "run", lambda *_, **__: 1 / 0)
    clock = importlib.import_module("gpu.section").Clock(time.monotonic() + 3, {})
    script.SECTION.run(CPU, clock)
    (aim,) = importlib.import_module("gpu.aims").judged({"tests": clock.found})
    assert aim["measured"] is None and "--only tests" in aim["note"]


def test_files_for_a_gpu_are_found(section):
    found = section("tests").files_with_cases()
    assert all(Path(file).exists() for file in found)
    names = [Path(file).name for file in found]
    assert {"test_fused.py", "test_captured_step.py", "test_gpu_tiles.py"} <= set(names)
    assert "test_loader_on_gpu.py" not in names and "fused" in names[0]


def test_views(section, monkeypatch):
    script = section("views")
    monkeypatch.setattr(script.fused, "make", blank)
    sizes = script.Sizes(2, 3, 2, (16, 20), 16, 16, 20, 24, (3, 2), 2**10)
    found = run(script, sizes)
    assert found["agreement, 20 px"]["greatest, of 255 levels"] < 0.1
    assert found["2 of 20 px from 24, blur"]["GB moved"] > 0
    assert len(found["other cuts, ms"]) == 12
    peers = found["peers, views a second"]
    for name in ("kornia, 16 px", "kornia, 20 px"):
        if isinstance(peers[name], dict):  # it may not be installed
            assert "kornia" in peers[name]["not measured"]
            peers[name] = 1.0
    sides = {"16 px": "32 px", "20 px": "224 px", "from 24": "from 256"}
    assert_judged("views", at_size(found, {**sides, " 2 of": " 512 of", " 3 of": " 50,000 of"}))


def at_size(found, words):
    """What a section would have found at its own sizes, by names."""
    said = json.dumps(found).replace('"2 of', '"512 of').replace('"3 of', '"50,000 of')
    for small, large in words.items():
        said = said.replace(small, large)
    return json.loads(said)


def assert_judged(name, found):
    """All aims of the section find their numbers."""
    judged = importlib.import_module("gpu.aims").judged({name: found})
    assert judged and not [each for each in judged if each["measured"] is None]


def blank(images, packed, size, encoder=None):
    """The kernels' result, but for its content; they are tested with the views."""
    views = torch.zeros(len(images), images.shape[1], size, size)
    return views if encoder is None else views.to(encoder.dtype)
