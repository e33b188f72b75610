"""What changes from step to step reaches a captured step in one piece of memory; nothing else comes from the host."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from likewise.data.batch import Batch, Pixels
from likewise.errors import LikewiseError
from likewise.methods import Progress
from likewise.randomness import batch_rng, philox
from likewise.training import step_numbers
from likewise.views import view_policy
from likewise.views.fused import sampling
from likewise.views.motion.temporal_windows import random_start
from likewise.views.policies import comatch_strong, simclr
from likewise.views.view_policy import ViewPolicy


class Traffic(TorchDispatchMode):
    """Tensors that reach another device."""

    def __init__(self):
        super().__init__()
        self.copied = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = [each for each in args if isinstance(each, torch.Tensor)]
        made = [each for each in (result, *given) if isinstance(each, torch.Tensor)]
        if len({each.device.type for each in made if each.dim()}) > 1:
            self.copied.append(tuple(made[0].shape))
        return result


class Unlaunched:
    """A module of kernels that start nothing, and each of them."""

    def __getattr__(self, name):
        return self

    def __getitem__(self, grid):
        return lambda *arguments, **settings: None


@pytest.fixture
def device_without_numbers(monkeypatch):
    """A device on which all kernels of views are said to run, though they start nothing."""
    for module in (view_policy, batch_rng, step_numbers):
        monkeypatch.setattr(module, "runs_on", lambda device: device.type == "meta")
    for module in (philox, sampling):
        monkeypatch.setattr(module, "kernels", lambda name: Unlaunched())
    return torch.device("meta")


@pytest.mark.parametrize("policy", [comatch_strong(), ViewPolicy(frames=2), simclr()])
def test_nothing_but_keys_reaches_the_device_for_views(policy, device_without_numbers):
    device = device_without_numbers
    shape = (6, 5, 4, 8, 8) if policy.frames else (6, 4, 8, 8)
    pixels = Pixels(torch.empty(shape, dtype=torch.uint8), torch.ones(6)).map(
        lambda part: part.to(device)
    )
    batch = Batch(pixels, torch.empty(6, device=device), torch.empty(6, device=device))
    progress = Progress(3, 9)
    fixed = step_numbers.FixedProgress(step_numbers.StepNumbers(device), progress)

    def parameters(rng):
        policy.sample_params(pixels, rng)
        if policy.frames:
            random_start(rng, pixels, policy.frames)

    parameters(fixed.rng("view", batch))  # constants and keys get there
    with Traffic() as traffic:
        parameters(fixed.from_start().rng("view", batch))
    assert traffic.copied == []
    with Traffic() as traffic:
        parameters(progress.rng("view", batch))
    # Of channels' factors too; the first frame's key is sent by itself.
    streams = 3 if policy.frames else 2
    assert len(traffic.copied) <= streams and set(traffic.copied) == {(2,)}


def test_numbers_for_the_host_are_refused(device_without_numbers):
    numbers = step_numbers.StepNumbers(device_without_numbers)
    fixed = step_numbers.FixedProgress(numbers, Progress(3, 9))
    batch = Batch(Pixels(torch.empty(4, 1, 2, 2), torch.ones(4)), torch.ones(4), torch.ones(4))
    rng = fixed.rng("noise", batch)
    with pytest.raises(step_numbers.NotCapturable, match="noise"):
        rng.uniform()
    assert rng.on(device_without_numbers).uniform().shape == (4,)


def test_more_positions_than_there_is_room_for_are_refused():
    numbers = step_numbers.StepNumbers(torch.device("cpu"), positions=5)
    numbers.set_positions([torch.tensor([7, 8, 9]), torch.tensor([4])])
    assert numbers.positions().tolist() == [0] * 5
    numbers.send()
    assert numbers.positions().tolist() == [7, 8, 9, 4, 0]
    with pytest.raises(LikewiseError, match="positions=6"):
        numbers.set_positions([torch.arange(6)])


def test_more_numbers_than_there_is_room_for_are_refused():
    numbers = step_numbers.StepNumbers(torch.device("cpu"), slots=2)
    fixed = step_numbers.FixedProgress(numbers, Progress(3, 9))
    assert [float(fixed.scheduled(lambda at: at.step / 2)) for _ in range(2)] == [1.5, 1.5]
    with pytest.raises(step_numbers.NotCapturable):
        fixed.scheduled(lambda at: at.step)
    fixed.move_to(Progress(4, 9))
    numbers.send()
    assert float(fixed.from_start().scheduled(lambda at: at.step / 2)) == 2.0
