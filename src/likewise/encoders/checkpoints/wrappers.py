"""How libraries store an encoder next to heads, queues and averaged copies: which names are the encoder's.

Names were read in the libraries' code; each entry says where.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple


class Wrapper(NamedTuple):
    """A library's names around those of the network."""

    title: str
    prefix: str
    """of the encoder's names"""
    needs: tuple[str, ...]
    """prefixes of which one must be there too; none: the encoder's prefix is enough"""
    taken: str = ""
    """which of two copies of the encoder this is; empty where there is one"""


WRAPPERS = (
    # https://github.com/facebookresearch/moco, moco/builder.py
    Wrapper("MoCo", "encoder_q.", (), "the query encoder"),
    # https://github.com/facebookresearch/moco-v3, moco/builder.py
    Wrapper("MoCo v3", "base_encoder.", (), "the base encoder"),
    # https://github.com/lightly-ai/lightly, benchmarks and examples; dino.py of the benchmarks has its teacher in
    # `backbone`, the other examples have it in `teacher_backbone` and the student in `student_backbone`
    Wrapper("lightly", "backbone.", ("student_backbone.",), "the teacher"),
    Wrapper("lightly", "teacher_backbone.", ("student_backbone.",), "the teacher"),
    Wrapper(
        "lightly", "backbone.", ("teacher_backbone.", "backbone_momentum."), "the online encoder"
    ),
    Wrapper("lightly", "backbone.", ("projection_head.", "prediction_head.")),
    # https://github.com/vturrisi/solo-learn, solo/methods/base.py; before its version 1.0.4 `encoder`
    Wrapper("solo-learn", "backbone.", ("momentum_backbone.",), "the online encoder"),
    Wrapper("solo-learn", "backbone.", ("projector.", "classifier.", "predictor.")),
    Wrapper("solo-learn", "encoder.", ("momentum_encoder.",), "the online encoder"),
    Wrapper("solo-learn", "encoder.", ("projector.", "classifier.", "predictor.")),
    # https://github.com/facebookresearch/dino, utils.py (MultiCropWrapper); dinov2/train/ssl_meta_arch.py
    Wrapper("DINO", "backbone.", ("head.mlp.", "head.last_layer.")),
    Wrapper("DINOv2", "backbone.", ("dino_head.", "ibot_head.")),
    # https://github.com/HobbitLong/SupContrast, networks/resnet_big.py
    Wrapper("SupContrast", "encoder.", ("head.", "fc.")),
    # https://github.com/mlfoundations/open_clip, src/open_clip/model.py and timm_model.py
    Wrapper("open_clip", "visual.trunk.", ()),
    Wrapper("open_clip", "visual.", ()),
    Wrapper("likewise", "network.", ()),
    Wrapper("backbone", "backbone.", ()),
    Wrapper("encoder", "encoder.", ("encoder.conv1.", "encoder.patch_embed.", "encoder.stem.")),
    Wrapper("model", "model.", ()),
)
"""The first that fits is taken."""

LAYERS_OF_WRAPPING = (
    "module.",
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
)
"""What DistributedDataParallel, torch.compile, FSDP and activation checkpointing add, at any depth."""

OTHER_NETWORKS = {
    *(
        "fc",
        "_fc",
        "head",
        "heads",
        "classifier",
        "pred",
        "proj",
        "logit_scale",
        "logit_bias",
        "mask_token",
    ),
    *(
        "dino_head",
        "ibot_head",
        "projector",
        "predictor",
        "projection_head",
        "prediction_head",
        "mean",
        "std",
    ),
    *(
        "queue",
        "queue_ptr",
        "queue_y",
        "momentum_classifier",
        "online_classifier",
        "prototypes",
        "center",
    ),
    *("aux_logits", "AuxLogits", "fc_norm", "attn_pool"),
}
"""First parts of names that belong to no encoder without a classifier: heads, queues, statistics."""


def without_wrapping(name: str) -> str:
    """A tensor's name without what parallel and compiled modules add."""
    for added in LAYERS_OF_WRAPPING:
        name = name.replace("." + added, ".").removeprefix(added)
    return name


def find_wrapper(names: Collection[str]) -> Wrapper | None:
    """The library whose names these are; None for a network alone."""
    for wrapper in WRAPPERS:
        if _any_starts(names, (wrapper.prefix,)) and (
            not wrapper.needs or _any_starts(names, wrapper.needs)
        ):
            return wrapper
    return None


def _any_starts(names: Iterable[str], prefixes: tuple[str, ...]) -> bool:
    return any(name.startswith(prefixes) for name in names)
