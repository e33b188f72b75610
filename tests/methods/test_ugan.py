"""UGAN's updates: where gradients stop, what each loss is, and what its halves leave out."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric

from likewise.data.batch import Batch, Pixels
from likewise.encoders import build_encoder
from likewise.encoders.adversaries import Generator, PairDiscriminator
from likewise.encoders.encoder_settings import EncoderSettings
from likewise.errors import LikewiseError
from likewise.losses.adversarial import feature_matching, pull_away
from likewise.methods import Progress, Step, with_view_size
from likewise.methods.nets import kept_statistics
from likewise.methods.ugan import UGAN
from likewise.report.pictures.method_pictures import illustrate
from likewise.training.manual_backward import ManualBackward
from methods.fixtures import CLASSES, loader, method, nets_of, progress

NETWORKS = {
    "discriminator": {"discriminator"},
    "good_generator": {"good_generator"},
    "bad_generator": {"bad_generator"},
    "classifier": {"encoder", "classifier"},
}
"""Each loss by name, and the networks that learn from it."""
LATE = progress(step=9)
"""when good fakes count fully"""


def objective(rule, nets, name):
    """What an adversary minimises, as `before_step` hands it over."""
    found = {}

    def backward(objective, batch, progress):
        found[len(found)] = objective
        return Step(torch.zeros(()))

    for optimizer in nets.optimizers.values():
        optimizer.step = lambda network, rate: None
    names = list(rule.before_step(nets, loader(rule).batch(3), LATE, backward))
    return found[names.index(name)]


def loss(rule, nets, name, where=LATE):
    """One of the four losses of a step."""
    learns = rule if name == "classifier" else objective(rule, nets, name)
    return learns.step(nets, loader(rule).batch(3), where).loss


def with_gradient(nets):
    return {
        key.partition(".")[0]
        for key, p in nets.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }


def test_optimisers_are_those_of_the_parents_and_in_their_order():
    rule = UGAN()
    recipes = rule.adversary_recipes
    assert list(recipes) == ["discriminator", "good_generator", "bad_generator"]
    assert [recipe.momentum for recipe in (*recipes.values(), rule.card.recipe)] == [
        0.5,
        0.5,
        0.0,
        0.5,
    ]
    assert [recipe.learning_rate for recipe in recipes.values()] == [3e-4, 3e-4, 1e-3]
    assert {recipe.weight_decay for recipe in recipes.values()} == {0.0}


@pytest.mark.parametrize(
    ("name", "reached"),
    [
        ("discriminator", {"discriminator"}),  # fakes and pseudo-labels come without gradient
        # Through the discriminator, which is frozen.
        ("good_generator", {"discriminator", "good_generator"}),
        # Through the classifier's features, which are frozen.
        ("bad_generator", {"encoder", "bad_generator"}),
        # Neither from fakes nor from the discriminator's doubt.
        ("classifier", {"encoder", "classifier"}),
    ],
)
def test_where_gradients_stop_even_if_no_network_were_frozen(name, reached):
    rule = method("ugan")
    nets = nets_of(rule).requires_grad_(True)
    loss(rule, nets, name).backward()
    assert with_gradient(nets) == reached


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loss_moves_its_own_network_alone(name):
    rule = method("ugan")
    nets = nets_of(rule)
    if name == "classifier":
        loss(rule, nets, name).backward()
    else:
        backward = ManualBackward(Fabric(accelerator="cpu", devices=1), nets)
        backward(objective(rule, nets, name), loader(rule).batch(3), LATE)
    assert with_gradient(nets) == NETWORKS[name]


def test_a_step_updates_the_adversaries_in_order_and_each_alone():
    """Discriminator, good generator, bad generator: an update sees those before it."""
    rule, changed = method("ugan"), []
    nets = nets_of(rule)
    backward = ManualBackward(Fabric(accelerator="cpu", devices=1), nets)

    def watched(objective, batch, progress):
        before.update({key: value.clone() for key, value in nets.named_parameters()})
        return backward(objective, batch, progress)

    before = {}
    for name, optimizer in nets.optimizers.items():

        def step(network, rate, name=name, update=optimizer.step):
            update(network, rate)
            moved = {
                key for key, value in nets.named_parameters() if not torch.equal(value, before[key])
            }
            changed.append((name, {key.partition(".")[0] for key in moved}))

        optimizer.step = step
    rule.before_step(nets, loader(rule).batch(3), LATE, watched)
    assert changed == [(name, {name}) for name in rule.adversary_recipes]


def test_real_features_pull_no_encoder_in_the_bad_generators_update():
    """The bad generator learns through its own images' features; the real ones are only where they should lie."""
    rule = method("ugan")
    nets = nets_of(rule)
    adversary = objective(rule, nets, "bad_generator")
    rows = adversary.embed(nets, loader(rule).batch(3), LATE)
    leaves = {name: row.detach().requires_grad_() for name, row in rows.items()}
    step = adversary.compute_loss(nets, leaves, LATE)
    assert torch.autograd.grad(step.loss, leaves["seen"], allow_unused=True) == (None,)
    expected = feature_matching(rows["made"], rows["seen"]) + 0.8 * pull_away(rows["made"])
    assert step.loss.item() == pytest.approx(expected.item())


def bce(logits, real):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def test_the_discriminators_loss_weighs_its_pairs():
    """Real: 20 labelled and 180 guessed pairs; made: half good fakes, half guessed pairs."""
    labelled, predicted, made = (
        torch.randn(count, generator=torch.Generator().manual_seed(count))
        for count in (20, 180, 50)
    )
    rows = {"support": labelled, "seen": predicted, "made": made}
    step = UGAN().discriminator_loss(None, rows, Progress(0, 2))
    expected = (
        bce(torch.cat([labelled, predicted]), True)
        + bce(made, False) / 2
        + bce(predicted, False) / 2
    )
    assert step.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    fooled = UGAN().good_generator_loss(None, {"made": made}, Progress(0, 2))
    assert fooled.loss.item() == pytest.approx(bce(made, True).item() / 2, rel=1e-6)


def logits_of(rows, seed):
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("step", "counts"), [(0, 0.0), (20, 0.0), (30, 0.5), (40, 1.0), (100, 1.0)]
)
def test_the_classifiers_loss_is_the_sum_of_its_terms(step, counts):
    """Written out from the formula, at every stage of the good fakes' rise."""
    support, seen, bad, good = (logits_of(6, seed) for seed in range(4))
    labels, classes = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([3, 3, 2, 1, 0, 0])
    judged = torch.linspace(-2, 2, 6, dtype=torch.float64)
    rows = {"support": support, "labels": labels, "seen": seen, "bad": bad, "judged": judged}
    where = Progress(step, 101)
    if counts:
        rows |= {"good": good, "classes": classes}
    found = UGAN().compute_loss(None, rows, where)
    lse, chance = seen.exp().sum(dim=1).log(), seen.softmax(dim=1)
    expected = F.cross_entropy(support, labels)
    expected = (
        expected
        - lse.mean() / 2
        + F.softplus(lse).mean() / 2
        + F.softplus(bad.exp().sum(dim=1).log()).mean() / 2
    )
    expected = (
        expected
        + 0.1 * -(chance * chance.log()).sum(dim=1).mean()
        - 1e-3 * chance.mean(dim=0).log().mean()
    )
    expected = expected + counts * 0.03 * F.cross_entropy(good, classes)
    expected = expected + 0.01 * (chance.amax(dim=1) * F.softplus(-judged)).mean() / 2
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_good_fakes_are_made_once_they_count():
    rule = method("ugan")
    nets, batch = nets_of(rule), loader(rule).batch(3)
    assert "good" not in rule.embed(nets, batch, Progress(0, 11))
    rows = rule.embed(nets, batch, Progress(5, 11))
    assert rows["good"].shape == (8, CLASSES)
    assert int(rows["classes"].min()) >= 0 and int(rows["classes"].max()) < CLASSES


HALVES = {
    "good fakes only": ({"bad_weight": 0.0}, {"discriminator", "good_generator"}),
    "bad fakes only": (
        {"good_weight": 0.0, "discriminator_confidence_weight": 0.0},
        {"bad_generator"},
    ),
    "labels only": (
        {"bad_weight": 0.0, "good_weight": 0.0, "discriminator_confidence_weight": 0.0},
        set(),
    ),
}


@pytest.mark.parametrize("half", HALVES)
def test_a_half_leaves_the_others_out(half):
    weights, adversaries = HALVES[half]
    rule = dataclasses.replace(method("ugan"), **weights)
    nets = nets_of(rule)
    assert set(rule.adversary_recipes) == set(nets.optimizers) == adversaries
    assert {name for name, _ in nets.named_children()} == {
        "encoder",
        "classifier",
        "optimizers",
        *adversaries,
    }
    start = {key: value.clone() for key, value in nets.named_parameters()}
    steps = rule.before_step(
        nets,
        loader(rule).batch(3),
        LATE,
        ManualBackward(Fabric(accelerator="cpu", devices=1), nets),
    )
    assert set(steps) == adversaries
    still = {
        key.partition(".")[0]
        for key, value in nets.named_parameters()
        if torch.equal(value, start[key])
    }
    assert still == {"encoder", "classifier"}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [28, 30, 32, 64, 96, 128])
def test_generators_make_images_of_the_runs_size(size, channels):
    rule = with_view_size(UGAN(width=4), size)
    statistics = (0.4,) * channels, (0.3,) * channels
    nets = rule.build(build_encoder(EncoderSettings("conv4", size, *statistics)), 5)
    pixels = torch.zeros(3, channels, size, size, dtype=torch.uint8)
    batch = Batch(Pixels(pixels, torch.ones(3)), torch.zeros(3, dtype=torch.long), torch.arange(3))
    good, classes = rule.good_fakes(nets, batch, progress())
    for made in (good, rule.bad_fakes(nets, batch, progress())):
        assert made.shape == (3, channels, size, size)
        assert 0 <= made.min() and made.max() <= 1
    assert nets.discriminator(good, classes).shape == (3,)


def test_a_generator_is_as_wide_as_the_parents_for_32_pixels():
    convolutions = [
        each
        for each in Generator(100, 3, 32, 128).stages
        if isinstance(each, torch.nn.ConvTranspose2d)
    ]
    assert [each.in_channels for each in convolutions] == [512, 256, 128]
    assert convolutions[-1].out_channels == 3


def test_fakes_differ_from_each_other_and_by_class():
    torch.manual_seed(0)
    generator, noise = Generator(8, 1, 12, 4, classes=3), torch.rand(2, 8)
    same = noise[:1].expand(2, -1)
    generator.eval()
    assert not torch.equal(*generator(noise, torch.tensor([0, 0])))
    assert not torch.equal(*generator(same, torch.tensor([0, 1])))
    assert torch.equal(*generator(same, torch.tensor([1, 1])))


def test_the_discriminator_judges_the_pair():
    torch.manual_seed(0)
    judge, pixels = PairDiscriminator(1, 4, 3), torch.rand(1, 1, 12, 12).expand(2, -1, -1, -1)
    one, other = judge(pixels, torch.tensor([0, 1]))
    assert one != other


def test_fakes_move_no_statistics_of_the_encoder():
    """Those of real images are kept: a step with bad fakes leaves what one without them would have left."""
    ends = []
    for weight in (1.0, 0.0):
        rule = dataclasses.replace(method("ugan"), bad_weight=weight)
        nets = nets_of(rule)
        rule.before_step(
            nets,
            loader(rule).batch(3),
            LATE,
            ManualBackward(Fabric(accelerator="cpu", devices=1), nets),
        )
        rule.embed(nets, loader(rule).batch(3), LATE)
        ends.append(
            {key: value for key, value in nets.encoder.state_dict().items() if "running" in key}
        )
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_statistics_are_kept_for_a_while_only_and_those_at_rest_stay_so():
    moving, resting = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2).eval()
    with kept_statistics(torch.nn.ModuleList([moving, resting])):
        moving(torch.randn(4, 2) + 5)
    assert moving.running_mean.abs().sum() == 0
    assert moving.training and not resting.training


def test_statistics_move_again_after_an_error():
    moving = torch.nn.BatchNorm1d(2)
    with pytest.raises(ZeroDivisionError), kept_statistics(moving):
        _ = 1 / 0
    assert moving.training


def test_without_a_size_it_says_what_to_do():
    with pytest.raises(LikewiseError, match=r"views=identity\(28\)"):
        UGAN().build(build_encoder(EncoderSettings("conv4", 12, (0.4,), (0.3,))), 3)


def test_it_draws_good_fakes_by_class_and_bad_ones_after_them():
    rule = method("ugan")
    nets = nets_of(rule).eval()
    batch = loader(rule, count=128, batch_size=128).batch(0)
    drawn = illustrate(rule, nets, batch, progress())
    columns = [{picture.column for picture in row} for row in drawn.rows]
    assert columns[:CLASSES] == CLASSES * [{"labelled", "good fakes"}]
    assert columns[CLASSES:] and all(row == {"bad fakes"} for row in columns[CLASSES:])
    assert all(picture.pixels.shape == (1, 12, 12) for row in drawn.rows for picture in row)
    assert all(
        picture.caption.endswith("%")
        for row in drawn.rows
        for picture in row
        if picture.column != "labelled"
    )
    bad_alone = dataclasses.replace(rule, good_weight=0.0, discriminator_confidence_weight=0.0)
    rows = illustrate(bad_alone, nets_of(bad_alone).eval(), batch, progress()).rows
    assert {picture.column for row in rows for picture in row} == {"bad fakes"}
    labels_alone = dataclasses.replace(bad_alone, bad_weight=0.0)
    assert illustrate(labels_alone, nets_of(labels_alone).eval(), batch, progress()) is None
