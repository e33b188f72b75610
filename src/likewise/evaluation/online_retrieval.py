"""Retrieval by captions or sounds, measured while a run trains."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from likewise.data.columns.column import ColumnTransform
from likewise.data.columns.tokens import Tokenizer
from likewise.data.splits import Split
from likewise.encoders.shared_space import SharedSpace
from likewise.evaluation.features import EvalView, eval_mode, extract, extract_readable
from likewise.evaluation.metrics.retrieval import RetrievalDirections, measure_retrieval, ranks
from likewise.evaluation.sound_scores import SOUND_DIRECTIONS
from likewise.evaluation.text_scores import captioned_images, in_space
from likewise.heads.sound_space import SoundSpace
from likewise.methods import Nets

LOGGED = "_r5"
"""recall at 5 is logged: recall at 1 is noisy on few images, and 10 are most of them"""

SOUNDS_AT_A_TIME = 64


class OnlineRetrieval:
    """Recall in both directions on a sample of a split.

    Args:
        split: the examples; no method learns from it.
        positions: int64 [N], the sample; examples without a caption or sound do not count.
        view: the encoder's input.
        device: where to compute.
        tokenizer: of captions, where the run learns from captions.
    """

    def __init__(
        self,
        split: Split,
        positions: Tensor,
        view: EvalView,
        device: torch.device,
        tokenizer: ColumnTransform | None = None,
    ) -> None:
        self.split = split
        self.view = view
        self.device = device
        self.tokenizer = tokenizer
        self._choose_captioned(positions)
        self.with_sound = positions[split.has_sound()[positions]]

    def _choose_captioned(self, positions: Tensor) -> None:
        """Those of the examples that have captions, and their captions."""
        self.captions = captioned_images(self.split.manifest.take(positions))
        self.captioned = positions[self.captions.positions] if self.captions else positions[:0]

    def __call__(self, nets: Nets) -> Mapping[str, float]:
        """The networks' recall; nothing for networks without a shared space."""
        space = getattr(nets, "space", None)
        if isinstance(space, SharedSpace):
            return self._by_texts(nets, space)
        if isinstance(space, SoundSpace):
            return self._by_sounds(nets, space)
        return {}

    def _by_texts(self, nets: Nets, space: SharedSpace) -> Mapping[str, float]:
        if self.captions is None or not isinstance(self.tokenizer, Tokenizer):
            return {}
        found = extract_readable(
            nets.encoder, self.split.images, self.captioned, self.view, device=self.device
        )
        if len(found.positions) < len(self.captioned):
            self._choose_captioned(found.positions)
        if self.captions is None:
            return {}
        with eval_mode(space):
            images = in_space(space, found.vectors)
            texts = space.vectors(self.tokenizer, self.captions.texts)
        return _recall(images, texts, self.captions.owner, RetrievalDirections())

    def _by_sounds(self, nets: Nets, space: SoundSpace) -> Mapping[str, float]:
        if len(self.with_sound) < 2:
            return {}
        frames = self.split.images.frames
        with eval_mode(space):
            features = extract(
                nets.encoder, self.split.images, self.with_sound, self.view, device=self.device
            )
            clips = space.of_clips(features)
            sounds = []
            for part in self.with_sound.split(SOUNDS_AT_A_TIME):
                sounds.append(space.of_sounds(self.split.audio_window(part), frames))
        return _recall(clips, torch.cat(sounds), torch.arange(len(clips)), SOUND_DIRECTIONS)


def _recall(
    images: Tensor, queries: Tensor, owner: Tensor, directions: RetrievalDirections
) -> Mapping[str, float]:
    measurements = measure_retrieval(ranks(images, queries, owner), directions)
    scores = [measurement.score for measurement in measurements]
    return {score.name: score.value for score in scores if score.name.endswith(LOGGED)}
