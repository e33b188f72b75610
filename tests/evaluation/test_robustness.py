"""Answers on corrupted images: what is corrupted, who is asked, and what is made of it."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.evaluation.corruptions import RandomFields, corrupt, robustness
from likewise.evaluation.corruptions.corrupted_scores import corrupted_scores
from likewise.evaluation.corruptions.robustness import EncoderWithProbe, Robustness
from likewise.evaluation.evaluate_features import Examples
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.statistics.scores import Features
from likewise.views.policies import centre

KINDS = ("gaussian_noise", "contrast", "brightness")
SMALL = Robustness(KINDS, (1, 5), images=25)


class Stored:
    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def read(self, index: torch.Tensor) -> Pixels:
        return Pixels(self.images[index], torch.ones(len(index)))


def examples() -> Examples:
    """Thirty images whose brightness tells the class, three of them unlabelled."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(30) % 3
    images = torch.randint(0, 60, (30, 1, 16, 16), dtype=torch.uint8, generator=random)
    images += (labels * 60).to(torch.uint8).view(-1, 1, 1, 1)
    labels[:3] = -1
    return Examples(
        images=Stored(images),
        index=torch.arange(30),
        labels=labels,
        ids=[f"{row}.png" for row in range(30)],
    )


class Brightness(nn.Module):
    """Mean brightness and its square: from those, three classes are told apart."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        mean = pixels.mean(dim=(1, 2, 3))
        return torch.stack([mean, mean**2, pixels.std(dim=(1, 2, 3))], dim=1)


class Dropping(Brightness):
    """Tells nothing in training mode."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return super().forward(pixels) * 0


def probed(encoder: nn.Module, test: Examples):
    rows = encoder.eval()(test.images.read(test.index).images.float() / 255)
    return LinearProbe(strengths=(1.0,)).fit(Features(rows, test.labels))


def test_answers_are_those_given_one_image_at_a_time(monkeypatch):
    test, encoder = examples(), Brightness()
    probe = probed(encoder, test)
    monkeypatch.setattr(robustness, "MAX_ROWS", 4)
    found = SMALL.evaluate({"probe": EncoderWithProbe(encoder, probe)}, test, centre())["probe"]
    assert found.correct.shape == (3, 2, 25)
    drawn = SMALL._chosen(test.labels)
    assert len(drawn.unique()) == 25 and (test.labels[drawn] >= 0).all()
    for place, row in enumerate(drawn.tolist()):
        clean = test.images.read(torch.tensor([row])).images.float() / 255
        fields = RandomFields.of([test.ids[row]], SMALL.seed)
        for k, kind in enumerate(KINDS):
            for s, severity in enumerate((1, 5)):
                logits = probe.logits(encoder(corrupt(clean, kind, severity, fields)))
                sure, answer = logits.softmax(dim=1).max(dim=1)
                assert bool(found.correct[k, s, place]) == bool(answer == test.labels[row])
                assert float(found.confidence[k, s, place]) == pytest.approx(
                    float(sure), abs=0.01
                )  # 1/255 may round the other way
        assert bool(found.clean_correct[place]) == bool(
            probe.predict(encoder(clean)) == test.labels[row]
        )
    assert found.clean > 0.9
    assert found.interval.value == pytest.approx(float(found.accuracy.mean()))
    clean, mild, strong = found.calibrations()
    assert (sum(clean.counts), sum(mild.counts), sum(strong.counts)) == (25, 75, 75)


def test_encoders_stand_side_by_side_and_are_left_in_their_mode():
    test = examples()
    encoders: dict[str, nn.Module] = {"trained": Brightness(), "untrained": Dropping()}
    probes = {who: probed(encoder, test) for who, encoder in encoders.items()}
    encoders["untrained"].train()
    own = nn.Sequential(Brightness(), nn.Linear(3, 3))
    found = corrupted_scores(
        encoders, probes, test, centre(), classifiers={"trained": own}, robustness=SMALL
    )
    assert encoders["untrained"].training
    scores = found.scores()
    assert [score.name for score in scores["trained"]] == [
        "corrupted_linear_top1",
        "corrupted_classifier_top1",
    ]
    assert [score.name for score in scores["untrained"]] == ["corrupted_linear_top1"]
    (gain,) = found.differences()
    ours, theirs = scores["trained"][0], scores["untrained"][0]
    assert (gain.name, gain.over) == ("corrupted_linear_top1", "untrained")
    assert gain.value == pytest.approx(ours.value - theirs.value)
    assert ours.low < ours.value < ours.high and ours.count == 25
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert written["kinds"] == list(KINDS) and written["images"] == 25
    assert len(written["linear"]["trained"]["calibration_error"]) == 3


def test_a_class_that_the_probe_never_saw_is_never_answered():
    test = examples()
    some = replace(test, labels=torch.where(test.labels == 1, -1, test.labels))
    network = EncoderWithProbe(Brightness(), probed(Brightness(), some))
    logits = network(test.images.read(test.index).images.float() / 255)
    assert logits.shape == (30, 3)
    assert (logits[:, 1] == -torch.inf).all()


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(LikewiseError, match=r"'forst'.*'frost'"):
        Robustness(("forst",))
    with pytest.raises(LikewiseError, match=r"severity.*\b0\b"):
        Robustness(severities=(0,))
    with pytest.raises(LikewiseError, match=r"kind.*severity"):
        Robustness(kinds=())
    with pytest.raises(LikewiseError, match="images=0"):
        Robustness(images=0)
    test = examples()
    nothing = replace(test, labels=torch.full((30,), -1))
    with pytest.raises(LikewiseError, match="--labels"):
        SMALL.evaluate({"probe": Brightness()}, nothing, centre())
