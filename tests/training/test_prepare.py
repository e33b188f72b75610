"""What was left to us is decided well, and said."""

import numpy as np
import pytest
import torch

from likewise.errors import LikewiseError
from likewise.methods import Recipe
from likewise.methods.suncet import SuNCEt
from likewise.runs.prepare import prepare
from likewise.runs.settings import TrainSettings
from likewise.runs.starting_run import data_summary
from likewise.training.optimizers import build_optimizer
from likewise.training.precision import choose_precision, cpu_multiplies_bfloat16


def arrays(count=120, classes=3):
    images = np.random.default_rng(0).integers(0, 256, (count, 12, 12), dtype=np.uint8)
    return images, np.arange(count) % classes


def test_parts_are_held_out_once_and_never_shared():
    prepared = prepare(arrays(), TrainSettings())
    ids = {name: set(split.manifest.ids) for name, split in prepared.splits.items()}
    assert sum(map(len, ids.values())) == len(set().union(*ids.values())) == 120
    assert {name: len(part) for name, part in ids.items()} == {"train": 87, "val": 9, "test": 24}
    again = prepare(arrays(), TrainSettings())
    assert {name: set(split.manifest.ids) for name, split in again.splits.items()} == ids
    other = prepare(arrays(), TrainSettings(seed=1))
    assert set(other.splits["test"].manifest.ids) != ids["test"]


def test_the_budget_hides_labels_of_the_training_part_alone():
    prepared = prepare(arrays(), TrainSettings(labels="4"))
    assert torch.bincount(prepared.visible_labels[prepared.visible_labels >= 0]).tolist() == [
        4,
        4,
        4,
    ]
    assert (prepared.splits["test"].labels >= 0).all()
    assert prepared.train.labels.min() >= 0
    assert set(prepared.loader().batch(0).labels.tolist()) <= {-1, 0, 1, 2}
    assert (prepared.loader().labels >= 0).sum() == 12


@pytest.mark.parametrize(("batch_size", "rows"), [(None, 12), (4, 12), (32, 36)])
def test_who_learns_from_labels_alone_is_shown_labelled_images_alone(batch_size, rows):
    prepared = prepare(arrays(), TrainSettings(labels="4", batch_size=batch_size), "cross-entropy")
    loader = prepared.loader()
    assert loader.batch_size == (batch_size or 8) and len(loader.images) == rows
    for step in range(5):
        batch = loader.batch(step)
        assert (batch.labels >= 0).all()
        own = prepared.train.images.read(prepared.train_indices[batch.indices % 12])
        assert torch.equal(batch.pixels.images, own.images)
        assert torch.equal(
            batch.labels, prepared.train.labels[prepared.train_indices[batch.indices % 12]]
        )
    (note,) = data_summary(prepared)["notes"]
    assert "12" in note and "87" in note
    everything = prepare(arrays(), TrainSettings(labels="4"), "simclr")
    assert len(everything.train_indices) == 87 and not data_summary(everything)["notes"]


@pytest.mark.parametrize(
    ("labels", "method"), [("none", "simclr"), ("all", "supcon"), ("4", "suncet"), ("1", "simclr")]
)
def test_auto(labels, method):
    prepared = prepare(arrays(), TrainSettings(labels=labels))
    assert type(prepared.method).__name__.lower() == method
    assert prepared.method_reason


@pytest.mark.parametrize(("count", "batch"), [(120, 16), (2400, 256), (24, 8), (9, 2)])
def test_a_small_set_gets_a_batch_that_fits(count, batch):
    assert prepare(arrays(count), TrainSettings()).batch_size == batch
    assert prepare(arrays(count), TrainSettings(batch_size=8)).batch_size == 8


@pytest.mark.parametrize(("kind", "sizes"), [("long-tail", [29, 14, 7]), ("step", [29, 7, 7])])
def test_imbalance_thins_out_the_training_part_alone(kind, sizes):
    even = prepare(arrays(), TrainSettings())
    thin = prepare(arrays(), TrainSettings(imbalance=kind, imbalance_ratio=4))
    assert torch.bincount(thin.train.labels).tolist() == sizes
    assert list(thin.splits["test"].manifest.ids) == list(even.splits["test"].manifest.ids)
    assert set(thin.train.manifest.ids) < set(even.train.manifest.ids)


def test_rare_classes_are_as_many_as_asked_for():
    thin = prepare(
        arrays(), TrainSettings(imbalance="step", imbalance_ratio=4, imbalance_rare=0.34)
    )
    assert torch.bincount(thin.train.labels).tolist() == [29, 29, 7]


def test_labels_are_falsified_for_training_alone_and_it_is_said():
    clean = prepare(arrays(600), TrainSettings())
    noisy = prepare(arrays(600), TrainSettings(label_noise=0.3))
    assert 0.2 < (clean.visible_labels != noisy.visible_labels).double().mean() < 0.4
    for name, split in noisy.splits.items():
        # What scores are taken by stays true.
        assert torch.equal(split.labels, clean.splits[name].labels)
    assert torch.equal(noisy.loader().labels, noisy.visible_labels)
    flipped = int((noisy.visible_labels != noisy.train.labels).sum())
    assert data_summary(noisy)["noisy_labels"] == flipped > 0
    assert data_summary(clean)["noisy_labels"] == 0


def test_the_encoder_is_told_the_statistics_of_the_training_images():
    images = np.full((60, 12, 12), 51, dtype=np.uint8)
    images[:, :, 6:] = 153
    prepared = prepare((images, np.arange(60) % 2), TrainSettings())
    assert prepared.encoder.mean == pytest.approx((0.4,), abs=1e-3)
    assert prepared.encoder.std == pytest.approx((0.2,), abs=1e-2)


def test_support_never_asks_for_more_than_is_labelled():
    prepared = prepare(arrays(), TrainSettings(labels="4"), "suncet")
    support = prepared.loader().batch(0).support
    assert support.labels.bincount().tolist() == [4, 4, 4]


@pytest.mark.parametrize("method", ["suncet", "swav-suncet"])
def test_support_grows_with_the_batch_up_to_the_labels(method):
    def drawn(batch_size, rank=0, world_size=1):
        prepared = prepare(arrays(), TrainSettings(labels="10", batch_size=batch_size), method)
        return prepared.loader(rank, world_size).batch(0).support

    each = {size: drawn(size).labels.bincount().tolist() for size in (8, 16, 64)}
    assert each == {8: [2] * 3, 16: [4] * 3, 64: [10] * 3}
    halves = [drawn(16, rank, 2).indices for rank in range(2)]
    assert torch.equal(torch.cat(halves), drawn(16).indices)


def test_an_explicit_support_does_not_grow_with_the_batch():
    for batch_size in (8, 64):
        method = SuNCEt(images_per_class=3)
        prepared = prepare(arrays(), TrainSettings(labels="10", batch_size=batch_size), method)
        assert prepared.loader().batch(0).support.labels.bincount().tolist() == [3, 3, 3]


def test_rates_rise_then_fall_and_scale_with_the_batch():
    recipe = Recipe("sgd", 0.4, warm_up=0.1)
    rates = [recipe.rate_at(step, 100, 20, 256) for step in range(100)]
    assert rates.index(max(rates)) == 10
    assert max(rates) == pytest.approx(0.4)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.2, abs=1e-6)
    assert 0 < rates[0] < 0.05
    assert rates[-1] < 0.001
    assert recipe.peak_rate(512) == pytest.approx(0.8)
    assert Recipe("adamw", 0.1).peak_rate(1024) == pytest.approx(0.2)
    assert all(recipe.rate_at(0, steps, 1, 256) > 0 for steps in (1, 2, 3))


def test_the_schedule_of_fixmatch_ends_at_a_fifth():
    """`WarmupCosineLrScheduler` of https://github.com/salesforce/CoMatch at four of 1,000 steps."""
    recipe = Recipe("sgd", learning_rate=0.03, warm_up=0.0, schedule="fixmatch")
    rates = [recipe.rate_at(step, 1000, 100, 256) for step in (0, 250, 500, 999)]
    assert rates == pytest.approx([0.03, 0.0282463, 0.0231903, 0.00589315], rel=1e-5)


def test_a_schedule_can_start_and_end_above_zero():
    recipe = Recipe("sgd", 0.4, warm_up=0.1, start_factor=0.25, end_factor=0.01)
    rates = [recipe.rate_at(step, 1000, 200, 256) for step in range(1000)]
    assert rates[0] == pytest.approx(0.1, rel=0.05)
    assert rates[100] == max(rates) == pytest.approx(0.4)
    assert rates[-1] == pytest.approx(0.004, rel=0.01)


@pytest.mark.parametrize("name", ["sgd", "lars", "adamw"])
def test_biases_and_norms_are_decayed_where_the_recipe_includes_them(name):
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    optimizer = build_optimizer(
        Recipe(name, weight_decay=0.1, exclude_bias_and_norm=False), network, 256
    )
    network(torch.randn(4, 3)).square().sum().backward()
    optimizer.step()
    decay = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    assert [decay[id(p)] for p in network.parameters()] == [0.1] * 4


def test_lars_gives_a_bias_a_layerwise_rate_where_the_recipe_includes_it():
    network = torch.nn.Module()
    network.bias = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    recipe = Recipe("lars", 1.0, momentum=0.0, weight_decay=0.0, exclude_bias_and_norm=False)
    optimizer = build_optimizer(recipe, network, 256)
    network.bias.grad = torch.tensor([0.6, 0.8])
    optimizer.step()
    torch.testing.assert_close(
        network.bias.detach(), torch.tensor([3.0, 4.0]) - 0.005 * torch.tensor([0.6, 0.8])
    )


@pytest.mark.parametrize("name", ["sgd", "lars", "adamw"])
def test_biases_and_norms_are_not_decayed(name):
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    optimizer = build_optimizer(Recipe(name, weight_decay=0.1), network, 256)
    decay = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    assert decay[id(network[0].weight)] == 0.1
    assert [decay[id(p)] for p in (network[0].bias, network[1].weight, network[1].bias)] == [
        0,
        0,
        0,
    ]


def test_lars_scales_a_layers_step_by_its_weight():
    """One step of LARS: lr x trust x |w| / |g + wd w| times the decayed gradient (You et al. 2017, Eq. 6)."""
    weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
    network = torch.nn.Module()
    network.weight = weight
    optimizer = build_optimizer(Recipe("lars", 1.0, momentum=0.0, weight_decay=0.0), network, 256)
    weight.grad = torch.tensor([[0.6, 0.8]])
    optimizer.step()
    torch.testing.assert_close(
        weight.detach(), torch.tensor([[3.0, 4.0]]) - 0.001 * 5.0 * torch.tensor([[0.6, 0.8]])
    )


def test_precision_says_why():
    chosen = choose_precision("auto", torch.device("cpu"))
    assert chosen.fabric == ("bf16-mixed" if cpu_multiplies_bfloat16() else "32-true")
    assert "CPU" in chosen.reason
    assert choose_precision("32", torch.device("cpu")) == ("32-true", "given by --precision")
    with pytest.raises(LikewiseError, match="CUDA"):
        choose_precision("16", torch.device("cpu"))
