"""The networks of a run before its first step."""

from __future__ import annotations

import torch
from torch import nn

from likewise.adaptation import Adaptation
from likewise.adaptation.adapt import first_head
from likewise.adaptation.learning_parameters import apply_adaptation, learning_rate_scales
from likewise.adaptation.prototypes import set_classifiers
from likewise.data.batch import UNLABELLED
from likewise.encoders import Encoder, build_encoder
from likewise.errors import LikewiseError
from likewise.methods import Method, Nets
from likewise.methods.distillation import DistillationMethod
from likewise.randomness import seed_networks
from likewise.runs.prepared import Prepared
from likewise.runs.settings import TrainSettings
from likewise.runs.teacher import load_teacher


def build_nets(prepared: Prepared) -> Nets:
    """The networks, a function of the seed and of pretrained weights; with the teacher of a distillation method.

    Raises:
        LikewiseError: pretrained weights are missing, the teacher cannot teach on these images, or the encoder cannot
            be adapted in the requested way.
    """
    method, encoder, manifest = prepared.method, prepared.encoder, prepared.manifest
    seed_networks(prepared.settings.seed, "weights")
    initial, has_start = build_encoder(encoder), bool(encoder.pretrained)
    nets = adapted_nets(method, initial, manifest.classes, prepared.settings, has_start)
    if isinstance(method, DistillationMethod) and method.teacher:
        method.adopt(nets, load_teacher(method.teacher, method, encoder, manifest.class_names))
    if prepared.freezes_bn_stats:
        nets.freeze_bn_stats()
    scale_encoder_rates(nets, prepared.encoder_lr_scale)
    return nets.train()


def scale_encoder_rates(nets: Nets, scale: float) -> None:
    """Multiply the learning rates of the encoder's parameters."""
    if scale == 1:
        return
    scales = dict(nets.learning_rate_scales)
    for name, _ in nets.encoder.named_parameters(prefix="encoder"):
        scales[name] = scale * scales.get(name, 1.0)
    nets.learning_rate_scales = scales


def adapted_nets(
    method: Method, encoder: Encoder, classes: int, settings: TrainSettings, pretrained: bool
) -> Nets:
    """A method's networks of which only those parameters of the encoder learn that ``--adapt`` names.

    The encoder is changed before the method sees it, so that teachers are copies of what learns.

    Raises:
        LikewiseError: there is nothing to adapt, or nothing is left to learn.
    """
    if settings.adapt is None:
        return method.build(encoder, classes)
    if not pretrained:
        raise LikewiseError(
            f"--adapt {settings.adapt} was given, but the encoder starts from random weights. Give --pretrained lite0, "
            f"--pretrained timm, a file or --from RUN, or leave --adapt out."
        )
    adaptation = Adaptation.parse(settings.adapt)
    apply_adaptation(encoder, adaptation)
    nets = method.build(encoder, classes)
    if not any(parameter.requires_grad for parameter in nets.parameters()):
        raise LikewiseError(
            f"--adapt {settings.adapt} leaves {method.card.title} nothing to learn. Choose lora, last:1 or full."
        )
    scales = learning_rate_scales(encoder, adaptation.layer_decay)
    nets.learning_rate_scales = {f"encoder.{name}": scale for name, scale in scales.items()}
    return nets


def starts_from_prototypes(prepared: Prepared, nets: Nets) -> bool:
    """Whether the method's classifier starts from the class prototypes of the encoder's features.

    Raises:
        LikewiseError: it was requested, but there are no labels or the method has no linear classifier.
    """
    wanted = prepared.settings.head_init
    if wanted == "random" or (wanted == "auto" and not prepared.starts_from_weights):
        return False
    missing, classifier = "", getattr(nets, "classifier", None)
    # A classifier that a method has frozen is another run's, and stays as it is.
    if not isinstance(classifier, nn.Linear) or not classifier.weight.requires_grad:
        missing = "a method with a linear classifier"
    elif not bool((prepared.visible_labels != UNLABELLED).any()):
        missing = "labelled images"
    if missing and wanted == "prototypes":
        raise LikewiseError(f"--head-init prototypes needs {missing}. Leave it at auto.")
    return not missing


def start_classifier(prepared: Prepared, nets: Nets, device: torch.device) -> None:
    """Let the method's classifier, and its teacher's, start from the class prototypes of the encoder's features."""
    images = prepared.train.images
    labels = prepared.visible_labels
    classes = prepared.manifest.classes
    size, seed = prepared.encoder.image_size, prepared.settings.seed
    set_classifiers(nets, first_head(nets.encoder, images, labels, classes, seed, device, size))
