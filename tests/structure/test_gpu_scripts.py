"""Scripts for a GPU are rarely near one: what of them needs none is tried here, at small sizes."""

import importlib
import io
import json
import sys
import time
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image


@pytest.fixture
def section(monkeypatch):
    monkeypatch.syspath_prepend("benchmarks")
    return importlib.import_module("gpu.section")


def clock_for(section, seconds=60.0):
    return section.Clock(time.monotonic() + seconds, {})


def test_one_that_fails_stops_no_other(section, capsys):
    clock = clock_for(section)
    work = {"a": lambda: 1, "b": lambda: 1 / 0, "c": lambda: 2, "d": needs_a_package}
    section.take_turns("title", work, clock)
    assert (clock.found["a"], clock.found["c"]) == (1, 2)
    assert "ZeroDivisionError" in clock.found["b"]["ended"]
    assert "no_such_package" in clock.found["d"]["not measured"]
    assert len(capsys.readouterr().out.splitlines()) == 4


def needs_a_package():
    import no_such_package  # noqa: F401


def test_what_has_no_time_left_is_not_begun(section):
    clock, begun = clock_for(section, -1.0), []
    with pytest.raises(section.OutOfTime):
        section.take_turns("title", {"a": lambda: begun.append(1)}, clock)
    assert not begun


@pytest.mark.parametrize(("only", "least", "most"), [("brief,other", 0, 1), ("brief", 90, 100)])
def test_a_section_alone_gets_all_of_the_time(section, monkeypatch, tmp_path, only, least, most):
    script, left = importlib.import_module("on_gpu"), []
    brief = section.Section(lambda device, clock: left.append(clock.left()), 1.0)
    monkeypatch.setitem(sys.modules, "gpu.brief", SimpleNamespace(SECTION=brief))
    monkeypatch.setattr(script, "write_repeatedly", lambda clock, file: None)
    settings = script.Settings(only=only, limit=100.0, out=tmp_path / "found.json")
    script.run_section("brief", settings, torch.device("cpu"))
    assert least <= left[0] <= most


def test_sections_but_the_tests_fit_into_the_run(section):
    script = importlib.import_module("on_gpu")
    limits = {
        name: importlib.import_module(f"gpu.{name}").SECTION.limit
        for name in script.NAMES.split(",")
    }
    limits.pop("tests")
    starts = 5 * len(limits)  # of processes, in seconds
    assert sum(limits.values()) + starts <= script.Settings().limit
    more = [importlib.import_module(f"gpu.{name}").SECTION.limit for name in script.MORE.split(",")]
    assert sum(more) + 5 * len(more) <= script.Settings().limit


def test_losses_are_checked_and_measured(section, monkeypatch):
    script = importlib.import_module("gpu.losses")
    cases = script.cases
    monkeypatch.setattr(script, "SIZES", (16,))
    monkeypatch.setattr(script, "CROSSED", (8, 16))
    monkeypatch.setattr(script, "CROSSED_WIDTHS", (8,))
    monkeypatch.setattr(script, "cases", lambda device, *sizes, **more: cases(device, 12, 20, 8))
    monkeypatch.setattr(script, "milliseconds", lambda work, *more: work() and 1.0)
    monkeypatch.setattr(script, "graph_milliseconds", lambda work: work() and 1.0)
    monkeypatch.setattr(script, "launches", lambda work: 1)
    monkeypatch.setattr(torch, "compile", lambda loss, **options: loss)
    clock = clock_for(section)
    script.SECTION.run(torch.device("cpu"), clock)
    said = json.dumps(clock.found)
    assert "ended" not in said
    checks = [found for name, found in clock.found.items() if name.startswith("check")]
    assert len(checks) == 3 * len(script.cases(torch.device("cpu"))) and all(
        found["loss"] < 1e-5 for found in checks
    )
    assert all(max(found["gradients"]) < 1e-5 for found in checks)
    assert clock.found["KEPT_ROWS[8]"] == 16  # where both take as long


def test_every_aim_of_losses_is_measured_at_its_size(section, monkeypatch):
    script, aims = importlib.import_module("gpu.losses"), importlib.import_module("gpu.aims")
    replayed = {"ms": 2.0, "ms in a graph": 1.0, "kernels": 5}
    monkeypatch.setattr(script, "measured", lambda *_: dict(replayed))
    monkeypatch.setattr(script, "checked", lambda case: {"loss": 1e-7, "gradients": [1e-6, 1e-8]})
    monkeypatch.setattr(script, "errors", lambda inputs: {})
    monkeypatch.setattr(script, "graph_milliseconds", lambda work: 1.0)
    monkeypatch.setattr(torch, "compile", lambda loss, **options: loss)
    clock = clock_for(section)
    script.SECTION.run(torch.device("cpu"), clock)
    judged = {each["name"]: each for each in aims.judged({"losses": clock.found})}
    assert all(each["measured"] is not None for each in judged.values())
    assert judged["greatest relative error of losses and gradients"]["measured"] == 1e-6
    del clock.found["check queue_nce, 512 x 4096 x 128"]["gradients"]
    (error,) = [each for each in aims.judged({"losses": clock.found}) if "error" in each["name"]]
    assert error["measured"] is None and error["holds"] is None


def test_an_aim_holds_on_its_side_of_the_number(section):
    aims = importlib.import_module("gpu.aims")
    for wanted, at_least, holds in (
        (2, False, True),
        (2, True, False),
        (1.5, True, True),
        (1.5, False, True),
    ):
        aim = aims.at("step", "name", wanted, "entry", "ms", at_least=at_least)
        assert aim.judged({"entry": {"ms": 1.5}})["holds"] is holds
    aim = aims.at("step", "name", 1, "entry", "ms")
    assert "not captured: too large" in aim.judged({"entry": {"not captured": "too large"}})["note"]
    assert "out of time" in aim.judged({"ended": "out of time"})["note"]
    assert (
        aims.at("step", "name", None, "entry", "ms").judged({"entry": {"ms": 1}})["holds"] is None
    )


def test_scores_are_kept_up_to_where_that_first_takes_longer(section):
    script = importlib.import_module("gpu.losses")
    times = {512: (1, 3), 256: (2, 2), 2048: (1, 9), 1024: (5, 4)}
    found = {rows: {"kept": kept, "made again": made} for rows, (kept, made) in times.items()}
    assert script.kept_up_to(found) == 512
    assert script.kept_up_to({256: {"kept": 2, "made again": 1}}) == 0


@pytest.fixture
def small_sets(section, tmp_path):
    """CIFAR-10's two files with noise of its shape."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 120), ("test", 40)):
        rows = []
        for _ in range(count):
            encoded = io.BytesIO()
            Image.fromarray(generator.integers(0, 256, (32, 32, 3), np.uint8)).save(encoded, "PNG")
            rows.append({"bytes": encoded.getvalue()})
        labels = np.arange(count) % 10
        table = pa.table({"image": rows, "label": labels})
        parquet.write_table(table, tmp_path / f"cifar10-jpeg75-{part}.parquet")
    return tmp_path


def test_records_become_outcomes_of_claims(small_sets, monkeypatch):
    monkeypatch.syspath_prepend("docs")
    script = importlib.import_module("records_on_gpu")
    monkeypatch.setattr(script.scores.linear, "__defaults__", (5, 1e-5))
    settings = script.Settings(
        small_sets,
        out=small_sets / "records.json",
        keep=small_sets / "gpu",
        parts="supcon,support,isd,comatch,out-or-in,robustness",
        million_views=3e-4,
        seeds=1,
        encoder="conv4",
        device="cpu",
        batch=16,
    )
    script.main(settings)
    found = json.loads(settings.out.read_text())
    assert "ended" not in json.dumps(found)
    assert (
        len(found["support"]) == 1 + 2 * len(script.arms(16, 2)) and len(found["robustness"]) == 6
    )
    assert len(found["tables"]) == 6 and found["measured"]["device"] == "CPU"
    page = importlib.import_module("generate").benchmark("records_on_gpu", found)
    assert page.count("| method |") == 6
    outcomes = {file.stem: json.loads(file.read_text()) for file in settings.keep.glob("*.json")}
    assert set(outcomes) == {
        "isd-rare", "comatch-fixmatch", "supcon-out-or-in", "supcon-corruptions", "supcon-stability",
    }  # fmt: skip
    assert all(each["seeds"] == [0] and each["device"] == "CPU" for each in outcomes.values())
    (in_small,) = [each for each in found["out-or-in"] if each["method"] == "L_in"]
    (out_small,) = [each for each in found["out-or-in"] if each["method"] == "L_out"]
    (judged,) = outcomes["supcon-out-or-in"]["statements"]
    gap = out_small["test"]["linear"] - in_small["test"]["linear"]
    assert judged["by_seed"] == [pytest.approx(gap)]
    assert judged["verdict"] == ("holds here" if gap >= 0 else "does not hold here")


def test_a_claim_without_all_of_its_runs_has_no_outcome(section, tmp_path):
    outcomes = importlib.import_module("gpu.outcomes")
    line = {"method": "ISD", "seed": 0, "test": {"rare": 0.5, "frequent": 0.5}}
    found = {"about": {"device": "GPU", "encoder": "timm/resnet18"}, "isd": [line]}
    outcomes.write(found, tmp_path)
    assert not list(tmp_path.iterdir())
    worse = {"rare": 0.3, "frequent": 0.5}
    found["isd"].append({**line, "method": "MoCo v2", "test": worse})
    outcomes.write(found, tmp_path)
    stored = json.loads((tmp_path / "isd-rare.json").read_text())
    assert stored["verdict"] == "holds here"
    assert [each["value"] for each in stored["statements"]] == pytest.approx([0.2, 0.2])


def test_the_support_that_is_best_on_validation_is_compared_and_its_speed_found(section, tmp_path):
    outcomes = importlib.import_module("gpu.outcomes")

    def run(method, labels, validation, test):
        # A SuNCEt epoch takes 1.5 times as long.
        pace = 1.5 if method.startswith("SuNCEt") else 1.0
        looks = [
            {"epochs": n / pace, "seconds": float(n), "knn": knn}
            for n, knn in enumerate(validation, 1)
        ]
        about = {"method": method, "labels a class": labels, "seed": 0}
        return {**about, "curve": looks, "test": {"knn": test}}

    found = {
        "about": {"device": "GPU", "encoder": "timm/resnet18"},
        "support": [run("SimCLR", 0, (0.2, 0.4), 0.4)],
    }
    for labels in (45, 450):
        found["support"].append(run("SuNCEt 10 x 8", labels, (0.3, 0.38), 0.9))
        found["support"].append(run("SuNCEt 10 x 46", labels, (0.6, 0.7), 0.45))
    outcomes.write(found, tmp_path)
    stored = json.loads((tmp_path / "suncet-sooner.json").read_text())
    *shares, ten, one = [each["value"] for each in stored["statements"]]
    assert [ten, one] == pytest.approx([0.05, 0.05])  # not the support that is best on test images
    # Reached with the first look of the second curve; epochs are fewer than seconds.
    assert shares == pytest.approx(2 * [0.5 / 1.5, 0.5])


def test_records_are_averaged_over_seeds_and_held_against_their_aims(section):
    tables = importlib.import_module("gpu.tables")

    def run(seed, knn, seconds):
        look = {"views": 2e6, "epochs": 10.0, "seconds": seconds, "knn": knn}
        return {"method": "SimCLR", "seed": seed, "curve": [look], "wanted": 0.5, "test": {}}

    found = {"simclr": [run(0, 0.4, 10.0), run(1, 0.6, 20.0), {"ended": "out of memory"}]}
    (table,) = tables.tables(found)
    assert list(zip(table.columns, table.rows[0], strict=True)) == [
        ("method", "SimCLR"), ("seeds", "2"), ("epochs", "10.0"), ("million views", "2.00"),
        ("seconds", "15.0"), ("knn, last look", "50.0 ± 14.1"),
    ]  # fmt: skip
    assert [each.verdict for each in tables.claims(found)] == [
        "does not hold", "not measured", "holds", "holds",
    ]  # fmt: skip
