"""A batch that is embedded by microbatches learns what it learns at once, for every registered method."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import Precision
from torch import nn

from likewise.data.loader import Loader
from likewise.encoders import Encoder
from likewise.losses import nt_xent
from likewise.methods import Nets, Progress, Recipe, Step
from likewise.methods.simclr import SimCLR
from likewise.randomness import seed_networks
from likewise.run_folder import RunFolder
from likewise.training import Interrupted, LoopSettings, train
from likewise.training.batch_norm.over_ranks import synchronise_batch_norm
from likewise.training.cached_gradients import Learner, gradients_of
from methods.fixtures import ALL, CLASSES, images, loader, method, modalities, nets_of
from training.saved_tensors import peak_bytes, saved_bytes
from training.test_resume import StopAfter, losses

BATCH = 12
WHERE = Progress(3, steps=10, seed=2)


@dataclass(frozen=True)
class Prototypes(SimCLR):
    """SimCLR whose loss compares through learned prototypes, a parameter that the second half alone uses."""

    def build(self, encoder, classes):
        nets = super().build(encoder, classes)
        return Nets(encoder=nets.encoder, head=nets.head, prototypes=nn.Linear(self.dim, 6))

    def compute_loss(self, nets, rows, progress):
        return Step(
            nt_xent(
                nets.prototypes(rows["first"]), nets.prototypes(rows["second"]), self.temperature
            )
        )


def rule_of(name):
    return Prototypes(hidden=16, dim=8) if name == "prototypes" else method(name)


EVERY = [*ALL, "prototypes"]
KINDS = (
    "prototypes",  # a loss with parameters of its own
    "byol",  # a teacher and a predictor
    "moco-v2",  # a queue
    "suncet",  # a support that ends
    "swav",  # several crops
    "comatch",  # memories of pseudo-labels
    "loco",  # a step of its own
    "hsakd",  # a frozen teacher
    "clip",  # captions
    "modist",  # clips and optical flow
    "ugan",  # networks with optimisers of their own
)
"""A method for each kind of step, for tests whose outcome depends on the kind alone."""

OF_ITS_OWN = ("prototypes", "byol", "suncet", "loco", "ugan")
"""The kinds whose backward or support is their own; `make test-all` takes the other kinds too."""
SOME = [
    name if name in OF_ITS_OWN else pytest.param(name, marks=pytest.mark.slow) for name in KINDS
]

KEPT = ("byol", "moco-v2", "suncet", "comatch", "loco", "ugan")
"""The kinds whose next step depends on more than weights and the step's number."""


def networks(rule, batch_norm=True, dropout=0.0):
    """A method's networks in float64, their classifier not at zero, where the gradient would stop."""
    nets = nets_of(rule)
    if not batch_norm:
        for module in list(nets.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.modules.batchnorm._BatchNorm):
                    setattr(module, name, nn.Identity())
    if "classifier" in dict(nets.named_children()):
        nn.init.normal_(nets.classifier.weight)
    for module in nets.modules():
        if isinstance(module, Encoder):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    if dropout:
        nets.encoder.stages()[1].append(nn.Dropout(dropout))
    return nets.double()


def batch_of(rule, size=BATCH):
    return loader(rule, count=48, batch_size=size).batch(3)


def gradients(rule, nets, pieces, batch, plugin=None):
    """The step and the gradients that the loop would see."""
    fabric = Fabric(accelerator="cpu", devices=1, plugins=plugin)
    learner = fabric.setup(Learner(rule, nets))
    ours = gradients_of(fabric, learner, pieces)
    step = ours.forward(batch, WHERE)
    ours.backward(step)
    return step, {name: p.grad for name, p in nets.named_parameters() if p.grad is not None}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name],
            tensor,
            rtol=1e-9,
            atol=1e-12,
            msg=lambda said, name=name: f"{name}: {said}",
        )


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        *((name, 3) for name in EVERY),
        *((name, 12) for name in OF_ITS_OWN),
        *(
            pytest.param(name, 12, marks=pytest.mark.slow)
            for name in KINDS
            if name not in OF_ITS_OWN
        ),
    ],
)
def test_the_gradient_is_that_of_the_whole_batch(name, pieces):
    """A support of 8 rows is uneven, and absent from some of 12 parts."""
    rule = rule_of(name)
    batch = batch_of(rule)
    joint, expected = gradients(rule, networks(rule, batch_norm=False), 1, batch)
    step, found = gradients(rule, networks(rule, batch_norm=False), pieces, batch)
    assert expected
    assert_same(found, expected)
    assert_same({"loss": step.loss, **step.metrics}, {"loss": joint.loss.detach(), **joint.metrics})
    # In the same order, or a queue would hold another past.
    assert_same(step.memory_updates, joint.memory_updates)


class ScaledBackward(Precision):
    """Fabric scales a loss before its backward, as float16 needs."""

    def backward(self, tensor, model, *arguments, **more):
        super().backward(1024 * tensor, model, *arguments, **more)


@pytest.mark.parametrize("name", SOME)
def test_a_scaled_loss_is_scaled_once(name):
    rule = rule_of(name)
    batch = batch_of(rule)
    _, expected = gradients(rule, networks(rule, batch_norm=False), 1, batch, ScaledBackward())
    _, found = gradients(rule, networks(rule, batch_norm=False), 3, batch, ScaledBackward())
    _, unscaled = gradients(rule, networks(rule, batch_norm=False), 1, batch)
    assert_same(expected, {name: 1024 * gradient for name, gradient in unscaled.items()})
    assert_same(found, expected)


def by_hand(rule, nets, pieces, batch):
    """What the cache saves doing: all parts embedded with gradient, their rows put in order, one backward."""
    rows = {}
    norms = [
        module for module in nets.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    kept = [dict(norm.named_buffers()) for norm in norms]
    for number in range(pieces):
        for norm, statistics in zip(norms, kept, strict=True):
            norm._buffers = {name: buffer.clone() for name, buffer in statistics.items()}
        seed_networks(WHERE.seed, WHERE.step, 0, "dropout", number)
        for name, row in rule.embed(nets, batch.microbatches(pieces)[number], WHERE).items():
            rows.setdefault(name, []).append(row)
    places = {
        name: torch.cat(
            [torch.arange(sum(map(len, row)))[number::pieces] for number in range(pieces)]
        )
        for name, row in rows.items()
    }
    whole = {name: torch.cat(row)[places[name].argsort()] for name, row in rows.items()}
    rule.compute_loss(nets, whole, WHERE).loss.backward()
    return {name: p.grad for name, p in nets.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", EVERY)
def test_with_batch_norm_and_dropout_it_is_that_of_the_microbatches_at_once(name):
    """Both passes must drop the same units, and normalise alike."""
    rule = rule_of(name)
    batch = batch_of(rule)
    _, found = gradients(rule, networks(rule, dropout=0.3), 3, batch)
    assert_same(found, by_hand(rule, networks(rule, dropout=0.3), 3, batch))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", ["byol", "moco-v2", "kd", "comatch-ema", "clip-distill"])
def test_a_teacher_embeds_once_unless_it_drops_units(name, dropout):
    """BYOL's student embeds a view after its teacher, and must drop the units that it dropped before."""
    rule, pieces = rule_of(name), 3
    batch, calls = batch_of(rule), []

    def networks_with_counter():
        nets = networks(rule, dropout=0.3)
        (teacher,) = [each for each in nets.teacher.modules() if isinstance(each, Encoder)]
        if dropout:
            teacher.stages()[1].append(nn.Dropout(dropout))
        teacher.stages()[0].register_forward_hook(lambda *_: calls.append(1))
        return nets

    expected = by_hand(rule, networks_with_counter(), pieces, batch)
    once = len(calls)
    _, found = gradients(rule, networks_with_counter(), pieces, batch)
    assert_same(found, expected)
    again = once * (pieces - 1) // pieces if dropout else 0
    assert len(calls) - once == once + again


@pytest.mark.parametrize(
    "name",
    [name if name in KINDS else pytest.param(name, marks=pytest.mark.slow) for name in ALL],
)
def test_running_statistics_move_once_a_step(name):
    rule = method(name)
    batch, states = batch_of(rule), []
    for pieces in (1, 3):
        nets = networks(rule)
        gradients(rule, nets, pieces, batch)
        states.append(nets.state_dict())
    joint, cached = states
    counts = [key for key in joint if key.endswith("num_batches_tracked")]
    assert counts
    assert [cached[key].item() for key in counts] == [joint[key].item() for key in counts]
    # Nothing is normalised before the first layer, so the mean over parts is the mean over the batch there.
    # Else parts hold unlike numbers of support rows, and so weigh a little unlike.
    if rule.support is None:
        for key in [key for key in joint if key.endswith("blocks.0.1.running_mean")]:
            torch.testing.assert_close(cached[key], joint[key], rtol=1e-9, atol=1e-12)


def test_running_variance_is_the_mean_of_the_microbatches_variances():
    rule = method("cross-entropy")
    nets, batch = networks(rule), batch_of(rule)
    variances = []
    for part in batch.microbatches(3):
        view = rule.views(part.pixels, WHERE.rng("view", part)).pixels.double()
        variances.append(
            nets.encoder.blocks[0][0](nets.encoder.normalise(view))
            .transpose(0, 1)
            .flatten(1)
            .var(dim=1)
        )
    gradients(rule, nets, 3, batch)
    expected = 0.9 + 0.1 * torch.stack(variances).mean(0)
    torch.testing.assert_close(nets.encoder.blocks[0][1].running_var, expected)


def test_batch_norm_in_the_loss_sees_the_whole_batch_and_keeps_its_statistics():
    states = []
    for pieces in (1, 3):
        rule = rule_of("prototypes")
        nets = networks(rule, batch_norm=False)
        nets.prototypes = nn.Sequential(nn.BatchNorm1d(8), nets.prototypes).double()
        _, found = gradients(rule, nets, pieces, batch_of(rule))
        states.append(
            {**nets.state_dict(), **{f"gradient of {name}": value for name, value in found.items()}}
        )
    assert states[0]["prototypes.0.num_batches_tracked"] == 2
    assert_same(states[1], states[0])


def trained(
    name,
    microbatch,
    folder=None,
    evaluate=None,
    steps=4,
    devices=1,
    dropout=0.0,
    callbacks=(),
    batch_size=16,
    labels=None,
):
    """Weights and buffers after a few steps of the real loop, in float64."""
    rule = rule_of(name) if isinstance(name, str) else name
    if hasattr(rule, "supervised_until"):  # the support ends half-way
        rule = dataclasses.replace(rule, supervised_until=0.5)
    fabric = Fabric(accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto")
    fabric.launch()
    nets = networks(rule, dropout=dropout)
    if devices > 1:
        nets = synchronise_batch_norm(nets).double()
    batches = Loader(
        images(48, rule),
        torch.arange(48) % CLASSES if labels is None else labels,
        batch_size,
        5,
        rule.support,
        0,
        fabric.global_rank,
        devices,
        modalities(rule, 48),
    )
    plan = LoopSettings(steps, seed=4, log_every=1, eval_every=1, microbatch=microbatch)
    where = RunFolder(folder) if folder else None
    evaluate = evaluate or (lambda _: {})
    state = train(
        fabric, rule, nets, batches, Recipe("sgd", 0.2), plan, where, evaluate, None, callbacks
    )
    return state, {key: value.clone() for key, value in nets.state_dict().items()}


@pytest.mark.parametrize("name", KEPT)
def test_stopped_and_resumed_equals_never_stopped(name, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        (folder / "checkpoints").mkdir(parents=True)
    state, weights = trained(name, 4, whole, dropout=0.3)
    with pytest.raises(Interrupted):
        trained(name, 4, parts, StopAfter(2), dropout=0.3)
    resumed_state, resumed = trained(name, 4, parts, dropout=0.3)
    assert resumed_state.images == state.images
    assert [key for key in weights if not torch.equal(weights[key], resumed[key])] == []
    assert losses(whole) == losses(parts)


@pytest.mark.parametrize("name", ["cross-entropy", "byol", "loco", "suncet"])
def test_images_are_counted_once_a_view(name):
    (joint, _), (cached, _) = trained(name, None), trained(name, 4)
    assert cached.images == joint.images > 0


def test_a_microbatch_of_the_whole_batch_is_the_whole_batch():
    assert_same(trained("simclr", 16)[1], trained("simclr", None)[1])


def peak_of(rule, pieces, batch):
    """The most bytes that wait for their backward at a time in a step."""
    nets = networks(rule)
    return peak_bytes(lambda: gradients(rule, nets, pieces, batch), nets)


@pytest.mark.parametrize("name", KINDS)
def test_what_waits_for_its_backward_is_a_microbatch_and_the_loss(name):
    rule, pieces = rule_of(name), 8
    size = 128 if name == "loco" else 64  # the halves of its step need some images
    nets, batch = networks(rule), loader(rule, count=size, batch_size=size).batch(0)
    joint, rows = saved_bytes(lambda: rule.embed(nets, batch, WHERE), nets)
    part, _ = saved_bytes(lambda: rule.embed(nets, batch.microbatches(pieces)[0], WHERE), nets)
    loss, _ = saved_bytes(lambda: rule.compute_loss(nets, rows, WHERE), nets)
    assert part < 1.1 * joint / pieces
    if name != "loco":  # whose whole step holds less than its halves
        assert peak_of(rule, 1, batch) >= joint
    assert 0.9 * part <= peak_of(rule, pieces, batch) <= 1.1 * (part + loss)
