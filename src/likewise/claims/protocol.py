"""What the claims' small checks have in common unless one says otherwise; chosen on validation images."""

from __future__ import annotations

from likewise.methods import Recipe
from likewise.views.policies import gray_small

VIEWS = gray_small()
"""of gray images of 28 pixels"""
RECIPE = Recipe("sgd", 0.3, warm_up=0.1)
"""of contrastive losses over a batch, with conv4 and a few hundred steps, as in the demo"""
