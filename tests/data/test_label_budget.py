from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.data.label_budget import LabelBudget
from likewise.errors import LikewiseError

LABELS = torch.tensor([0, 1, 2, -1] * 100)
IDS = [f"photo/{i}" for i in range(400)]


def shown(budget: LabelBudget) -> set[int]:
    return set(torch.nonzero(budget.apply(LABELS, IDS) != -1).flatten().tolist())


@pytest.mark.parametrize(("typed", "count"), [
    ("none", 0), ("all", 300), ("10", 30), ("1%", 3), ("10%", 30), ("0.1%", 3), ("100%", 300), ("0", 0), (" ALL ", 300),
    ("total:40", 40), ("total:1", 1), ("total:300", 300),
])  # fmt: skip
def test_what_is_typed_is_what_is_shown(typed, count):
    assert len(shown(LabelBudget.parse(typed))) == count


def test_shown_labels_are_the_true_ones():
    after = LabelBudget(10).apply(LABELS, IDS)
    assert torch.bincount(after[after >= 0]).tolist() == [10, 10, 10]
    assert (after[after >= 0] == LABELS[after >= 0]).all()
    assert LABELS.tolist() == [0, 1, 2, -1] * 100


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 100), st.integers(0, 100), st.floats(0.001, 1), st.integers(0, 5))
def test_budgets_are_nested(few, many, share, seed):
    few, many = sorted((few, many))
    assert shown(LabelBudget(few, seed=seed)) <= shown(LabelBudget(many, seed=seed))
    a, b = shown(LabelBudget(fraction=share, seed=seed)), shown(LabelBudget(many, seed=seed))
    assert a <= b or b <= a


def test_a_number_in_all_is_shared_out_evenly():
    after = LabelBudget.parse("total:40", seed=3).apply(LABELS, IDS)
    assert sorted(torch.bincount(after[after >= 0]).tolist()) == [13, 13, 14]
    assert shown(LabelBudget(total=39)) == shown(LabelBudget(13))
    assert shown(LabelBudget(total=40)) < shown(LabelBudget(total=41)) < shown(LabelBudget(14))
    assert str(LabelBudget.parse("total:40")) == "total:40"
    with pytest.raises(LikewiseError, match=r"400 .*cat.* 100 .*total:300"):
        LabelBudget(total=400).apply(LABELS, IDS, ["cat", "dog", "owl"])


def test_the_draw_depends_on_seed_and_ids_and_not_on_order():
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    moved = LabelBudget(5).apply(LABELS[order], [IDS[i] for i in order])
    assert {int(order[i]) for i in torch.nonzero(moved != -1).flatten()} == shown(LabelBudget(5))
    assert shown(LabelBudget(5, seed=1)) != shown(LabelBudget(5))


def test_the_draw_of_a_class_does_not_depend_on_the_others():
    alone = LabelBudget(5).apply(torch.where(LABELS == 0, 0, -1), IDS)
    assert set(torch.nonzero(alone != -1).flatten().tolist()) == {
        i for i in shown(LabelBudget(5)) if LABELS[i] == 0
    }


def test_more_than_there_are_names_the_class_and_what_to_type():
    with pytest.raises(LikewiseError, match=r"600 .*cat.* 100 "):
        LabelBudget(600).apply(LABELS, IDS, ["cat", "dog", "owl"])
    for budget in (LabelBudget(5), LabelBudget(fraction=0.5)):
        with pytest.raises(LikewiseError, match=r"label budget|--labels"):
            budget.apply(torch.full((4,), -1), list("abcd"))
    assert LabelBudget(0).apply(torch.full((4,), -1), list("abcd")).tolist() == [-1] * 4


@pytest.mark.parametrize(
    "typed", ["ten", "-3", "1 %%", "200%", "0%", "none.txt", "l.csv", "", "total:", "total:0"]
)
def test_what_cannot_be_a_budget_is_refused(typed):
    with pytest.raises(LikewiseError):
        LabelBudget.parse(typed)
    with pytest.raises(LikewiseError, match="1%"):
        LabelBudget.parse("0.01")
    with pytest.raises(LikewiseError, match=r"10%.*per_class.*fraction"):
        LabelBudget(per_class=3, fraction=0.1)


@pytest.mark.parametrize(
    "content", ["4\n5\n10\n", "4,5, 10", "# a split\nphoto/4\nphoto/5\nphoto/10\n"]
)
def test_split_files_of_others(tmp_path, content):
    (tmp_path / "split.txt").write_text(content)
    assert shown(LabelBudget.parse(str(tmp_path / "split.txt"))) == {4, 5, 10}


def test_split_files_by_file_name_or_array(tmp_path):
    (tmp_path / "split.txt").write_text("n1_7.JPEG\nn2_9.JPEG\n")
    budget = LabelBudget(file=str(tmp_path / "split.txt"))
    assert budget.apply(
        torch.tensor([0, 1, 1]), ["a/n1_7.JPEG", "b/n2_8.JPEG", "b/n2_9.JPEG"]
    ).tolist() == [0, -1, 1]
    np.save(tmp_path / "split.npy", np.array([4, 10]))
    assert shown(LabelBudget(file=str(tmp_path / "split.npy"))) == {4, 10}


def test_split_files_that_name_what_is_not_there(tmp_path):
    file = tmp_path / "split.txt"
    file.write_text("4\n400\n401\n402\n403\n")
    with pytest.raises(LikewiseError, match=r"split\.txt.* 4 .*400, 401, 402, \.\.\."):
        LabelBudget(file=str(file)).apply(LABELS, IDS)
    file.write_text("photo/4\nphoto/none\n")
    with pytest.raises(LikewiseError, match="photo/none"):
        LabelBudget(file=str(file)).apply(LABELS, IDS)
    file.write_text("3\n")
    with pytest.raises(LikewiseError, match=r"split\.txt.* 1 .*rows 3"):
        LabelBudget(file=str(file)).apply(LABELS, IDS)
    file.write_text("\n")
    with pytest.raises(LikewiseError, match=r"split\.txt.*none"):
        LabelBudget(file=str(file)).apply(LABELS, IDS)
