"""Errors of the processes that decode images come without PyTorch's traceback."""

import pytest
from torch.utils.data import DataLoader, Dataset

from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.training.worker_errors import killed_workers_told, with_plain_errors


class Failing(Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 2

    def __getitem__(self, index):
        raise self.error


def batches(error):
    yield from with_plain_errors(iter(DataLoader(Failing(error), batch_size=None, num_workers=1)))


def test_a_message_for_people_is_passed_on_alone():
    with pytest.raises(LikewiseError) as refused:
        list(batches(LikewiseError("None of the 5 images can be decoded.")))
    assert str(refused.value) == "None of the 5 images can be decoded."


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError, match="Traceback"):
        list(batches(ZeroDivisionError("division")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "DataLoader worker (pid 77) is killed by signal: Killed. ",
            ("Killed", "--num-workers", "--resume"),
        ),
        ("DataLoader worker (pid(s) 77, 78) exited unexpectedly", ("--num-workers", "--resume")),
        (
            "DataLoader worker (pid 77) is killed by signal: Bus error. It is possible that its workers are out "
            "of shared memory. Please try to raise your shared memory limit.",
            ("/dev/shm", "--shm-size"),
        ),
        (
            "Caught RuntimeError in DataLoader worker process 0.\nRuntimeError: unable to allocate shared memory(shm) "
            "for file </torch_1_2_0>: No space left on device (28)",
            ("/dev/shm", "--num-workers 0"),
        ),
    ],
)
def test_a_killed_worker_is_told_with_what_to_type(text, words):
    """Wherever the program stands when PyTorch's signal handler raises: here outside of the loader."""
    with pytest.raises(EnvironmentIOError) as refused, killed_workers_told():
        raise RuntimeError(text)
    for word in words:
        assert word in str(refused.value)


def test_other_errors_stay_as_they_are():
    def failing():
        raise RuntimeError("shapes differ")
        yield

    with pytest.raises(RuntimeError, match="shapes differ"), killed_workers_told():
        list(with_plain_errors(failing()))


def test_a_lock_that_finds_no_shared_memory_is_told_too():
    def failing():
        raise OSError(28, "No space left on device")
        yield

    with pytest.raises(EnvironmentIOError, match="/dev/shm"):
        list(with_plain_errors(failing()))


@pytest.mark.parametrize(
    "lost", [ConnectionResetError(104, "Connection reset by peer"), EOFError()]
)
def test_a_worker_that_dies_while_it_hands_over_a_batch_is_told_too(lost):
    def failing():
        raise lost
        yield

    with pytest.raises(EnvironmentIOError, match="--num-workers"):
        list(with_plain_errors(failing()))
