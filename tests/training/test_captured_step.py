"""A captured step is the eager step: the same numbers, nothing that waits, and a reason where it cannot be captured.

With a GPU, graphs are captured; without one, a stand-in does the captured work again, on the same memory.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import signature

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from timm.optim import lars
from timm.optim.lars import Lars
from torch.utils._python_dispatch import _disable_current_modes

from likewise.data import loader as loader_module
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.losses import waiting
from likewise.methods import Progress, Recipe, SimCLR, Step, comatch_ema
from likewise.run_folder import RunFolder
from likewise.training import Interrupted, LoopSettings, captured_step, train
from likewise.training.host_draws import refusing_host_draws
from likewise.training.step_numbers import SLOTS, NotCapturable
from likewise.views import view_policy
from likewise.views.image.making import make_view
from losses.launches import Launches
from methods.fixtures import loader, method, nets_of
from training.test_resume import StopAfter

ON_GPU = torch.cuda.is_available()
STEPS = 7
"""more than the warm-up"""
GROUPS = 2
"""of parameters, each with a rate: those that decay, and the others"""

CAPTURED = ("simclr", "supcon", "suncet", "moco-v2", "byol", "isd", "simsiam", "barlow-twins", "comatch", "fixmatch",
            "cross-entropy", "swav", "comatch-ema", "clip", "flow-similarity", "modist", "ugan")  # fmt: skip


class Again:
    """A graph's place: what it would launch is done again, and counted; results go where the first ones lie."""

    launches = 0

    def __init__(self, work):
        self.work, self.result = work, None

    def replay(self):
        with Launches() as launched:
            result = self.work()
        Again.launches = launched.count
        if self.result is None:
            self.result = result
            return
        for target, value in zip(tensors_of(self.result), tensors_of(result), strict=True):
            target.copy_(value)


def tensors_of(step):
    return [step.loss, *step.metrics.values(), *step.memory_updates.values()]


def one_hot(labels, classes):
    """Without the look at the values that PyTorch's takes on a CPU, though not on a GPU."""
    return (labels[:, None] == torch.arange(classes)).long()


def views_of_a_gpu(*given):
    """On a GPU a view is kernels that the trace does not see; on a CPU it may look at its numbers."""
    with _disable_current_modes():
        return make_view(*given)


@pytest.fixture
def as_on_gpu(monkeypatch):
    if ON_GPU:  # noise in the last bit grows a thousandfold in seven steps, so there may be none
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
        return
    monkeypatch.setattr(torch.nn.functional, "one_hot", one_hot)
    monkeypatch.setattr(waiting, "_host_holds", lambda tensor: False)
    monkeypatch.setattr(view_policy, "make_view", views_of_a_gpu)
    monkeypatch.setattr(captured_step, "has_graphs", lambda device: True)
    monkeypatch.setattr(captured_step, "captured", Again)
    monkeypatch.setattr(Again, "launches", 0)


@pytest.fixture
def stored(monkeypatch):
    """The set lies where the networks do."""
    monkeypatch.setattr(loader_module, "has_room", lambda device, images: True)


def trained(name, cuda_graph, optimizer="sgd", scales=None, run=None, evaluate=None, **settings):
    rule = method(name) if isinstance(name, str) else name
    nets = nets_of(rule).to("cuda" if ON_GPU else "cpu")
    nets.learning_rate_scales = scales or {}
    plan = LoopSettings(
        **{"steps": STEPS, "log_every": 2, **settings}, seed=4, cuda_graph=cuda_graph
    )
    recipe = Recipe(optimizer, 0.2, weight_decay=1e-4)
    state = train(
        Fabric(accelerator="cuda" if ON_GPU else "cpu", devices=1),
        rule,
        nets,
        loader(rule),
        recipe,
        plan,
        run,
        evaluate,
    )
    return nets, state


def assert_equal_to_eager(name, **settings):
    eager, eager_state = trained(name, "off", **settings)
    captured, state = trained(name, "on", **settings)
    assert (state.step, state.images) == (eager_state.step, eager_state.images)
    assert_close(captured, eager)
    assert ON_GPU or Again.launches > 0  # the last steps came from the graph


def assert_close(captured, eager):
    for key, value in eager.state_dict().items():
        torch.testing.assert_close(
            captured.state_dict()[key],
            value,
            rtol=1e-3 if ON_GPU else 1e-4,
            atol=1e-4 if ON_GPU else 1e-5,
        )


@pytest.mark.parametrize("name", CAPTURED)
def test_the_networks_are_those_of_the_eager_steps(name, as_on_gpu):
    assert_equal_to_eager(name)


@pytest.mark.parametrize("name", ["simclr", "moco-v2", "swav"])
@pytest.mark.parametrize("batches", [2, 3])
def test_gradients_of_several_batches_come_from_a_graph(name, batches, as_on_gpu):
    assert_equal_to_eager(name, accumulate_grad_batches=batches, clip_grad_norm=1.0)


@pytest.mark.parametrize("name", ["simclr", "moco-v2", "suncet", "swav", "ugan"])
def test_microbatches_come_from_a_graph(name, as_on_gpu):
    assert_equal_to_eager(name, microbatch=4)


def test_accumulated_microbatches_come_from_a_graph(as_on_gpu, stored):
    assert_equal_to_eager("moco-v2", microbatch=4, accumulate_grad_batches=2, steps=4)


def test_microbatches_that_dropout_thins_are_not_captured(as_on_gpu, monkeypatch):
    normalise = Encoder.normalise

    def thinned(encoder, pixels):
        return torch.nn.functional.dropout(normalise(encoder, pixels), training=encoder.training)

    monkeypatch.setattr(Encoder, "normalise", thinned)
    with pytest.raises(LikewiseError, match=r"--cuda-graph on.*dropout"):
        trained("simclr", "on", microbatch=4)
    assert_equal_to_eager("simclr")  # all at once is seeded before the graph


def test_good_fakes_begin_to_count_in_another_graph(as_on_gpu, monkeypatch):
    captures, make = [], captured_step.captured
    monkeypatch.setattr(captured_step, "captured", lambda work: captures.append(1) or make(work))
    rule = replace(method("ugan"), good_from=0.5, good_weight=3.0)
    assert_equal_to_eager(rule, steps=11)  # their weight rises from step 6 on
    assert len(captures) == 2


def test_a_support_that_ends_leaves_another_graph(as_on_gpu, monkeypatch):
    captures, make = [], captured_step.captured
    monkeypatch.setattr(captured_step, "captured", lambda work: captures.append(1) or make(work))
    assert_equal_to_eager(replace(method("suncet"), supervised_until=0.5), steps=20)
    assert len(captures) == 2


@pytest.mark.parametrize("cuda_graph", ["off", "on"])
@pytest.mark.parametrize("name", ["simclr", "suncet", "clip"])
def test_a_stored_set_changes_no_bit(name, cuda_graph, as_on_gpu, monkeypatch):
    without, _ = trained(name, cuda_graph)
    monkeypatch.setattr(loader_module, "has_room", lambda device, images: True)
    found, state = trained(name, cuda_graph)
    assert state.step == STEPS
    for key, value in without.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key


@pytest.mark.skipif(ON_GPU, reason="a graph cannot be asked what the host did")
@pytest.mark.parametrize(("name", "rows"), [("simclr", 8), ("suncet", 8 + 8)])
def test_the_host_sends_a_step_by_a_stored_set_one_copy(name, rows, as_on_gpu, stored, monkeypatch):
    sent, step, replay = [], captured_step.CapturedStep.__call__, Again.replay

    def watched(*given):
        with Launches() as launched:
            found = step(*given)
        sent.append(launched)
        return found

    def unseen(graph):
        with _disable_current_modes():
            replay(graph)

    monkeypatch.setattr(captured_step.CapturedStep, "__call__", watched)
    monkeypatch.setattr(Again, "replay", unseen)
    trained(name, "on")
    assert Again.launches > 0
    assert set(sent[-1].operations) <= {"aten.copy_", "aten.lift_fresh"}  # NumPy's memory, shared
    assert sent[-1].operations["aten.copy_"] == 1
    assert sent[-1].largest == 2 * (SLOTS + GROUPS) + rows  # of 8 bytes


def test_captured_steps_go_on_after_a_stop(as_on_gpu, stored, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    whole, _ = trained("moco-v2", "on", steps=12)
    parts = {"run": RunFolder(tmp_path), "steps": 12, "eval_every": 6}
    with pytest.raises(Interrupted):
        trained("moco-v2", "on", evaluate=StopAfter(1), **parts)
    resumed, state = trained("moco-v2", "on", evaluate=lambda nets: {}, **parts)
    assert state.step == 12
    assert_close(resumed, whole)
    for key, value in whole.state_dict().items():
        assert ON_GPU or torch.equal(resumed.state_dict()[key], value), key


def test_a_graph_finds_the_gradients_that_it_adds_to_where_they_were(as_on_gpu, monkeypatch):
    lie, make = [], captured_step.captured

    def captured(work):
        graph = make(work)
        replay = graph.replay

        def watched():
            lie.append([parameter.grad.data_ptr() for parameter in nets.encoder.parameters()])
            replay()

        graph.replay = watched
        return graph

    monkeypatch.setattr(captured_step, "captured", captured)
    rule = method("simclr")
    nets = nets_of(rule).to("cuda" if ON_GPU else "cpu")
    plan = LoopSettings(STEPS, cuda_graph="on", accumulate_grad_batches=2)
    fabric = Fabric(accelerator="cuda" if ON_GPU else "cpu", devices=1)
    train(fabric, rule, nets, loader(rule), Recipe("sgd"), plan)
    assert len(lie) > STEPS and all(where == lie[0] for where in lie)


def test_a_loss_that_takes_another_branch_is_captured_again(as_on_gpu, monkeypatch):
    captures = []
    make = captured_step.captured
    monkeypatch.setattr(captured_step, "captured", lambda work: captures.append(1) or make(work))
    rule = replace(method("swav"), frozen_until=0.5, queue_from=0.0)
    assert_equal_to_eager(rule, steps=16)
    assert len(captures) == 2  # prototypes stand still, then move


def test_a_weight_that_rises_is_read_by_the_graph(as_on_gpu, monkeypatch):
    monkeypatch.setattr(comatch_ema, "EPOCHS", 9)  # from 1 to 10 in the whole run
    assert_equal_to_eager("comatch-ema")


def test_layers_keep_their_own_rates(as_on_gpu):
    scales = {
        name: 0.1 for name, _ in nets_of(method("simclr")).named_parameters() if "head" in name
    }
    assert scales
    assert_equal_to_eager("simclr", scales=scales)


class LarsOnTheHost(Lars):
    """As in timm before 1.0.31: without the form that reads its rate from memory."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.forget()

    def forget(self):
        for group in self.param_groups:
            group.pop("foreach", None)

    def step(self, closure=None):
        for group in self.param_groups:
            assert isinstance(group["lr"], float)
            group["foreach"] = False
        super().step(closure)
        self.forget()


def test_lars_of_an_older_timm_is_not_captured(as_on_gpu, monkeypatch):
    monkeypatch.setattr(lars, "Lars", LarsOnTheHost)
    with pytest.raises(LikewiseError, match=r"--cuda-graph on.* timm"):
        trained("simclr", "on", "lars")
    _, state = trained("simclr", "auto", "lars")
    assert state.step == STEPS


LARS = pytest.param(
    "lars",
    marks=pytest.mark.skipif(
        "foreach" not in signature(Lars).parameters, reason="timm before 1.0.31 is installed"
    ),
)


@pytest.mark.parametrize("optimizer", [LARS, "adamw"])
def test_every_optimiser_reads_its_rate_from_memory(optimizer, as_on_gpu):
    eager, _ = trained("simclr", "off", optimizer)
    captured, _ = trained("simclr", "on", optimizer)
    for key, value in eager.state_dict().items():
        torch.testing.assert_close(captured.state_dict()[key], value, rtol=1e-3, atol=1e-4)


class AnotherLossEachStep(SimCLR):
    """Reads what a graph would freeze."""

    def compute_loss(self, nets, outputs, progress):
        step = super().compute_loss(nets, outputs, progress)
        return step._replace(loss=step.loss / (1 + progress.step))


def test_a_method_that_cannot_be_captured_says_why(as_on_gpu):
    rule = AnotherLossEachStep(views=method("simclr").views)
    with pytest.raises(LikewiseError, match=r"--cuda-graph on.*progress\.step"):
        trained(rule, "on")
    _, state = trained(rule, "auto")
    assert state.step == STEPS


@dataclass(frozen=True)
class LayerDrop(SimCLR):
    """Leaves out a part of its step by a number of the host's."""

    draw: Callable[[], float] = random.random

    def step(self, nets, batch, progress):
        step = super().step(nets, batch, progress)
        return step._replace(loss=step.loss * (self.draw() < 0.5))


@pytest.mark.parametrize("draw", [random.random, np.random.rand])
def test_a_step_that_draws_on_the_host_is_not_captured(draw, as_on_gpu):
    rule = LayerDrop(views=method("simclr").views, draw=draw)
    with pytest.raises(LikewiseError, match=r"--cuda-graph on.* random"):
        trained(rule, "on")
    trained(rule, "auto")
    assert Again.launches == 0


def test_a_loop_of_ones_own_captures_no_draw_of_the_host(as_on_gpu, monkeypatch):
    drawn = []

    def compute(batch, progress):
        drawn.append(random.random())
        return Step(torch.tensor(0.0), {})

    def captured(work):
        work()  # as PyTorch's does
        return Again(work)

    if not ON_GPU:
        monkeypatch.setattr(captured_step, "captured", captured)
    rule = method("simclr")
    take = captured_step.CapturedStep(compute, None, torch.device("cuda" if ON_GPU else "cpu"))
    for at, batch in enumerate(loader(rule).batches(0, STEPS)):
        take(batch, Progress(at, STEPS), rate=0.1)
    assert len(set(drawn)) >= STEPS
    assert "random" in take.failed


def test_draws_by_torch_on_the_cpu_are_the_hosts_beside_a_gpu():
    with pytest.raises(NotCapturable, match="CPU"), refusing_host_draws(torch.device("cuda")):
        torch.rand(1)
    with refusing_host_draws(torch.device("cpu")):
        torch.rand(1)


def test_a_capture_that_pytorch_refuses_leaves_the_eager_steps(as_on_gpu, monkeypatch):
    def refused(work):
        try:
            raise RuntimeError("operation not permitted")
        finally:  # as PyTorch does at the end of a capture
            raise RuntimeError("operation failed due to a previous error")

    eager, _ = trained("simclr", "off")
    monkeypatch.setattr(captured_step, "captured", refused)
    found, state = trained("simclr", "auto")
    assert state.step == STEPS
    for key, value in eager.state_dict().items():
        torch.testing.assert_close(found.state_dict()[key], value, rtol=1e-3, atol=1e-4)
    with pytest.raises(LikewiseError, match="not permitted"):
        trained("simclr", "on")


def test_a_graph_that_does_not_fit_leaves_the_eager_steps(as_on_gpu, monkeypatch):
    def too_large(work):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(captured_step, "captured", too_large)
    _, state = trained("simclr", "auto")
    assert state.step == STEPS
    with pytest.raises(LikewiseError, match="memory"):
        trained("simclr", "on")


@pytest.mark.skipif(ON_GPU, reason="needs a machine without a GPU")
def test_on_a_cpu_nothing_is_captured():
    with pytest.raises(LikewiseError, match="--cuda-graph"):
        trained("simclr", "on")


@pytest.mark.skipif(ON_GPU, reason="a graph cannot be asked what was there at its capture")
def test_each_replay_makes_the_views_of_its_step(as_on_gpu, monkeypatch):
    rows = {}
    sample = view_policy.ViewPolicy.sample_params

    def watched(policy, pixels, rng):
        params = sample(policy, pixels, rng)
        rows.setdefault(str(rng.key[-1]), []).append(params.box.clone())
        return params

    monkeypatch.setattr(view_policy.ViewPolicy, "sample_params", watched)
    trained("simclr", "off")
    eager = dict(rows)
    rows.clear()
    trained("simclr", "on")
    for name, boxes in eager.items():
        assert torch.equal(torch.stack(rows[name][-STEPS:]), torch.stack(boxes))
