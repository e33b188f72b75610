"""Scores of a run that learned from texts: retrieval in both directions, and zero-shot classification."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.columns.tokens import Tokenizer
from likewise.data.manifest import Manifest
from likewise.data.splits import Split
from likewise.encoders.shared_space import SharedSpace, build_space, load_space
from likewise.evaluation.features import extract
from likewise.evaluation.metrics.retrieval import (
    TEMPLATES,
    Retrieved,
    measure_retrieval,
    measure_zero_shot,
    ranks,
)
from likewise.evaluation.run_scores import Scored
from likewise.evaluation.statistics.scores import Measurement
from likewise.randomness import seed_networks
from likewise.run_folder import RunFolder
from likewise.views.centre_view import CentreView


class CaptionedImages(NamedTuple):
    """The test images that have captions."""

    positions: Tensor
    """int64 [N], their positions in the test images"""
    texts: list[str]
    """M captions"""
    owner: Tensor
    """int64 [M], the image of each caption, as an index into ``positions``"""


def text_scores(
    run: RunFolder, scored: Scored, test: Split | None, seed: int
) -> tuple[dict[str, list[Measurement]], Retrieved | None]:
    """Scores by encoder, and the test images that the trained encoder retrieves by captions.

    The baselines use an untrained shared space.

    Args:
        run: its folder holds the shared space; without one there are no scores.
        scored: the encoders, and the trained one's features of the test images.
        test: the test images.
        seed: of the untrained space.
    """
    loaded = load_space(run.path)
    if loaded is None or test is None:
        return {}, None
    trained, tokenizer = loaded
    seed_networks(seed, "untrained space")
    untrained = build_space(trained.settings).eval()
    captioned = captioned_images(test.manifest)
    scores, retrieved = {}, None
    for who, network in scored.encoders.items():
        is_trained = who == "trained"
        space = (trained if is_trained else untrained).to(scored.device)
        features = scored.evaluation.vectors if is_trained else _features(network, test, scored)
        images = in_space(space, features)
        scores[who] = _zero_shot(images, space, tokenizer, test)
        if captioned is None:
            continue
        texts = space.vectors(tokenizer, captioned.texts)
        of_texts = images[captioned.positions]
        found = ranks(of_texts, texts, captioned.owner)
        scores[who] = measure_retrieval(found) + scores[who]
        if is_trained:
            retrieved = Retrieved(
                captioned.positions, of_texts, texts, found.owner, found.of_queries, captioned.texts
            )
    return scores, retrieved


def _features(network: nn.Module, test: Split, scored: Scored) -> Tensor:
    """Features [N, D] of the test images."""
    everything, view = torch.arange(len(test.manifest)), CentreView(scored.image_size)
    return extract(network, test.images, everything, view, device=scored.device)


@torch.no_grad()
def in_space(space: SharedSpace, features: Tensor) -> Tensor:
    """Features [N, D] of images to unit vectors [N, dim] of the shared space, on the CPU."""
    where = space.image_head.weight.device
    vectors = space.of_images(features.to(where))
    return nn.functional.normalize(vectors.float().cpu(), dim=1)


def captioned_images(test: Manifest) -> CaptionedImages | None:
    """The captions of test images; None where fewer than two images have one."""
    column = test.columns.get(CAPTIONS)
    if not isinstance(column, Captions) or column.present().sum() < 2:
        return None
    positions = np.flatnonzero(column.present())
    by_image = [column.texts[int(position)] for position in positions]
    texts = list(itertools.chain.from_iterable(by_image))
    counts = torch.tensor([len(texts_of_image) for texts_of_image in by_image])
    owner = torch.repeat_interleave(torch.arange(len(by_image)), counts)
    return CaptionedImages(torch.from_numpy(positions), texts, owner)


def _zero_shot(
    images: Tensor, space: SharedSpace, tokenizer: Tokenizer, test: Split
) -> list[Measurement]:
    names = test.manifest.class_names
    known = test.known()
    if len(names) < 2 or not len(known):
        return []
    prompts = [template.format(name) for name, template in itertools.product(names, TEMPLATES)]
    vectors = space.vectors(tokenizer, prompts)  # [C * templates, D]
    classes = vectors.unflatten(0, (len(names), len(TEMPLATES))).mean(dim=1)  # [C, D]
    classes = nn.functional.normalize(classes, dim=1)
    return measure_zero_shot(images[known], classes, test.labels[known])
