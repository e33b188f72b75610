"""Views and recipes that the claims share, chosen on validation images for the demo."""

from __future__ import annotations

from dataclasses import replace

from likewise.methods import Recipe
from likewise.views.policies import gray_small

VIEWS = gray_small()
"""views of gray images of 28 pixels"""
RECIPE = Recipe("sgd", 0.3, warm_up=0.1)
"""recipe of contrastive losses, for conv4 and a few hundred steps"""

LABEL_VIEWS = replace(VIEWS, crop_area=(0.5, 1.0))
"""views of cross-entropy, which smaller crops harm"""
LABEL_RECIPE = Recipe("sgd", 0.4, weight_decay=5e-4)
"""recipe of cross-entropy, as in the demo's labels-only arm"""
