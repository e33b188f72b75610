"""Which examples train, validate, test, show their label and make up a batch."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import torch
from hypothesis import assume
from hypothesis import strategies as some
from torch import Tensor

from likewise.data.batch import UNLABELLED, Pixels
from likewise.data.images import InMemoryImages
from likewise.data.label_budget import LabelBudget
from likewise.data.loader import Loader, Support
from likewise.data.manifest import Manifest
from likewise.data.samplers import ClassBalanced, long_tailed, shuffled, step_imbalanced
from likewise.data.sources.arrays import open_arrays
from likewise.errors import LikewiseError
from properties.holding import holds

LABELS = some.lists(some.integers(-1, 3), min_size=2, max_size=60).map(torch.tensor)
SEEDS = some.integers(0, 2**31)
BUDGETS = some.one_of(
    some.integers(0, 20).map(lambda n: LabelBudget(per_class=n)),
    some.integers(1, 60).map(lambda n: LabelBudget(total=n)),
    some.floats(0.01, 1).map(lambda share: LabelBudget(fraction=share)),
    some.just(LabelBudget()),
)


def listed(labels: Tensor) -> Manifest:
    return open_arrays(np.zeros((len(labels), 2, 2), np.uint8), labels)


def images(count: int) -> InMemoryImages:
    values = (
        torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    )
    return InMemoryImages(Pixels(values, torch.ones(count)))


@holds(LABELS, SEEDS, some.floats(0.05, 0.95), few=25)
def test_a_held_out_part_is_a_share_of_every_class_and_leaves_some(labels, seed, fraction):
    before = listed(labels)
    after = before.hold_out(fraction, seed)
    assert set(after.splits.tolist()) <= {"train", "test"} and after.ids == before.ids
    held_out = after.splits == "test"
    for label, count in Counter(before.labels.tolist()).items():
        moved = int(held_out[before.labels.numpy() == label].sum())
        if label == UNLABELLED and before.labelled():
            assert moved == 0
        else:
            assert moved == min(max(round(fraction * count), 1), count - 1)


@holds(LABELS, SEEDS, some.randoms(use_true_random=False), few=25)
def test_what_is_held_out_does_not_depend_on_the_order_of_files(labels, seed, chance):
    whole = listed(labels)
    order = np.array(chance.sample(range(len(labels)), len(labels)))
    moved = whole.take(order).hold_out(0.3, seed)
    assert dict(zip(moved.ids, moved.splits, strict=True)) == dict(
        zip(whole.ids, whole.hold_out(0.3, seed).splits, strict=True)
    )


@holds(LABELS, BUDGETS, SEEDS, few=40)
def test_a_budget_shows_true_labels_in_the_number_that_it_names(labels, budget, seed):
    budget, ids = replace(budget, seed=seed), [f"{i}.png" for i in range(len(labels))]
    counts = Counter(labels[labels >= 0].tolist())
    try:
        seen = budget.apply(labels, ids)
    except LikewiseError:
        too_many = budget.per_class is not None and budget.per_class > min(
            counts.values(), default=0
        )
        assert not counts or too_many or (budget.total or 0) > min(counts.values()) * len(counts)
        return
    shown = seen != UNLABELLED
    assert torch.equal(seen[shown], labels[shown])
    each = Counter(seen[shown].tolist())
    if budget.per_class is not None:
        assert not each if budget.per_class == 0 else set(each.values()) == {budget.per_class}
    elif budget.total is not None:
        assert (
            sum(each.values()) == budget.total
            and max(each.values()) - min(each[c] for c in counts) <= 1
        )
    elif budget.fraction is not None:
        assert each == {
            label: max(1, int(budget.fraction * n + 0.5)) for label, n in counts.items()
        }
    else:
        assert torch.equal(seen, labels)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(budget.apply(labels[order], [ids[i] for i in order]), seen[order])


@holds(BUDGETS, few=25)
def test_a_budget_is_read_as_it_is_written(budget):
    again = LabelBudget.parse(str(budget))
    if budget.fraction is None:
        assert again == budget
    else:
        assert abs((again.fraction or 0) - budget.fraction) < 1e-5


@holds(
    some.integers(2, 90),
    some.integers(2, 16),
    some.integers(1, 4),
    SEEDS,
    some.integers(0, 40),
    few=25,
)
def test_ranks_show_every_image_once_an_epoch_and_begin_anywhere(count, share, ranks, seed, first):
    batch_size = share * ranks
    assume(batch_size <= count)
    loaders = [
        Loader(
            images(count),
            torch.zeros(count, dtype=torch.int64),
            batch_size,
            seed,
            rank=rank,
            world_size=ranks,
        )
        for rank in range(ranks)
    ]
    epoch = count // batch_size
    steps = range(first * epoch, (first + 1) * epoch)
    drawn = [torch.cat([loader.batch(step).indices for loader in loaders]) for step in steps]
    assert all(len(rows) == batch_size for rows in drawn)
    whole = torch.cat(drawn)
    assert len(set(whole.tolist())) == len(whole) == epoch * batch_size > count - batch_size
    assert torch.equal(drawn[-1], shuffled(count, batch_size, seed, steps[-1]))
    resumed = torch.cat(
        [next(loader.batches(steps[-1], steps[-1] + 2)).indices for loader in loaders]
    )
    assert torch.equal(resumed, drawn[-1])


@holds(LABELS, some.integers(1, 4), some.integers(1, 6), SEEDS, some.integers(0, 50), few=25)
def test_support_batches_hold_as_many_images_of_each_class(labels, classes, each, seed, step):
    counts = Counter(labels[labels >= 0].tolist())
    assume(len(counts) >= classes)
    rows = ClassBalanced(labels, classes, each, seed)(step)
    found = Counter(labels[rows].tolist())
    assert len(found) == classes and set(found.values()) == {each} and UNLABELLED not in found
    for label in found:
        times = Counter(row for row in rows.tolist() if labels[row] == label)
        assert max(times.values()) <= -(-each // counts[label])
    assert torch.equal(rows, ClassBalanced(labels, classes, each, seed)(step))


@holds(some.integers(1, 4), some.integers(1, 3), some.integers(2, 64), some.integers(1, 30))
def test_a_support_of_a_share_can_be_cut_by_the_ranks(ranks, classes, batch_size, most):
    drawn = Support(classes, None).images_for_batch(batch_size, ranks, most)
    assert drawn >= 1 and (classes * drawn) % ranks == 0
    one, two = (Support(classes, None).images_for_batch(batch_size, n, most) for n in (1, 2))
    assert one == two


@holds(LABELS, some.floats(1, 50), SEEDS)
def test_imbalance_leaves_out_images_and_no_class(labels, ratio, seed):
    assume((labels >= 0).any())
    for kept in (long_tailed(labels, ratio, seed), step_imbalanced(labels, 0.5, ratio, seed)):
        assert len(set(kept.tolist())) == len(kept) and kept.tolist() == sorted(kept.tolist())
        assert set(labels[kept].tolist()) == set(labels[labels >= 0].tolist())
