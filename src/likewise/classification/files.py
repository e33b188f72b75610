"""A classifier in a folder: the files ``encoder.*`` that every run has, and ``classifier.*``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from likewise.classification.classifier import Classifier
from likewise.classification.reference import Reference
from likewise.encoders import Encoder, EncoderSettings, load_encoder, save_encoder
from likewise.errors import LikewiseError
from likewise.json_files import read_object, require_types, write_json
from likewise.run_folder import RunFolder
from likewise.tensor_files import load_tensors, save_tensors

OWN_ENCODER = "encoder."
"""prefix of the tensors of an encoder that is not the folder's own, such as the EMA copy that FixMatch evaluates"""

CLASSIFIER_TYPES = {"temperature": float, "distance_limit": float, "protocol": dict}
"""of ``classifier.json``"""


def save_classifier(
    classifier: Classifier, settings: EncoderSettings, reference: Reference, folder: str | Path
) -> None:
    """Write a classifier into a folder, with its encoder.

    A run's own encoder stays as it is: where the classifier's is another one, it is stored with the head.

    Args:
        classifier: its head must be an ``nn.Linear``.
        settings: of its encoder.
        reference: what its predictions are judged by.
        folder: of a run or an advice.

    Raises:
        LikewiseError: the head is no linear layer.
    """
    head = classifier.head
    if not isinstance(head, nn.Linear):
        raise LikewiseError(
            f"The head is a {type(head).__name__}; only an nn.Linear can be stored."
        )
    content = {
        "class_names": list(classifier.class_names),
        "temperature": float(classifier.temperature),
    }
    write_classifier(classifier.encoder, settings, head, reference, content, folder)


def write_classifier(
    encoder: Encoder,
    settings: EncoderSettings,
    head: nn.Linear,
    reference: Reference,
    content: Mapping[str, Any],
    folder: str | Path,
    **more: Tensor,
) -> None:
    """Write the files ``classifier.*``, and the encoder's where there are none.

    Args:
        encoder: what the head reads.
        settings: of the encoder.
        head: its last layer.
        reference: what its predictions are judged by.
        content: of ``classifier.json``, besides what belongs to the reference.
        folder: of a run or an advice.
        **more: other tensors, by name.
    """
    files = RunFolder(folder)
    files.path.mkdir(parents=True, exist_ok=True)
    tensors = {
        "head.weight": head.weight,
        "head.bias": head.bias if head.bias is not None else torch.zeros(head.out_features),
        "reference.vectors": reference.vectors.half(),
        "reference.confidence": reference.confidence,
        "reference.correct": reference.correct,
        **more,
    }
    if not files.config.exists():
        save_encoder(encoder, settings, files.path)
    elif not _same_weights(encoder, files.weights):
        tensors |= {OWN_ENCODER + name: tensor for name, tensor in encoder.state_dict().items()}
    save_tensors(files.classifier_weights, tensors)
    judged = {"distance_limit": reference.distance_limit, "protocol": reference.protocol}
    write_json(files.classifier, {**content, **judged})


def load_classifier(folder: str | Path, module: nn.Module | None = None) -> Classifier:
    """The classifier in a run's or an advice's folder, in eval mode.

    Args:
        folder: where `save_classifier` wrote.
        module: of the shape of the encoder, for a user's module that cannot be rebuilt from its name.

    Raises:
        LikewiseError: there is no classifier, its encoder cannot be built, or it predicts several classes or numbers.
    """
    stored = read_classifier(folder, module)
    content = stored.content
    if "task" in content:
        raise LikewiseError(
            f"The run {folder} learned from {content['task']} targets, so it has no classifier of one class an image. "
            f"likewise predict takes the run, and likewise.classification.load_predictor reads what it has instead."
        )
    return Classifier(
        stored.encoder, stored.head, content["temperature"], content["class_names"]
    ).eval()


class StoredClassifier(NamedTuple):
    """What `write_classifier` wrote."""

    encoder: Encoder
    head: nn.Linear
    content: dict[str, Any]
    """of ``classifier.json``"""
    tensors: dict[str, Tensor]


def read_classifier(folder: str | Path, module: nn.Module | None = None) -> StoredClassifier:
    """The files ``classifier.*`` of a folder, with the encoder.

    Raises:
        LikewiseError: there are none, or the encoder cannot be built.
    """
    content = classifier_settings(folder)
    encoder, _ = load_encoder(folder, module)
    tensors = load_tensors(RunFolder(folder).classifier_weights)
    own = {
        name.removeprefix(OWN_ENCODER): each
        for name, each in tensors.items()
        if name.startswith(OWN_ENCODER)
    }
    if own:
        encoder.load_state_dict(own)
    outputs, width = tensors["head.weight"].shape
    head = nn.Linear(width, outputs)
    head.load_state_dict({"weight": tensors["head.weight"], "bias": tensors["head.bias"]})
    return StoredClassifier(encoder, head.requires_grad_(False), content, tensors)


def load_reference(folder: str | Path) -> Reference:
    """What the predictions of the classifier in a folder are judged by.

    Raises:
        LikewiseError: there is no classifier.
    """
    content = classifier_settings(folder)
    tensors = load_tensors(RunFolder(folder).classifier_weights)
    vectors, confidence, correct = (
        tensors[f"reference.{name}"] for name in ("vectors", "confidence", "correct")
    )
    vectors = nn.functional.normalize(vectors.float(), dim=1)
    return Reference(vectors, confidence, correct, content["distance_limit"], content["protocol"])


def classifier_settings(folder: str | Path) -> dict[str, Any]:
    """The content of ``classifier.json``.

    Raises:
        LikewiseError: there is none, or it is damaged.
    """
    files = RunFolder(folder)
    if not (files.classifier.is_file() and files.classifier_weights.is_file()):
        raise LikewiseError(
            f"{folder} has no classifier ({files.classifier.name}). A run leaves one where training saw labels of two "
            f"classes or more, or ten images with several classes or with numbers (--task): likewise train DATA "
            f"--labels labels.csv. For images without labels there are likewise embed and likewise search."
        )
    content = read_object(files.classifier, CLASSIFIER_TYPES)
    require_types(
        files.classifier, content, {"names" if "task" in content else "class_names": list[str]}
    )
    return content


def _same_weights(encoder: Encoder, path: Path) -> bool:
    """Whether a file holds exactly the weights of an encoder."""
    stored: dict[str, Tensor] = load_tensors(path)
    own = encoder.state_dict()
    return own.keys() == stored.keys() and all(
        torch.equal(own[name].cpu(), stored[name]) for name in own
    )
