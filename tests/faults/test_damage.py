"""What is found damaged, missing or taken is said in one sentence, and nothing that is whole is lost."""

import os
import shutil
import signal
import sys

import pytest
import torch

from faults.processes import (
    FOREVER,
    children_of,
    command,
    finish,
    from_files,
    losses,
    require_plain,
    run,
    start,
    training,
    wait_for,
    wait_for_checkpoint,
    write_pictures,
)

pytestmark = [pytest.mark.slow, pytest.mark.faults]


def flip(path, position):
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


def test_a_flipped_byte_in_the_checkpoint_costs_two_steps_and_is_said(pictures, trained, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    flip(out / "checkpoints" / "last.ckpt", 100_000)
    code, output = run(training(pictures, out, "--steps", 12, "--resume"))
    assert code == 0, output
    assert "last.ckpt" in output and "step 10" in output
    assert (out / "encoder.safetensors").read_bytes() == (
        trained / "encoder.safetensors"
    ).read_bytes()
    assert losses(out) == losses(trained)


def test_two_damaged_checkpoints_are_refused_with_what_to_type(pictures, trained, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    for name in ("last.ckpt", "previous.ckpt"):
        flip(out / "checkpoints" / name, 90_000)
    code, output = run(training(pictures, out, "--steps", 12, "--resume"))
    require_plain(output)
    assert code == 2 and "--overwrite" in output


@pytest.mark.parametrize(
    "name", ["encoder.safetensors", "classifier.safetensors", "config.json", "encoder.json"]
)
def test_every_command_refuses_a_damaged_file_by_name(name, pictures, trained, tmp_path, capfd):
    """In this process: what matters is that nothing else than a message and an exit code comes of it."""
    from likewise import cli

    out = tmp_path / "run"
    shutil.copytree(trained, out)
    flip(out / name, (out / name).stat().st_size // 2)
    vectors = tmp_path / "vectors.parquet"
    cli.main(["embed", str(trained), str(pictures / "dark"), "--out", str(vectors)])
    picture = pictures / "dark" / "000.png"
    commands = [
        ["predict", out, pictures, "--out", tmp_path / "classes.csv"],
        ["export", out, "--with-head", "--out", tmp_path / "classifier.safetensors"],
    ]
    if name != "classifier.safetensors":
        commands += [
            ["embed", out, pictures, "--out", tmp_path / "more.parquet"],
            ["search", out, picture, "--in", vectors],
            ["evaluate", out],
        ]
    for words in commands:
        with pytest.raises(SystemExit) as left:
            cli.main([str(word) for word in words])
        assert left.value.code in (1, 2)
        assert name in capfd.readouterr().err, words


def test_the_second_process_in_a_folder_is_refused_and_the_first_goes_on(pictures, tmp_path):
    out = tmp_path / "run"
    first = start(training(pictures, out, *FOREVER))
    wait_for_checkpoint(out, first)
    code, output = run(training(pictures, out, *FOREVER, "--resume"))
    assert code == 2 and str(first.pid) in output
    require_plain(output)
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait(300)
    third = start(training(pictures, out, *FOREVER, "--resume"))
    before = (out / "metrics.jsonl").stat().st_size
    wait_for(lambda: (out / "metrics.jsonl").stat().st_size > before, process=third)
    third.send_signal(signal.SIGINT)
    code, output = finish(third)
    assert code == 130 and str(first.pid) in output
    steps = [line["step"] for line in losses(out)]
    assert steps == sorted(set(steps))


def test_a_run_whose_folder_is_removed_stops_and_makes_no_new_one(pictures, tmp_path):
    out = tmp_path / "run"
    process = start(training(pictures, out, *FOREVER))
    wait_for_checkpoint(out, process)
    while out.exists():
        shutil.rmtree(out, ignore_errors=True)
    code, output = finish(process)
    require_plain(output)
    assert code == 1 and str(out) in output
    assert not (out / "checkpoints").exists()


def test_a_run_whose_images_are_deleted_stops_and_says_so(tmp_path):
    data, out = write_pictures(tmp_path / "pictures"), tmp_path / "run"
    process = start(from_files(training(data, out, *FOREVER, "--num-workers", 1)))
    wait_for_checkpoint(out, process)
    shutil.rmtree(data)
    code, output = finish(process)
    require_plain(output)
    assert code in (1, 2) and "images can" in output


@pytest.mark.parametrize("rank", [0, 1])
def test_where_a_rank_is_killed_the_other_ends_and_names_it(rank, pictures, tmp_path):
    out = tmp_path / "run"
    process = start(training(pictures, out, *FOREVER, "--devices", 2))
    wait_for_checkpoint(out, process)
    (child,) = children_of(process.pid)
    killed = child if rank == 1 else process.pid
    os.kill(killed, signal.SIGKILL)
    _, output = finish(process, timeout=30)  # the output ends when both have
    require_plain(output)
    assert f"Rank {rank} of 2" in output and str(killed) in output and "--resume" in output
    assert "SIGKILL" in output or rank == 0  # only a parent learns by which signal a process ended


def test_two_ranks_are_one_where_labels_are_on_one_of_them_and_the_last_batch_is_uneven(tmp_path):
    data = write_pictures(tmp_path / "pictures", count=21)
    ends = []
    for devices in (1, 2):
        out = tmp_path / str(devices)
        # Each step multiplies what was rounding by ten, so few are compared; the second has the uneven batch.
        words = training(data, out, "--steps", 3, "--labels", 1, "--devices", devices)
        code, output = run(words)
        assert code == 0, output
        ends.append(weights_of(out))
    require_close(*ends)


@pytest.mark.parametrize(("method", "labels"), [("supcon", 1), ("byol", 2), ("moco-v2", 2)])
def test_three_ranks_are_one_where_the_last_batch_is_uneven(tmp_path, method, labels):
    """With a label of each class, a rank at most has labels in most steps."""
    data = write_pictures(tmp_path / "pictures", count=21)
    settings = ["--method", method, "--labels", labels, "--batch-size", 12, "--steps", 5]
    ends = []
    for devices in (1, 3):  # more than cores
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices)]
        words = training(data, tmp_path / str(devices), *settings)
        code, output = run([sys.executable, *launcher, *words[1:]])
        assert code == 0, output
        ends.append(weights_of(tmp_path / str(devices)))
    require_close(*ends)


def weights_of(out):
    """Of the last checkpoint."""
    return torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["learner"]


def require_close(one, other):
    """Sums in another order differ by some 1e-6 of a weight after a few steps."""
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_doctor_search_and_compare_say_what_a_file_is_not(pictures, trained, tmp_path):
    (tmp_path / "half.parquet").write_bytes(b"PAR1half")
    for words in (
        ["search", trained, pictures / "dark" / "000.png", "--in", tmp_path / "half.parquet"],
        ["compare", trained, pictures, "--out", tmp_path / "page.html"],
    ):
        code, output = run(command(*words))
        require_plain(output)
        assert code in (1, 2)
