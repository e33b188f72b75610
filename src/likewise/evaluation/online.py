"""Scores measured during training: cheap, on the same sample every time, and never on the test split."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from likewise.data.columns.column import ColumnTransform
from likewise.data.even_sample import evenly_spaced
from likewise.data.images import Images
from likewise.data.splits import Split
from likewise.evaluation.features import Extracted, extract_readable
from likewise.evaluation.metrics.knn import Knn
from likewise.evaluation.metrics.label_free import effective_rank
from likewise.evaluation.metrics.linear_probe import UNSEARCHED_STRENGTH, LinearProbe
from likewise.evaluation.online_retrieval import OnlineRetrieval
from likewise.evaluation.statistics.scores import Features, Measurement
from likewise.methods import Nets
from likewise.randomness import generator
from likewise.views.centre_view import CentreView

BANK = 2000
"""training images of each evaluation"""
QUERIES = 1000
"""validation images of each evaluation: enough for a standard error of about 1.5%"""
PROBED = 1000
"""training images of each evaluation from which a linear probe learns: it then takes a third of a second"""


class OnlineScores:
    """Nearest neighbours and retrieval on the validation split, and the effective rank of the features.

    With ``linear`` a linear probe of one fixed strength too, on the same features.

    Hidden labels are used for these scores, as is usual for online scores; no method ever sees them. Without
    validation labels only the effective rank is measured. Images that cannot be decoded are left out.

    Args:
        splits: train, and val where there is one.
        image_size: pixels along a side that the encoder sees.
        seed: of the sample of images.
        device: where to compute.
        tokenizer: of captions, where the run learns from captions.
        linear: whether to fit a linear probe as well.
    """

    def __init__(
        self,
        splits: Mapping[str, Split],
        image_size: int,
        seed: int,
        device: torch.device,
        tokenizer: ColumnTransform | None = None,
        linear: bool = False,
    ) -> None:
        self.device = device
        self.view = CentreView(image_size)
        self.knn = Knn()
        self.linear = LinearProbe((UNSEARCHED_STRENGTH,)) if linear else None
        self.correct: dict[str, Tensor] = {}
        """for each score, bool [Q]: which validation images the newest evaluation had right, in the same order"""
        train = splits["train"]
        validation = splits.get("val")
        known = train.known()
        candidates = known if len(known) else torch.arange(len(train.manifest))
        self.bank = _sample(candidates, BANK, seed)
        self.bank_labels = train.labels
        self.bank_images = train.images
        self.queries = self.retrieval = None
        if validation is None:
            return
        some = _sample(torch.arange(len(validation.manifest)), QUERIES, seed)
        self.retrieval = OnlineRetrieval(validation, some, self.view, device, tokenizer)
        if len(known):
            self.queries = _sample(validation.known(), QUERIES, seed)
            self.query_labels = validation.labels
            self.query_images = validation.images

    def __call__(self, nets: Nets) -> Mapping[str, float]:
        """The networks' scores."""
        bank = self._features(nets, self.bank_images, self.bank)
        scores = {"effective_rank": effective_rank(bank.vectors)}
        if self.retrieval is not None:
            scores |= self.retrieval(nets)
        if self.queries is None:
            return scores
        queries = self._features(nets, self.query_images, self.queries)
        train = Features(bank.vectors, self.bank_labels[bank.positions])
        test = Features(queries.vectors, self.query_labels[queries.positions])
        found = [self.knn.evaluate(train, test), *self._linear(train, test)]
        self.correct = {each.score.name: each.predictions.cpu() == test.labels for each in found}
        return {each.score.name: each.score.value for each in found} | scores

    def _linear(self, train: Features, test: Features) -> list[Measurement]:
        """The linear probe; nothing where it is not wanted or has only one class to learn."""
        rows = evenly_spaced(len(train.labels), PROBED)
        some = Features(train.vectors[rows], train.labels[rows])
        if self.linear is None or len(some.labels.unique()) < 2:
            return []
        return [self.linear.evaluate(some, test)]

    def _features(self, nets: Nets, images: Images, index: Tensor) -> Extracted:
        return extract_readable(nets.encoder, images, index, self.view, device=self.device)


def _sample(positions: Tensor, count: int, seed: int) -> Tensor:
    """At most ``count`` of the positions, the same ones every time."""
    order = torch.randperm(len(positions), generator=generator(seed, "online scores"))
    return positions[order[:count]].sort().values
