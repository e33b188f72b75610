"""The probe against scikit-learn's optimum, and its choice of strength against test labels and few labels."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from likewise.errors import LikewiseError
from likewise.evaluation.metrics.linear_probe import UNSEARCHED_STRENGTH, LinearProbe
from likewise.evaluation.metrics.logistic_regression import PrincipalAxes, Standardiser, fit
from likewise.evaluation.statistics.scores import Features


def clouds(count: int, width: int, classes: int, apart: float = 1.0, seed: int = 0) -> Features:
    """Classes that overlap, in features of unlike scales that lean on one another."""
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(
        width, width, generator=torch.Generator().manual_seed(99)
    ) * torch.logspace(0, -2, width)
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(98)) * apart
    labels = torch.arange(count) % classes
    return Features(
        (torch.randn(count, width, generator=random) + centres[labels]) @ mixing + 3, labels
    )


def penalised_loss(
    rows: torch.Tensor, labels: torch.Tensor, weight, bias, strength: float
) -> float:
    """Sum CE + strength / 2 ||W||^2 in float64, by its definition."""
    logits = rows.double() @ torch.as_tensor(weight).T.double() + torch.as_tensor(bias).double()
    surprise = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    return float(surprise + strength / 2 * torch.as_tensor(weight).double().square().sum())


@pytest.mark.parametrize(("count", "width"), [(300, 20), (30, 64)])
@pytest.mark.parametrize("strength", [100.0, 1.0, 0.01])
def test_reaches_the_optimum_that_scikit_learn_reaches(count, width, strength):
    train = clouds(count, width, 3)
    rows = StandardScaler().fit_transform(train.vectors.double().numpy())
    theirs = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=20000).fit(
        rows, train.labels.numpy()
    )
    best = penalised_loss(
        torch.from_numpy(rows), train.labels, theirs.coef_, theirs.intercept_, strength
    )

    axes = PrincipalAxes.of(train.vectors, Standardiser.of(train.vectors))
    # [C, R + 1]
    weights = fit(axes, train.labels, 3, torch.ones(1, count, dtype=torch.bool), strength)[0]
    weight = weights[:, :-1] @ axes.directions.T.double()
    ours = penalised_loss(torch.from_numpy(rows), train.labels, weight, weights[:, -1], strength)

    assert ours == pytest.approx(best, rel=1e-3)


def test_fits_of_several_subsets_at_once_are_the_fits_of_each_alone():
    train = clouds(200, 10, 3)
    axes = PrincipalAxes.of(train.vectors, Standardiser.of(train.vectors))
    subsets = torch.rand(4, 200, generator=torch.Generator().manual_seed(1)) < 0.6
    together = fit(axes, train.labels, 3, subsets, 1.0, tolerance=1e-10)
    for subset, weights in zip(subsets, together, strict=True):
        alone = fit(axes, train.labels, 3, subset[None], 1.0, tolerance=1e-10)[0]
        # The bias is known up to one number for all classes, which changes no answer.
        assert torch.allclose(weights[:, :-1], alone[:, :-1], atol=2e-3)


def test_the_strength_never_depends_on_test_images():
    train, test = clouds(400, 16, 4), clouds(200, 16, 4, seed=5)
    usual = LinearProbe().evaluate(train, test)
    shuffled = LinearProbe().evaluate(train, Features(test.vectors, (test.labels + 1) % 4))
    assert shuffled.score.protocol == usual.score.protocol
    assert torch.equal(shuffled.predictions, usual.predictions)
    assert shuffled.score.value < usual.score.value


def test_a_strong_penalty_is_chosen_where_features_are_noise_and_a_weak_one_where_they_are_clean():
    noise = Features(
        torch.randn(300, 100, generator=torch.Generator().manual_seed(0)), torch.arange(300) % 3
    )
    clean = clouds(300, 100, 3, apart=3.0)
    noise = Features(noise.vectors + clean.vectors.sign() * 0.15, noise.labels)
    assert (
        LinearProbe().fit(noise).protocol["strength"]
        > LinearProbe().fit(clean).protocol["strength"]
    )


def test_predictions_are_the_labels_own_numbers():
    train, test = clouds(300, 8, 3, apart=4.0), clouds(90, 8, 3, apart=4.0, seed=1)
    numbers = torch.tensor([2, 7, 11])
    outcome = LinearProbe().evaluate(
        Features(train.vectors, numbers[train.labels]), Features(test.vectors, numbers[test.labels])
    )
    assert outcome.score.value > 0.95
    assert set(outcome.predictions.tolist()) == {2, 7, 11}


def test_unlabelled_training_rows_standardise_but_do_not_teach():
    train, test = clouds(300, 8, 3), clouds(90, 8, 3, seed=1)
    some = Features(train.vectors, torch.where(torch.arange(300) < 60, train.labels, -1))
    fitted = LinearProbe().fit(some)
    assert fitted.protocol["labelled"] == 60 and fitted.protocol["standardised_over"] == 300
    only = LinearProbe().fit(
        Features(train.vectors[:60], train.labels[:60]), Standardiser.of(train.vectors)
    )
    assert torch.equal(fitted.predict(test.vectors), only.predict(test.vectors))


def test_two_labels_a_class_are_cross_validated_and_one_is_not():
    train = clouds(8, 6, 4)
    assert LinearProbe().fit(train).protocol["strength_chosen"] == "2-fold cross-validation"
    assert LinearProbe().fit(train).protocol["validation"] == 8
    one = LinearProbe().fit(Features(train.vectors[:4], train.labels[:4]))
    assert (
        one.protocol["strength"] == UNSEARCHED_STRENGTH
        and "no class has a second label" in one.protocol["strength_chosen"]
    )


def test_a_class_with_one_label_among_others_is_kept_for_training():
    train = clouds(60, 6, 3)
    labels = train.labels.clone()
    labels[0] = 3
    fitted = LinearProbe().fit(Features(train.vectors, labels))
    assert fitted.protocol["validation"] == 59
    assert fitted.classes.tolist() == [0, 1, 2, 3]


def test_a_class_missing_from_training_is_always_wrong():
    train, test = clouds(60, 6, 2, apart=5.0), clouds(30, 6, 3, apart=5.0, seed=1)
    outcome = LinearProbe().evaluate(train, test)
    assert (outcome.predictions[test.labels == 2] != 2).all()
    assert outcome.score.count == 30 and outcome.score.value <= 20 / 30


def test_constant_and_all_zero_features_are_survived():
    train = clouds(60, 6, 3, apart=4.0)
    vectors = torch.cat([train.vectors, torch.full((60, 1), 1234.567)], dim=1)
    assert (
        LinearProbe()
        .evaluate(Features(vectors, train.labels), Features(vectors, train.labels))
        .score.value
        > 0.9
    )
    nothing = Features(torch.zeros(60, 100), train.labels)
    assert LinearProbe().evaluate(nothing, nothing).score.value == pytest.approx(1 / 3)


def test_one_test_image_has_a_score_with_a_wide_interval():
    train = clouds(60, 6, 3, apart=5.0)
    score = LinearProbe().evaluate(train, Features(train.vectors[:1], train.labels[:1])).score
    assert (score.value, score.count) == (1.0, 1) and score.low < 0.25


def test_refusals_say_what_to_do():
    train = clouds(30, 4, 3)
    with pytest.raises(LikewiseError, match=r"30.*class 1\b"):
        LinearProbe().fit(Features(train.vectors, torch.ones(30, dtype=torch.int64)))
    with pytest.raises(LikewiseError, match=r"30 training.*--labels"):
        LinearProbe().fit(Features(train.vectors, torch.full((30,), -1)))
    broken = train.vectors.clone()
    broken[3, 1] = float("nan")
    with pytest.raises(LikewiseError, match=r"1 of 30 training.*--precision"):
        LinearProbe().fit(Features(broken, train.labels))
    with pytest.raises(LikewiseError, match=r"1 of 30 test.*--precision"):
        LinearProbe().evaluate(train, Features(broken, train.labels))
    with pytest.raises(LikewiseError, match=r"strengths=\(0\.0"):
        LinearProbe(strengths=(0.0, 1.0))
