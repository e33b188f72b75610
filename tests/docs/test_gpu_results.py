"""What a GPU said becomes tables of the documentation, section by section."""

import importlib
import json

import pytest

STEP = {
    "epoch": "97 steps",
    "simclr captured": {"ms a step": 12.345678, "seconds with start": 2.0},
    "simclr captured, compiled": {"ms a step": 10.0, "seconds with start": 22.0},
    "moco-v2": {"not measured": "No module named 'x'"},
    "simclr captured, profiled": {"kernels a step": 1234, "busiest (ms a step)": {"gemm | a": 1.5}},
    "ended": "Traceback\n  line\nValueError: the end",
    "seconds": 88.0,
}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of results after a run with these sections, in which an earlier one had left others."""
    monkeypatch.syspath_prepend("benchmarks")
    monkeypatch.syspath_prepend("docs")
    script, aims = (importlib.import_module(name) for name in ("keep_gpu_results", "gpu.aims"))

    def keep(device="GPU X", **sections):
        about = {"device": device, "machine": "16 x CPU", "versions": {"torch": "9"}, "cuda": "13"}
        found = {"day": "2027-01-02", "about": about, **sections}
        found["aims"] = aims.judged(found)
        file = tmp_path / "on_gpu.json"
        file.write_text(json.dumps(found))
        results = tmp_path / "results"
        results.mkdir(exist_ok=True)
        (results / "on_gpu_views.json").write_text("earlier")
        script.main(script.Settings(file, results, "a note"))
        return results

    return keep


def test_entries_with_the_same_numbers_share_a_table(kept):
    stored = json.loads((kept(step=STEP) / "on_gpu_step.json").read_text())
    assert stored["measured"]["device"] == "GPU X" and stored["measured"]["note"] == "a note"
    (table,) = [each for each in stored["tables"] if "ms a step" in each["columns"]]
    assert table["columns"] == ["", "ms a step", "seconds with start"]
    assert table["rows"] == [
        ["simclr captured", "12.35", "2"],
        ["simclr captured, compiled", "10", "22"],
    ]
    notes = [note for each in stored["tables"] for note in each["notes"]]
    assert len(notes) == 2 and "moco-v2" in notes[0] and "ValueError: the end" in notes[1]


def test_aims_stand_on_both_pages_with_their_gpu(kept):
    generate = importlib.import_module("generate")
    results = kept(step=STEP)
    (results / "on_gpu_views.json").unlink()
    rows = [line.split(" | ") for line in generate.aims_table(results).splitlines()[2:]]
    (epoch,) = [row for row in rows if "compiled (s), at most 1.2" in row[0]]
    assert epoch[1:] == ["0.97", "holds", "GPU X, 2027-01-02 |"]
    (unmeasured,) = [row for row in rows if row[0].startswith("| moco-v2")]
    assert unmeasured[1] == "" and "No module named 'x'" in unmeasured[2]
    page = generate.benchmark("on_gpu_step", json.loads((results / "on_gpu_step.json").read_text()))
    assert "gemm \\| a" in page and "| 0.97 | holds |" in page


def test_a_section_that_found_nothing_leaves_what_an_earlier_run_said(kept):
    results = kept(views={"ended": "it wrote nothing", "seconds": 3.0}, scoring={"ended": "no"})
    assert (results / "on_gpu_views.json").read_text() == "earlier"
    assert not (results / "on_gpu_scoring.json").exists()


def test_what_a_cpu_tried_and_what_a_check_said_is_not_kept(kept):
    with pytest.raises(SystemExit, match="CPU"):
        kept(device="CPU", step=STEP)
    results = kept(check={"view": {"boxes": 0.0}}, step=STEP)
    assert {each.name for each in results.iterdir()} == {"on_gpu_views.json", "on_gpu_step.json"}


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"views": {"a": 1}}'])
def test_a_file_that_holds_no_results_is_refused_by_name(content, kept, tmp_path):
    script = importlib.import_module("keep_gpu_results")
    file = tmp_path / "given.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit, match="given"):
        script.main(script.Settings(file, tmp_path))
