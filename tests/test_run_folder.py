"""A run's folder is never taken from another, and never left half written."""

import json
import re

import numpy as np
import pytest

import likewise as lw
from likewise import cli
from likewise.errors import DamagedFile, EnvironmentIOError, LikewiseError
from likewise.json_files import read_json, read_object, write_json
from likewise.run_folder import RunFolder, make_folder


def test_empty_folders_are_nobodys(tmp_path):
    (tmp_path / "a" / "checkpoints").mkdir(parents=True)
    RunFolder(tmp_path / "a").create()


def test_an_occupied_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for settings in ({}, {"overwrite": True}):
        with pytest.raises(LikewiseError, match=re.escape(str(tmp_path))):
            RunFolder(tmp_path).create(**settings)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_overwriting_removes_the_runs_own_files_alone(tmp_path):
    run = RunFolder(tmp_path)
    run.create()
    write_json(run.config, {})
    run.checkpoint.write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    run.create(overwrite=True)
    assert not run.checkpoint.exists()
    assert not run.config.exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}


def test_a_line_cut_short_by_a_kill_is_passed_over(tmp_path):
    run = RunFolder(tmp_path)
    run.metrics.write_text(json.dumps({"step": 1}) + '\n{"step": 2, "lo')
    assert list(run.metric_lines()) == [{"step": 1}]


def test_a_folder_of_a_command_keeps_what_is_not_its_own(tmp_path):
    out = tmp_path / "runs" / "study"
    make_folder(out, ("page.html",), overwrite=False)
    assert out.is_dir()
    make_folder(out, ("page.html",), overwrite=False)  # still empty
    for name in ("page.html", "mine.txt"):
        (out / name).write_text("old")
    with pytest.raises(LikewiseError, match="--overwrite"):
        make_folder(out, ("page.html",), overwrite=False)
    assert (out / "page.html").exists()
    make_folder(out, ("page.html",), overwrite=True)
    assert [each.name for each in out.iterdir()] == ["mine.txt"]
    with pytest.raises(LikewiseError, match="--out"):
        make_folder(out / "mine.txt", (), overwrite=True)
    with pytest.raises(EnvironmentIOError, match="--out"):
        make_folder(out / "mine.txt" / "below", (), overwrite=True)


@pytest.mark.parametrize("content", [{"format": 1, "settings": {}}, {"settings": {}}])
@pytest.mark.parametrize("command", ["load", "compare", "resume", "from_run", "evaluate", "report"])
def test_a_run_of_an_older_format_is_refused_in_one_sentence(command, content, tmp_path, capsys):
    old = RunFolder(tmp_path / "old")
    old.create()
    write_json(old.config, content)
    data = np.zeros((16, 8, 8), dtype=np.uint8), np.arange(16) % 2
    if command in ("evaluate", "report"):
        with pytest.raises(SystemExit) as left:
            cli.main([command, str(old.path)])
        assert left.value.code == 2
        message = capsys.readouterr().err.strip()
    else:
        call = {
            "load": lambda: lw.load(old.path),
            "compare": lambda: lw.compare([old.path, old.path], tmp_path / "page.html"),
            "resume": lambda: lw.train(data, method="simclr", out=old.path, resume=True, steps=1),
            "from_run": lambda: lw.train(
                data, method="simclr", out=tmp_path / "b", from_run=str(old.path), steps=1
            ),
        }[command]
        with pytest.raises(LikewiseError) as refused:
            call()
        message = str(refused.value)
    assert str(old.path) in message and "format 1" in message and "\n" not in message
    assert read_json(old.config) == content


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1', "null", '"text"'])
def test_a_json_file_that_is_none_or_no_object_is_refused_by_name(content, tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(content)
    with pytest.raises(DamagedFile, match="scores"):
        read_object(path)


def test_any_change_of_a_value_is_found_and_who_means_it_removes_the_checksum(tmp_path):
    path = tmp_path / "scores.json"
    content = {"trained": [{"name": "knn20_top1", "value": 0.91}], "notes": ["a", "é"]}
    write_json(path, content)
    assert read_json(path) == content
    text = path.read_text()
    path.write_text(text.replace("0.91", "0.97"))
    with pytest.raises(DamagedFile, match="checksum"):
        read_json(path)
    path.write_text(json.dumps(json.loads(text), indent=None))  # other white space is no change
    assert read_json(path) == content
    path.write_text(json.dumps({"trained": []}))
    assert read_json(path) == {"trained": []}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"steps": True}, "steps"),
        ({"steps": "5"}, "steps"),
        ({}, "steps"),
        ({"steps": None}, "steps"),
    ],
)
def test_an_entry_that_is_absent_or_of_another_type_is_named(content, named, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedFile, match=named):
        read_object(path, {"steps": int})


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"format": 3}', '{"format": "3"}', '{"format": 3, "steps": 1}'],
)
def test_a_damaged_config_makes_no_run(content, tmp_path):
    run = RunFolder(tmp_path)
    run.config.write_text(content)
    with pytest.raises(LikewiseError, match=re.escape(str(tmp_path))):
        run.require()


@pytest.mark.parametrize(
    "line", ["5", "null", "[]", '{"loss": 1}', '{"step": "x"}', '{"step": null}', "\udcff"]
)
def test_odd_lines_of_the_log_are_passed_over(line, tmp_path):
    run = RunFolder(tmp_path)
    good = json.dumps({"step": 1, "loss": 2.0})
    run.metrics.write_bytes(f"{good}\n{line}\n{good}\n".encode(errors="surrogateescape"))
    assert list(run.metric_lines()) == [{"step": 1, "loss": 2.0}] * 2


def test_overwriting_removes_what_would_replace_the_new_networks(tmp_path):
    run = RunFolder(tmp_path)
    run.create()
    write_json(run.config, {})
    left = [
        run.previous_checkpoint,
        run.best,
        run.restored,
        run.unread,
        run.checkpoint.with_name("last.ckpt.damaged"),
    ]
    for path in left:
        path.write_text("old")
    run.create(overwrite=True)
    assert [path for path in left if path.exists()] == []


def test_a_classifier_without_a_run_is_refused_with_the_command_that_takes_it(tmp_path):
    (tmp_path / "classifier.json").write_text("{}")
    with pytest.raises(LikewiseError, match="likewise predict"):
        RunFolder(tmp_path).require()
