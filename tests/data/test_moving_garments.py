"""Clips of moving garments: frames, flow, objects and labels tell one story."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from likewise.data.pixel_source import ArrayPixels
from likewise.data.sources.named_sets import fashion_mnist_mini
from likewise.data.sources.open import open_manifest
from likewise.data.synthetic.flow_videos import HEADINGS, MOTIONS, FlowVideos, flow_videos


@pytest.fixture(scope="module")
def garments() -> tuple[np.ndarray, np.ndarray]:
    test = fashion_mnist_mini().split("test")
    assert isinstance(test.pixels, ArrayPixels)
    return test.pixels.array, test.labels.numpy()


@pytest.fixture(scope="module")
def clips(garments: tuple[np.ndarray, np.ndarray]) -> FlowVideos:
    return flow_videos(*garments, count=48, seed=3, side=48, length=6, garments=2)


def followed(images: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """What each pixel of frame t finds in frame t + 1 where its flow says that it went."""
    later = torch.from_numpy(images[:, 1:]).double().flatten(0, 1)[:, None]
    side = later.shape[-1]
    at = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1)
    grid = (2 * (at + flow.reshape(-1, 2, side, side).transpose(0, 2, 3, 1)) + 1) / side - 1
    found = functional.grid_sample(
        later, torch.from_numpy(grid), padding_mode="border", align_corners=False
    )
    return found.numpy().reshape(images[:, 1:].shape)


def test_shapes_and_kinds(clips: FlowVideos) -> None:
    assert clips.frames.shape == (48, 6, 1, 48, 48) and clips.frames.dtype == np.uint8
    assert clips.flow.shape == (48, 5, 2, 48, 48) and clips.flow.dtype == np.float32
    assert clips.objects.shape == (48, 6, 48, 48) and clips.objects.dtype == np.uint8
    assert set(np.unique(clips.objects)) == {0, 1, 2}
    assert np.array_equal(
        np.bincount(clips.motions), [6] * len(MOTIONS)
    ) and clips.garments.shape == (48, 2)


def test_flow_leads_to_the_same_brightness_in_the_next_frame(clips: FlowVideos) -> None:
    """To within the grain, which subpixel reading blurs; a flow of nothing misses by far more."""
    now = clips.frames[:, :-1, 0].astype(float)
    off, still = (
        abs(followed(clips.frames[:, :, 0], flow) - now) for flow in (clips.flow, 0 * clips.flow)
    )
    for motion in range(len(MOTIONS)):
        here = (clips.motions == motion)[:, None, None, None] & (clips.objects[:, :-1] > 0)
        assert np.median(off[here]) < 5 < np.median(still[here]) + 1, MOTIONS[motion]
        assert off[here].mean() < 0.6 * still[here].mean(), MOTIONS[motion]
    ground = clips.objects[:, :-1] == 0
    assert off[ground].mean() < 0.7 * still[ground].mean()


def test_flow_leads_to_the_same_object(clips: FlowVideos) -> None:
    top = clips.objects[:, :-1] == 2  # the one that nothing covers
    assert followed((clips.objects == 2).astype(float), clips.flow)[top].mean() > 0.9


def test_the_label_says_how_garments_move_relative_to_the_background(clips: FlowVideos) -> None:
    for row in range(len(clips.motions)):
        top, ground = clips.objects[row, :-1] == 2, clips.objects[row, :-1] == 0
        flow = clips.flow[row].transpose(1, 0, 2, 3)
        own = flow[:, top] - np.median(flow[:, ground], axis=1, keepdims=True)
        motion = clips.motions[row]
        if motion < 6:
            straight = own.mean(axis=1)
            assert straight @ np.array(HEADINGS[motion]) > 0.98 * np.linalg.norm(straight) > 0
            assert own.std(axis=1).max() < 1e-3
        else:
            assert own.std(axis=1).max() > 0.1


def test_a_camera_that_stands_still_leaves_the_background_in_place(
    garments: tuple[np.ndarray, np.ndarray],
) -> None:
    still = flow_videos(*garments, count=8, seed=3, camera=False)
    ground = np.broadcast_to((still.objects == 0).all(axis=1)[:, None], still.frames[:, :, 0].shape)
    first = np.broadcast_to(still.frames[:, :1, 0], ground.shape)
    assert np.array_equal(still.frames[:, :, 0][ground], first[ground])
    assert abs(still.flow.transpose(0, 1, 3, 4, 2)[still.objects[:, :-1] == 0]).max() == 0


def test_a_seed_says_all(garments: tuple[np.ndarray, np.ndarray]) -> None:
    one, same, other = (flow_videos(*garments, count=9, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one.frames, other.frames)


def test_what_is_drawn_at_a_time_does_not_show(
    garments: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = flow_videos(*garments, count=9, seed=1)
    monkeypatch.setattr("likewise.data.synthetic.flow_videos.CHUNK", 1)
    assert np.array_equal(flow_videos(*garments, count=9, seed=1).frames, whole.frames)


def test_the_named_set_has_motions_for_labels_and_masks_of_the_middle_frames() -> None:
    manifest = open_manifest("synthetic-flow-videos")
    assert (manifest.splits == "train").sum() == 2000 and (manifest.splits == "test").sum() == 500
    assert (
        manifest.class_names == MOTIONS
        and torch.bincount(manifest.labels[:2000]).tolist() == [250] * 8
    )
    train = fashion_mnist_mini().split("train")
    assert isinstance(train.pixels, ArrayPixels) and manifest.masks is not None
    clips = flow_videos(train.pixels.array, train.labels.numpy(), 2000, seed=0)
    assert np.array_equal(manifest.masks.read(7), clips.objects[7, 4])
    assert np.array_equal(manifest.pixels.read(7).pixels, clips.frames[7, 4, 0])
