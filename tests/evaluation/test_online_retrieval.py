from __future__ import annotations

import numpy as np
import pytest
import torch

from data.captioned import captioned_parquet
from likewise.data.video.clips import clip_manifest
from likewise.runs.networks import build_nets
from likewise.runs.prepare import prepare
from likewise.runs.settings import TrainSettings
from likewise.runs.train_run import online_scores

FRAMES, KEPT, PER_FRAME, SIDE, VALIDATION = 4, 12, 640, 12, 20
WORDS = ("red", "green", "blue", "grey", "white")


def recalls(similarity: torch.Tensor, owner: list[int], k: int = 5) -> tuple[float, float]:
    """Counted one query at a time: [texts, images] -> texts find images, images find texts."""
    found = sum(
        sorted(row, reverse=True).index(row[own]) < k
        for row, own in zip(similarity.tolist(), owner, strict=True)
    )
    back = 0
    for image in range(similarity.shape[1]):
        column = similarity[:, image]
        best = column.argsort(descending=True)[:k].tolist()
        back += any(owner[text] == image for text in best)
    return found / len(owner), back / similarity.shape[1]


@torch.no_grad()
def test_sounds_of_the_middle_window_find_their_clips():
    random = np.random.default_rng(0)
    count = 30 + VALIDATION
    frames = random.integers(0, 256, (count, KEPT, 1, SIDE, SIDE), dtype=np.uint8)
    sound = random.integers(-9000, 9000, (count, KEPT * PER_FRAME), dtype=np.int16)
    sound[35] = 0  # a validation clip that says nothing is not asked about
    splits = np.array(["train"] * 30 + ["val"] * VALIDATION)
    made = clip_manifest("made", frames, 25, splits=splits, sound=sound)
    prepared = prepare(
        made, TrainSettings(labels="none", frames=FRAMES, device="cpu"), "global-local"
    )
    nets = build_nets(prepared)
    logged = online_scores(prepared, torch.device("cpu"))(nets)
    nets.eval()
    rows = [row for row in range(30, count) if row != 35]
    first = (KEPT - FRAMES) // 2
    pixels = torch.from_numpy(frames[rows, first : first + FRAMES]).float() / 255
    heard = (
        torch.from_numpy(sound[rows, first * PER_FRAME : (first + FRAMES) * PER_FRAME]).float()
        / 32767
    )
    similarity = nets.space.of_sounds(heard, FRAMES) @ nets.space.of_clips(nets.encoder(pixels)).T
    expected = recalls(similarity, list(range(len(rows))))
    assert (logged["sound_to_clip_r5"], logged["clip_to_sound_r5"]) == pytest.approx(expected)


@torch.no_grad()
def test_captions_find_validation_images(tmp_path):
    captions = [
        [f"a {WORDS[i % 5]} thing {i}", f"{i} of {WORDS[i % 5]}"][: 1 + i % 2] for i in range(60)
    ]
    data = captioned_parquet(tmp_path / "set.parquet", captions)
    prepared = prepare(
        data, TrainSettings(image_size=12, device="cpu", val_fraction=0.4, labels="none"), "clip"
    )
    nets = build_nets(prepared)
    nets.space.train()
    logged = online_scores(prepared, torch.device("cpu"))(nets)
    assert nets.space.training, "a look changes nothing"
    nets.eval()
    split = prepared.splits["val"]
    texts = split.manifest.columns["captions"].texts
    pixels = split.images.read(torch.arange(len(texts))).images.float() / 255
    images = torch.nn.functional.normalize(nets.space.of_images(nets.encoder(pixels)), dim=1)
    said = [(text, row) for row, own in enumerate(texts) for text in own]
    vectors = nets.space.vectors(prepared.transforms["captions"], [text for text, _ in said])
    expected = recalls(vectors @ images.T, [row for _, row in said])
    assert (logged["text_to_image_r5"], logged["image_to_text_r5"]) == pytest.approx(expected)
