"""All measures of several encoders at once: pairing, absent labels, and what is written."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.evaluation.evaluate_features import Examples, evaluate_encoders
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.evaluation.metrics.few_label import FewLabel
from likewise.evaluation.metrics.knn import Knn
from likewise.evaluation.statistics.confidence import crossed_difference, paired_difference
from likewise.evaluation.statistics.scores import Features, Score
from likewise.views.policies import centre

QUICK = EvaluationSettings(few_label=FewLabel(per_class=(2, 100), draws=2))


class Stored:
    """Images in memory that count how often each was read."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images, self.reads = images, torch.zeros(len(images))

    def read(self, index: torch.Tensor) -> Pixels:
        self.reads[index] += 1
        return Pixels(self.images[index], torch.ones(len(index)))


def examples() -> tuple[Stored, Examples, Examples]:
    """Images whose left half tells the class faintly; 90 to learn from, 45 to test on."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 200, (135, 1, 4, 4), dtype=torch.uint8, generator=random)
    labels = torch.arange(135) % 3
    images[..., :2] = (images[..., :2] // 2 + 25 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    store = Stored(images)
    ids = [str(number) for number in range(135)]
    train, test = torch.arange(90), torch.arange(90, 135)
    return (
        store,
        Examples(images=store, index=train, labels=labels[train], ids=ids[:90]),
        Examples(images=store, index=test, labels=labels[test], ids=ids[90:]),
    )


def left() -> nn.Module:
    """Sees the half that tells the class."""
    return nn.Sequential(nn.Flatten(), _Columns(torch.arange(16) % 4 < 2))


def right() -> nn.Module:
    """Sees the half that tells nothing."""
    return nn.Sequential(nn.Flatten(), _Columns(torch.arange(16) % 4 >= 2))


class _Columns(nn.Module):
    def __init__(self, kept: torch.Tensor) -> None:
        super().__init__()
        self.kept = kept

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows[:, self.kept]


def unlabelled(part: Examples) -> Examples:
    return replace(part, labels=torch.full_like(part.labels, -1))


def test_every_score_stands_beside_the_baselines_with_its_paired_gain():
    store, train, test = examples()
    found = evaluate_encoders(
        {"trained": left(), "untrained": right()}, train, test, centre(), QUICK
    )
    names = ["knn20_top1", "linear_top1", "few2_top1"]
    assert [score.name for score in found.by_encoder["trained"]] == names
    assert [score.name for score in found.by_encoder["untrained"]] == names
    assert [(gain.name, gain.over) for gain in found.differences] == [
        (name, "untrained") for name in names
    ]
    trained, untrained = found.by_encoder["trained"], found.by_encoder["untrained"]
    for gain, ours, theirs in zip(found.differences, trained, untrained, strict=True):
        assert gain.value == pytest.approx(ours.value - theirs.value)
        assert gain.low < gain.value < gain.high
    assert found.differences[1].low > 0
    assert "100" in found.notes[0]
    assert found.predictions is not None
    assert float((found.predictions == test.labels).float().mean()) == pytest.approx(
        found.by_encoder["trained"][1].value
    )
    assert (store.reads == 2).all(), "features are to be extracted once per encoder"


def test_gains_are_paired_by_image():
    _, train, test = examples()
    found = evaluate_encoders(
        {"trained": left(), "untrained": right()}, train, test, centre(), QUICK
    )
    banks = {who: encoder.eval() for who, encoder in (("trained", left()), ("untrained", right()))}
    correct = []
    for encoder in banks.values():
        rows = encoder(train.images.read(torch.arange(135)).images.float() / 255)
        outcome = Knn().evaluate(
            Features(rows[:90], train.labels), Features(rows[90:], test.labels)
        )
        correct.append(outcome.predictions == test.labels)
    assert tuple(found.differences[0][2:]) == pytest.approx(tuple(paired_difference(*correct)))


@pytest.mark.parametrize("absent", ["test set", "test labels", "training labels", "second class"])
def test_without_labels_the_label_free_measures_are_given_with_a_reason(absent):
    _, train, test = examples()
    if absent == "second class":
        train = replace(train, labels=torch.zeros_like(train.labels))
    found = evaluate_encoders(
        {"trained": left(), "untrained": right()},
        unlabelled(train) if absent == "training labels" else train,
        None if absent == "test set" else unlabelled(test) if absent == "test labels" else test,
        centre(),
        QUICK,
    )
    assert found.by_encoder == {"trained": [], "untrained": []}
    assert found.differences == [] and found.predictions is None
    reasons = {
        "training labels": "no training image is labelled with one class",
        "second class": "of one class",
    }
    assert reasons.get(absent, "no test image is labelled with one class") in found.notes[0]
    assert found.label_free["trained"]["effective_rank"] > 1
    assert len(found.vectors) == (90 if absent == "test set" else 45)


def test_what_is_written_is_plain_json_and_reads_back():
    _, train, test = examples()
    found = evaluate_encoders({"trained": left()}, train, test, centre(), QUICK)
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [Score.from_json(each) for each in written["trained"]] == found.by_encoder["trained"]
    assert set(written) == {
        "trained",
        "differences",
        "label_free",
        "calibration",
        "notes",
        "unread",
    }
    one = replace(test, index=test.index[:1], labels=test.labels[:1], ids=test.ids[:1])
    alone = evaluate_encoders({"trained": left()}, train, one, centre(), QUICK)
    json.dumps(alone.to_json(), allow_nan=False)
    assert alone.by_encoder["trained"][0].count == 1


def test_a_diverged_encoder_is_named():
    class Diverged(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.flatten(1) / 0

    _, train, test = examples()
    with pytest.raises(LikewiseError, match=r"trained.*--precision"):
        evaluate_encoders({"trained": Diverged()}, train, test, centre(), QUICK)
    with pytest.raises(LikewiseError, match=r"trained.*--precision"):
        evaluate_encoders({"trained": Diverged()}, train, unlabelled(test), centre(), QUICK)
    with pytest.raises(LikewiseError, match=r"\{'trained'"):
        evaluate_encoders({}, train, test, centre(), QUICK)


def test_crossed_gains_are_used_for_draws():
    _, train, test = examples()
    found = evaluate_encoders(
        {"trained": left(), "untrained": left()}, train, test, centre(), QUICK
    )
    assert (
        found.differences[2].value == 0 and found.differences[2].low < 0 < found.differences[2].high
    )
    same = torch.ones(2, 45, dtype=torch.bool)
    assert tuple(found.differences[2][2:]) == pytest.approx(tuple(crossed_difference(same, same)))


def test_groups_widen_the_intervals_of_scores_and_gains():
    store, train, test = examples()
    four = torch.arange(45).repeat_interleave(4)  # every test image four times: a group
    copies = Examples(
        images=store,
        index=test.index[four],
        labels=test.labels[four],
        ids=[f"copy {row}" for row in range(180)],
    )
    encoders = {"trained": left(), "untrained": right()}
    plain = evaluate_encoders(encoders, train, copies, centre(4), QUICK)
    grouped = evaluate_encoders(encoders, train, replace(copies, groups=four), centre(4), QUICK)
    for before, after in zip(
        plain.by_encoder["trained"], grouped.by_encoder["trained"], strict=True
    ):
        assert after.value == before.value and after.protocol["groups"] == 45
        assert 1.5 < (after.high - after.low) / (before.high - before.low) < 2.5, (
            "four copies, twice the width"
        )
    assert len(plain.differences) == len(grouped.differences) > 2
    for before, after in zip(plain.differences, grouped.differences, strict=True):
        assert after.high - after.low > 1.5 * (before.high - before.low)
