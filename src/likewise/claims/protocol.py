"""What the claims' small checks have in common unless one says otherwise; the demo's, chosen on validation images."""

from __future__ import annotations

from dataclasses import replace

from likewise.methods import Recipe
from likewise.views.policies import gray_small

VIEWS = gray_small()
"""of gray images of 28 pixels"""
RECIPE = Recipe("sgd", 0.3, warm_up=0.1)
"""of contrastive losses over a batch, with conv4 and a few hundred steps"""

LABEL_VIEWS = replace(VIEWS, crop_area=(0.5, 1.0))
"""of cross-entropy, which smaller crops harm"""
LABEL_RECIPE = Recipe("sgd", 0.4, weight_decay=5e-4)
"""of cross-entropy, as of the demo's labels-only arm"""
