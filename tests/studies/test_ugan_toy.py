"""The plane's points, arms that differ in nothing but their weights, and inequalities that can fail."""

import pytest
import torch

from likewise.methods.ugan import UGAN
from likewise.randomness import generator
from likewise.studies.plane_games import Plane, PlaneUGAN, error, learn
from likewise.studies.ugan_toy import HALVES, LABELS, OTHER_LABELS, claims, run

BRIEF = Plane(points=80, test=200, steps=4, batch=16)


def rule(**weights):
    return PlaneUGAN(noise=4, classes_per_batch=4, images_per_class=2, **weights)


def test_points_lie_in_the_square_and_classes_are_alike_many():
    points = Plane().draw(400, generator("test"))
    assert points.coordinates.min() >= 0 and points.coordinates.max() <= 1
    assert torch.bincount(points.classes).tolist() == [100] * 4


def test_arms_hardly_overlap_so_that_neighbours_tell_the_class():
    """One nearest neighbour of many labelled points is nearly always right: what is hard is to have few labels."""
    many, asked = Plane().draw(4000, generator("many")), Plane().draw(500, generator("asked"))
    nearest = torch.cdist(asked.coordinates, many.coordinates).argmin(dim=1)
    assert (many.classes[nearest] == asked.classes).float().mean() > 0.95


def test_more_labels_hold_those_of_fewer_and_all_arms_see_the_same():
    _, points, few = learn(BRIEF, rule(), 2, seed=1)
    _, others, more = learn(BRIEF, rule(bad_weight=0.0), 4, seed=1)
    assert torch.equal(points.coordinates, others.coordinates)
    assert (
        torch.bincount(few[few >= 0]).tolist() == [2] * 4
        and torch.bincount(more[more >= 0]).tolist() == [4] * 4
    )
    assert torch.equal(few[few >= 0], more[few >= 0])


def test_it_is_the_methods_own_steps_that_are_trained():
    ours = PlaneUGAN
    assert (
        ours.embed is UGAN.embed
        and ours.compute_loss is UGAN.compute_loss
        and ours.before_step is UGAN.before_step
    )


def test_all_networks_of_an_arm_learn_and_no_others_are_there():
    for without in HALVES.values():
        arm = rule(**without)
        start, end = (
            learn(Plane(points=80, steps=steps, batch=16), arm, 2, seed=0)[0].state_dict()
            for steps in (1, 4)
        )
        networks = {"encoder", "classifier", *arm.adversary_recipes}
        assert {key.partition(".")[0] for key in start} - {"optimizers"} == networks
        still = [
            key
            for key, value in start.items()
            if torch.equal(value, end[key]) and "mean" not in key
        ]
        assert [key for key in still if not key.endswith("std")] == []


def test_a_seed_gives_the_same_figures_again_and_another_seed_others():
    first, again, other = (run(seed, 1, BRIEF).to_json()["errors"] for seed in (0, 0, 1))
    assert first == again != other


def test_errors_are_counted_on_unseen_points():
    nets, _, _ = learn(BRIEF, rule(), 2, seed=0)
    with torch.no_grad():
        nets.classifier.weight.zero_()
        nets.classifier.bias.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0]))
    assert error(BRIEF, rule(), nets, 0) == 0.75


def errors(ours, good, bad, alone, ours_by_labels, bad_by_labels):
    by = {
        "UGAN": {
            LABELS: [ours],
            **{n: [e] for n, e in zip(OTHER_LABELS, ours_by_labels, strict=True)},
        }
    }
    by["bad fakes only"] = {
        LABELS: [bad],
        **{n: [e] for n, e in zip(OTHER_LABELS, bad_by_labels, strict=True)},
    }
    return {**by, "good fakes only": {LABELS: [good]}, "labels only": {LABELS: [alone]}}


@pytest.mark.parametrize(
    ("given", "held"),
    [
        (errors(0.10, 0.12, 0.11, 0.20, (0.12, 0.1, 0.09), (0.2, 0.1, 0.1)), [True, True, True]),
        (errors(0.13, 0.12, 0.14, 0.20, (0.12, 0.1, 0.09), (0.2, 0.1, 0.1)), [False, True, True]),
        (errors(0.10, 0.12, 0.11, 0.14, (0.12, 0.1, 0.09), (0.2, 0.1, 0.1)), [True, False, True]),
        (errors(0.10, 0.12, 0.11, 0.20, (0.30, 0.1, 0.09), (0.2, 0.1, 0.1)), [True, True, False]),
    ],
)
def test_each_inequality_can_fail_by_itself(given, held):
    assert [claim.held for claim in claims(given)] == held


def test_pictures_hold_what_each_arm_makes():
    found = run(0, 1, BRIEF)
    assert found.pictures["UGAN"].good is not None and found.pictures["UGAN"].bad is not None
    assert (
        found.pictures["good fakes only"].bad is None
        and found.pictures["bad fakes only"].good is None
    )
    assert found.pictures["labels only"].regions.shape == (61, 61)
    assert set(found.errors["UGAN"]) == {LABELS, *OTHER_LABELS} and set(
        found.errors["labels only"]
    ) == {LABELS}
