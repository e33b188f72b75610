"""The networks of a run before its first step."""

from __future__ import annotations

from likewise.encoders import build_encoder
from likewise.methods import Nets
from likewise.methods.distillation import DistillationMethod
from likewise.randomness import seed_networks
from likewise.runs.prepare import Prepared
from likewise.runs.teacher import load_teacher


def build_nets(prepared: Prepared) -> Nets:
    """The networks, a function of the seed and of pretrained weights; with the teacher of a distillation method.

    Raises:
        LikewiseError: pretrained weights are missing, or the teacher cannot teach on these images.
    """
    method, encoder, manifest = prepared.method, prepared.encoder, prepared.manifest
    seed_networks(prepared.settings.seed, "weights")
    nets = method.build(build_encoder(encoder), manifest.classes)
    if isinstance(method, DistillationMethod) and method.teacher:
        method.adopt(nets, load_teacher(method.teacher, method, encoder, manifest.class_names))
    return nets
