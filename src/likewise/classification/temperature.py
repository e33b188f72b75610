"""Temperature scaling: one number that makes confidence mean the share of correct predictions."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from likewise.classification.head import ABSENT

BOUNDS = 0.05, 20.0
"""the least and the greatest temperature"""

PRIOR = 0.5
"""standard deviation of the logarithm of the temperature around 0, before any held-out label is seen"""


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the least cross-entropy of held-out logits (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    With a handful of labels that optimum is mostly noise, and infinite or zero where all predictions are correct or
    wrong. So the sum of the cross-entropies is added (log T)^2 / (2 * 0.5^2), which 50 labels outweigh: the posterior
    mode under a log-normal prior around 1.

    Args:
        logits: float [N, K] of heads that did not learn from these rows; rows with NaN are passed over.
        labels: int64 [N], -1 where there is none.

    Returns:
        A temperature in [0.05, 20]; 1 where no row is held out.
    """
    from scipy.optimize import minimize_scalar  # SciPy's import waits until it is needed

    usable = (labels >= 0) & ~logits.isnan().any(dim=1)
    logits, labels = logits[usable].double(), labels[usable]
    # No temperature makes a class likely that the head has never seen.
    seen = logits.gather(1, labels[:, None])[:, 0] > ABSENT
    logits, labels = logits[seen], labels[seen]
    if not len(labels):
        return 1.0

    def negative_log_posterior(log_temperature: float) -> float:
        surprise = F.cross_entropy(logits / math.exp(log_temperature), labels, reduction="sum")
        return float(surprise) + log_temperature**2 / (2 * PRIOR**2)

    low, high = BOUNDS
    found: Any = minimize_scalar(
        negative_log_posterior, bounds=(math.log(low), math.log(high)), method="bounded"
    )
    return math.exp(float(found.x))


def confidences(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Logits [N, K] -> float64 [N] probability of the predicted class, int64 [N] that class."""
    best = (logits.double() / temperature).softmax(dim=1).max(dim=1)
    return best.values, best.indices
