"""`likewise.evaluate`: any network and any matrix, by the same protocols, and what is refused."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import likewise
from likewise.data.sources.named_sets import fashion_mnist_mini
from likewise.errors import LikewiseError
from likewise.vectors import Vectors

FAST = {"measures": ("knn", "linear", "label_free")}


def clusters(count: int = 120, classes: int = 3, seed: int = 0):
    """Features [N, 8] about one centre for each class, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = np.eye(8)[:classes] * 2
    return (centres[labels] + random.normal(size=(count, 8))).astype(np.float32), labels


def grey_images(count: int = 120):
    """uint8 [N, 8, 8] whose brightness tells the class faintly, and the labels."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 3
    noise = random.integers(0, 160, (count, 8, 8))
    return (noise + 40 * labels[:, None, None]).astype(np.uint8), labels


def numbers(evaluation):
    return [
        (s.name, s.value, s.low, s.high, s.count)
        for s in next(iter(evaluation.by_encoder.values()))
    ]


def test_a_matrix_gets_every_measure_with_its_interval():
    vectors, labels = clusters(200)
    found = likewise.evaluate(vectors, labels=labels, test=0.3)
    assert list(found.scores) == [
        "knn20_top1",
        "linear_top1",
        "few2_top1",
        "few4_top1",
        "few10_top1",
    ]
    assert all(0.5 < value <= 1 for value in found.scores.values())
    assert all(s.low < s.value < s.high or s.value == 1 for s in found.by_encoder["encoder"])
    assert found.by_encoder["encoder"][0].count == 60
    assert found.label_free["encoder"]["effective_rank"] > 3
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert {score["name"]: score["value"] for score in written["encoder"]} == found.scores
    for name in ("knn20_top1", "effective_rank"):
        assert name in str(found)


def test_a_mask_a_pair_and_a_share_say_the_same_of_the_same_rows():
    vectors, labels = clusters()
    test = np.arange(120) % 4 == 0
    by_mask = likewise.evaluate(vectors, labels=labels, test=test, **FAST)
    by_list = likewise.evaluate(
        torch.from_numpy(vectors), labels=labels.tolist(), test=test.tolist(), **FAST
    )
    pair = (vectors[~test], vectors[test]), (labels[~test], labels[test])
    by_pair = likewise.evaluate(pair[0], labels=pair[1], **FAST)
    assert numbers(by_mask) == numbers(by_list) == numbers(by_pair)
    share = likewise.evaluate(vectors, labels=labels, test=0.25, seed=3, **FAST)
    assert numbers(share) == numbers(
        likewise.evaluate(vectors, labels=labels, test=0.25, seed=3, **FAST)
    )
    assert not torch.equal(
        share.vectors, likewise.evaluate(vectors, labels=labels, test=0.25, seed=4, **FAST).vectors
    )


def test_names_are_labels_too_and_missing_ones_are_left_out():
    vectors, labels = clusters()
    names = [None if row % 10 == 9 else "abc"[label] for row, label in enumerate(labels)]
    test = np.arange(120) >= 60
    found = likewise.evaluate(Vectors([], names, torch.from_numpy(vectors)), test=test, **FAST)
    assert found.by_encoder["encoder"][0].count == 54
    assert found.by_encoder["encoder"][0].protocol["bank"] == 54


class Brightness(nn.Module):
    """The mean brightness of each quarter, as a map [B, C, 2, 2]."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        assert not self.training and 0 <= pixels.min() <= pixels.max() <= 1
        return nn.functional.adaptive_avg_pool2d(pixels, 2)


def test_a_network_a_function_and_their_features_are_scored_alike():
    images, labels = grey_images()
    test = np.arange(120) >= 90
    asked = {"data": images, "labels": labels, "test": test, **FAST}
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 5)).train()
    by_network = likewise.evaluate(network, **asked)
    assert network.training, "the mode is given back"
    with torch.no_grad():
        features = network(torch.from_numpy(images)[:, None].float() / 255)
    by_function = likewise.evaluate(lambda pixels: network(pixels).detach().numpy(), **asked)
    by_matrix = likewise.evaluate(features, labels=labels, test=test, **FAST)
    with_data = likewise.evaluate(features, **asked)
    assert numbers(by_network) == numbers(by_function) == numbers(by_matrix) == numbers(with_data)


def test_a_map_is_averaged_over_its_locations():
    images, labels = grey_images()
    found = likewise.evaluate(Brightness(), images, labels, 0.25, **FAST)
    assert found.vectors.shape == (30, 1)
    assert found.scores["linear_top1"] > 0.8


def test_a_network_may_ask_for_another_size_and_for_colour():
    images, labels = grey_images()
    shapes = set()

    def network(pixels):
        shapes.add(tuple(pixels.shape[1:]))
        return pixels.mean(dim=(2, 3))

    likewise.evaluate(network, images, labels, 0.25, image_size=12, channels=3, measures=["knn"])
    assert shapes == {(3, 12, 12)}


def test_a_baseline_has_paired_differences():
    vectors, labels = clusters()
    noise = np.random.default_rng(1).normal(size=(120, 4))
    found = likewise.evaluate(vectors, labels=labels, test=0.5, baseline=noise, **FAST)
    pairs = [(each.name, each.over) for each in found.differences]
    assert pairs == [("knn20_top1", "baseline"), ("linear_top1", "baseline")]
    for gain, score in zip(found.differences, found.by_encoder["baseline"], strict=True):
        assert gain.value == pytest.approx(found.scores[gain.name] - score.value)
        assert 0 < gain.low < gain.value < gain.high
    several = likewise.evaluate(
        vectors, labels=labels, test=0.5, baseline={"noise": noise, "itself": vectors}, **FAST
    )
    assert list(several.by_encoder) == ["encoder", "noise", "itself"]
    assert [gain.value for gain in several.differences if gain.over == "itself"] == [0, 0]


def test_a_fifth_is_held_out_where_nobody_says_what_is():
    vectors, labels = clusters()
    found = likewise.evaluate(vectors, labels=labels, **FAST)
    assert found.scores == likewise.evaluate(vectors, labels=labels, test=0.2, **FAST).scores
    assert {score.count for score in found.by_encoder["encoder"]} == {24}


def test_without_labels_the_label_free_measures_are_given():
    vectors, labels = clusters()
    found = likewise.evaluate(vectors)
    assert found.scores == {} and found.label_free["encoder"]["effective_rank"] > 3
    assert len(found.notes) == 1
    only = likewise.evaluate(vectors, labels=labels, measures=["label_free"])
    assert only.scores == {} and only.label_free == found.label_free


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    few = fashion_mnist_mini().take(np.arange(0, 12_000, 20))
    out = tmp_path_factory.mktemp("run") / "run"
    return likewise.train(
        few.hold_out(0.2, 0, "val"), method="simclr", steps=2, batch_size=16, out=out, device="cpu"
    )


def test_a_run_and_its_folder_get_the_scores_that_the_run_has(run):
    few = fashion_mnist_mini().take(np.arange(0, 12_000, 20)).hold_out(0.2, 0, "val")
    found = likewise.evaluate(run, few)
    assert found.scores == run.scores
    assert (
        likewise.evaluate(str(run.folder.path), few, measures=["knn"]).scores["knn20_top1"]
        == run.scores["knn20_top1"]
    )
    with pytest.raises(LikewiseError, match="image_size=64"):
        likewise.evaluate(run, few, image_size=64)


def test_the_encoder_of_a_run_is_given_images_of_the_size_that_it_reads(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)
    run = likewise.train(
        images, method="simclr", encoder="conv4", image_size=24, steps=1, batch_size=4, num_evals=0,
        out=tmp_path / "run",
    )  # fmt: skip
    expected = likewise.evaluate(run, images, measures=["label_free"]).vectors
    found = likewise.evaluate(run.encoder, images, measures=["label_free"]).vectors
    torch.testing.assert_close(found, expected)


def test_a_run_with_an_encoder_of_its_own_is_scored_too(tmp_path):
    few = fashion_mnist_mini().take(np.arange(0, 12_000, 40)).hold_out(0.2, 0, "val")
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 8))
    settings = {"method": "simclr", "steps": 2, "batch_size": 16, "device": "cpu"}
    run = likewise.train(few, encoder=encoder, out=tmp_path / "run", **settings)
    assert likewise.evaluate(run, few).scores == run.scores


def refused(match, *given, **more):
    with pytest.raises(LikewiseError, match=match):
        likewise.evaluate(*given, **more)


def test_what_cannot_be_scored_is_refused_with_what_to_give():
    vectors, labels = clusters()
    images, _ = grey_images()
    broken = vectors.copy()
    broken[[3, 7]] = np.nan
    refused("rows 3, 7", broken, labels=labels, test=0.2)
    refused("120 rows.*119 labels", vectors, labels=labels[1:], test=0.2)
    refused(r"test=1\.5", vectors, labels=labels, test=1.5)
    refused("119 entries", vectors, labels=labels, test=np.ones(119, bool))
    refused("test=0.2", vectors, labels=labels, test=np.ones(120, bool))
    rows, is_test = np.arange(20), torch.zeros(120, dtype=torch.int64)
    refused("int64.*numpy.isin", vectors, labels=labels, test=rows)
    refused("int64.*test == 1", vectors, labels=labels, test=is_test)
    refused("int64.*numpy.isin", nn.Flatten(), images, labels, rows)
    refused("label_free", vectors, labels=np.zeros(120, int), test=0.2)
    refused(r"\[120, 8, 1\]", vectors[:, :, None], labels=labels, test=0.2)
    refused(r"\(train_labels, test_labels\)", (vectors, vectors), labels=labels.tolist())
    refused("120 training and 120 test", (vectors, vectors), labels=(labels, labels[1:]))
    refused("8 columns.*5", (vectors, vectors[:, :5]), labels=(labels, labels))
    refused("no images", nn.Flatten(), labels=labels, test=0.2)
    refused("119 rows.*120", vectors[1:], images, labels, 0.2)
    refused("'knn'", vectors, labels=labels, test=0.2, measures=["knm"])
    refused("'differences'", vectors, labels=labels, test=0.2, baseline={"differences": vectors})
    refused("of type int", 3, images, labels, 0.2)
    refused("image_size=224", nn.Linear(5, 5), images, labels, 0.2)
    refused(
        r"shape \[64, 8\]|shape \[\d+, 1, 8\]", lambda pixels: pixels.mean(3), images, labels, 0.2
    )
    refused("NaN", lambda pixels: pixels.mean((2, 3)) / 0, images, labels, 0.2)
