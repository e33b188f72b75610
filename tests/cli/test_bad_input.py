"""What cannot be used ends in one message with what to type: exit code 2, no traceback, nothing written."""

import json

import pytest

from cli.conftest import SHORT, write_photographs
from likewise import cli


@pytest.fixture
def typed(capsys, tmp_path, monkeypatch):
    """Type a command in this process: its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def type_in(*words):
        with pytest.raises(SystemExit) as left:
            cli.main([str(word) for word in words])
        printed = capsys.readouterr()
        return left.value.code, printed.err + printed.out

    return type_in


def folder_with(tmp_path, **files):
    root = tmp_path / "odd"
    root.mkdir()
    for name, content in files.items():
        (root / name.replace("__", ".")).write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["trian", "photos"], "'train'"),
        (["train"], "DATA"),
        (["train", "{photos}", "--method", "simcrl"], "'simclr'"),
        (["train", "{photos}", "--method"], "--method"),
        (
            ["train", "{photos}", "--method", "simclr", "--method.temprature", "0.3"],
            "--method.temperature",
        ),
        (["train", "{photos}", "--recipe.learning-rate", "0.1"], "--method"),
        (["train", "{photos}", "--preset", "imagenet"], "--method simclr --preset imagenet"),
        (["train", "{photos}", "--bach-size", "8"], "--batch-size"),
        (["train", "{photos}", "--method", "simclr", "--dims", "8"], "--method.dim"),
        (["train", "{photos}", "--no-fused-batch-nrm"], "mean --no-fused-batch-norm"),
        (["train", "{photos}", "--fused-batch-nrm"], "mean --fused-batch-norm?"),
        (["search", "run", "image.png", "--top", "5"], "--count"),
        (["search", "run", "--coutn", "5"], "--count"),
        (["evaluate", "run", "photos"], "--data photos"),
        (["train", "{photos}", "--encoder", "resnt18"], "'resnet18'"),
        (["train", "{photos}", "--steps", "1" + 400 * "0"], "at most 2147483647"),
        (["train", "{photos}", "--epochs", "inf"], "finite"),
        (["train", "{photos}", "--seed", "4294967296"], "at most 2147483647"),
        (["advise", "{photos}", "--labels", "2", "--seed", "4294967296"], "at most 2147483647"),
        (["demo", "--seed", "4294967296"], "at most 2147483647"),
        (["study", "ugan-toy", "--seed", "-1"], "at most 2147483647"),
        (["pack", "{photos}", "--out", "shards", "--shuffle", "-1"], "at most 2147483647"),
        (["reproduce", "suncet-sooner", "--seeds", "0", "4294967296"], "at most 2147483647"),
        (["train", "{photos}", "--batch-size", "1"], "--batch-size 16"),
        (["train", "{photos}", "--batch-size", "100000"], "--batch-size"),
        (["train", "{photos}", "--microbatch", "3"], "--microbatch 2"),
        (["train", "{photos}", "--microbatch", "16"], "--microbatch 8"),
        (["train", "{photos}", "--microbatch", "1"], "--microbatch 2"),
        (["train", "{photos}", "--mehtod", "simclr"], "--method?"),
        (["train", "{photos}", "--steps", "few"], "'few' is not a whole number"),
        (["train", "{photos}", "--clip-grad-norm", "low"], "'low' is not a number"),
        (["search", "run", "image.png", "--count", "1.5"], "'1.5' is not a whole number"),
        (["train", "{photos}", "--presets=cifar10"], "--preset?"),
        (["train", "{photos}", "--labels", "600"], "600"),
        (["train", "{photos}", "--labels", "some"], "total:4000"),
        (["train", "{photos}", "--labels", "absent.csv"], "absent.csv"),
        (["train", "{photos}", "--labels", "none", "--method", "supcon"], "--labels"),
        (["train", "{photos}", "--epochs", "0"], "--epochs"),
        (["train", "{photos}", "--val-fraction", "1.5"], "--val-fraction 1.5"),
        (["train", "{photos}", "--test-fraction", "0"], "--test-fraction 0"),
        (["train", "{photos}", "--image-size", "4"], "--image-size 4"),
        (["train", "{photos}", "--resume", "--overwrite"], "--overwrite"),
        (["train", "{photos}", "--pretrained", "absent.pth"], "absent.pth"),
        (["train", "{photos}", "--from", "runs/absent"], "runs/absent"),
        (["train", "{photos}", "--out", "{photos}"], "--overwrite"),
        (["train", "{photos}", "--out", "{photos}", "--overwrite"], "config.json"),
        (["train", "absent"], "absent"),
        (["train", "fashion-mnist-mimi"], "'fashion-mnist-mini'"),
        (["evaluate", "runs/absent"], "runs/absent"),
        (["report", "runs/absent"], "runs/absent"),
        (["compare", "runs/absent", "runs/b"], "runs/absent"),
        (["embed", "runs/absent", "{photos}"], "runs/absent"),
        (["doctor", "absent"], "absent"),
    ],
)
def test_misuse_is_named(words, named, typed, photographs):
    given = [word.replace("{photos}", str(photographs)) for word in words]
    if words[0] == "train" and "--out" not in words:
        given += ["--out", "out"]
    code, message = typed(
        *given, *(w for w in SHORT if words[0] == "train" and not set(SHORT) & set(words))
    )
    assert code == 2, message
    assert named in message
    assert "Traceback" not in message


def test_refused_settings_leave_no_folder_behind(typed, photographs, tmp_path):
    typed("train", photographs, "--batch-size", "1", "--out", "out")
    typed("train", photographs, "--microbatch", "3", "--out", "out", *SHORT)
    typed("train", photographs, "--method", "supcon", "--labels", "none", "--out", "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_and_one_without_images(typed, tmp_path):
    (tmp_path / "empty").mkdir()
    code, message = typed("train", "empty", "--out", "out")
    assert (code, "empty" in message) == (2, True)
    text = folder_with(tmp_path, notes__txt=b"no image")
    code, message = typed("train", text, "--out", "out")
    assert code == 2, message
    assert "image" in message


def test_only_broken_files(typed, tmp_path):
    code, message = typed(
        "train", folder_with(tmp_path, a__jpg=b"", b__png=b"not a picture"), "--out", "out"
    )
    assert code == 2, message
    assert "a.jpg" in message


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("path,klass,kind\ncat/00.png,cat,pet\n", "--label-column"),
        ("image_path,label\nnowhere.png,cat\n", "nowhere.png"),
        ("image_path,label\n", "labels"),
    ],
)
def test_a_label_file_that_does_not_fit(content, named, typed, photographs, tmp_path):
    (tmp_path / "labels.csv").write_text(content)
    code, message = typed("train", photographs, "--labels", "labels.csv", "--out", "out", *SHORT)
    assert code == 2, message
    assert named in message


def test_an_unwritable_output_folder(typed, photographs, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, message = typed("train", photographs, "--out", "file/run", *SHORT)
    assert code == 1, message
    assert "file/run" in message
    assert "--out" in message


def test_a_class_with_one_image_trains_with_a_warning(typed, tmp_path, capsys, monkeypatch):
    root = write_photographs(tmp_path / "some", ("cat", "dog"), each=14)
    (root / "owl").mkdir()
    (root / "cat" / "00.png").rename(root / "owl" / "00.png")
    cli.main(["train", str(root), "--out", "out", "--method", "supcon", *SHORT])
    assert "owl" in capsys.readouterr().out.replace("\n", " ")


def test_broken_files_among_good_ones_are_skipped_and_counted(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = write_photographs(tmp_path / "some", ("cat", "dog"), each=14)
    (root / "cat" / "zero.png").write_bytes(b"")
    (root / "cat" / "half.png").write_bytes((root / "cat" / "01.png").read_bytes()[:200])
    cli.main(["train", str(root), "--out", "out", "--max-bad", "0.2", *SHORT])
    printed = capsys.readouterr().out.replace("\n", " ")
    assert "2 files" in printed
    assert "cat/zero.png" in (tmp_path / "out" / "data.json").read_text()


INTERNALS = ("<class", "typing.", "tuple[", "no type matching", "[bold]", "NoneType", "'None'")


@pytest.mark.parametrize(
    ("words", "given", "allowed"),
    [
        (["--microbatch", "many"], "'many'", ("whole number", "auto")),
        (["--pixel-range", "0", "a"], "'a'", ("number",)),
        (["--pixel-range", "0"], "--pixel-range", ("2",)),
        (["--region", "0", "0", "x", "1"], "'x'", ("number",)),
        (["--frame-rate", "fast"], "'fast'", ("number",)),
        (["--loggers", "csv", "tensorbord"], "tensorbord", ("tensorboard", "wandb")),
        (["--store", "blue"], "blue", ("original", "squeezed")),
        (["--method", "simclr", "--method.views.crop-area", "0.1", "big"], "'big'", ("number",)),
    ],
)
def test_values_that_cannot_be_read_are_named_and_what_is_allowed(words, given, allowed, typed):
    code, message = typed("train", "photos", *words)
    assert code == 2 and given in message, message
    assert [word for word in allowed if word not in message] == []
    assert [word for word in INTERNALS if word in message] == [], message


def test_resume_is_refused_where_there_is_no_run(typed, photographs, tmp_path):
    words = ("train", photographs, "--out", "absent", *SHORT)
    code, message = typed(*words, "--resume")
    assert code == 2 and "absent" in message and "--resume" in message
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("rank", ["0", "1"])
def test_torchrun_is_told_and_one_process_prints(rank, typed, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    monkeypatch.setenv("RANK", rank)
    code, printed = typed("train", "nowhere")
    told = json.loads((tmp_path / "error.json").read_text())["message"]
    assert code == 2
    assert "nowhere" in told["message"] and int(told["extraInfo"]["timestamp"]) > 0
    assert ("nowhere" in printed) == (rank == "0")


def test_a_process_that_cannot_tell_torchrun_prints(typed, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "absent" / "error.json"))
    monkeypatch.setenv("RANK", "1")
    assert "nowhere" in typed("train", "nowhere")[1]
