"""What the network sees: random views made in batches, on the device, with their geometry.

Every policy is also a transform for one image or a uint8 batch: ``likewise.views.simclr(size=224)(image)``.
"""

from likewise.views.centre_view import CentreView
from likewise.views.policies import (
    byol,
    centre,
    comatch_strong,
    fixmatch_strong,
    fixmatch_weak,
    gray_small,
    identity,
    lips,
    mild_crop,
    moco_v2,
    rand_augment,
    simclr,
    simclr_small,
    single_frame,
    supcon,
    swav,
    swav_small_crop,
    weak,
)
from likewise.views.view import View
from likewise.views.view_policy import ViewPolicy

__all__ = [
    "CentreView",
    "View",
    "ViewPolicy",
    "byol",
    "centre",
    "comatch_strong",
    "fixmatch_strong",
    "fixmatch_weak",
    "gray_small",
    "identity",
    "lips",
    "mild_crop",
    "moco_v2",
    "rand_augment",
    "simclr",
    "simclr_small",
    "single_frame",
    "supcon",
    "swav",
    "swav_small_crop",
    "weak",
]
