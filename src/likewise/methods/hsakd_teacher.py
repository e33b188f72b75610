"""HSAKD's teacher: a classifier, and at every depth an auxiliary one of class and rotation at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.heads import auxiliary_heads
from likewise.methods.card import Card, Preset
from likewise.methods.cross_entropy import CrossEntropy, labelled_cross_entropy, share_of_right
from likewise.methods.distillation import DistillationMethod, Teacher
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, one_view
from likewise.methods.recipe import Recipe
from likewise.methods.step import sum_of
from likewise.views.image.rotations import ROTATIONS, class_logits, four_rotations, joint_labels
from likewise.views.policies import fixmatch_weak
from likewise.views.view_policy import ViewPolicy

CODE = "of https://github.com/winycg/HSAKD (commit 28c8dc2); their rate falls in steps, ours by a cosine"

PRESETS = {
    "small": Preset(
        "CIFAR-100, 32 px, each image in four rotations",
        f"train_teacher_cifar.py lines 29-38 and train_student_cifar.py lines 31-42 {CODE}: "
        "rate 0.05 for 64 images, 240 epochs",
        Recipe(
            "sgd",
            learning_rate=0.2,
            nesterov=True,
            weight_decay=5e-4,
            warm_up=0.0,
            exclude_bias_and_norm=False,
        ),
        batch_size=64,
        epochs=240,
    ),
    "middle": Preset(
        "images of 96 to 128 px",
        "ours: CIFAR-100's settings with ImageNet's decay",
        Recipe("sgd", learning_rate=0.1, weight_decay=1e-4),
        batch_size=128,
        epochs=200,
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-34 to ResNet-18",
        f"train_teacher_imagenet.py lines 32-42 and train_student_imagenet.py lines 34-43 {CODE}",
        Recipe(
            "sgd", learning_rate=0.1, weight_decay=1e-4, warm_up=0.0, exclude_bias_and_norm=False
        ),
        batch_size=256,
        epochs=100,
        settings={"views": ViewPolicy()},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class HSAKDTeacher(DistillationMethod):
    """Yang et al. 2021, Sec. 3.2, https://arxiv.org/abs/2107.13715.

    Everything is learned together (the authors' stronger "Teacher*"). With the folder of a run in ``teacher`` its
    encoder and classifier are frozen, and the auxiliary classifiers alone are learned.
    """

    card = Card(
        title="HSAKD's teacher",
        paper="Yang et al. 2021, Sec. 3.2, https://arxiv.org/abs/2107.13715",
        needs="all labels",
        idea="Cross-entropy, and at every depth a classifier of class and rotation at once; it teaches hsakd.",
        choose_when="a teacher for hsakd is to be trained",
        labelled_only=True,
        recipe=Recipe(learning_rate=0.2, weight_decay=5e-4),
        presets=PRESETS,
    )
    requires_teacher = False
    starts_from_teacher = True

    teacher: str = ""
    """folder of a finished run whose encoder and classifier are frozen; empty: everything is learned together"""
    views: ViewPolicy = field(default_factory=fixmatch_weak)
    """shift and flip, before the rotations"""

    def check_teacher(self, teacher: Method) -> None:
        """Refuse a network whose classifier is not a layer on its encoder's features.

        Raises:
            LikewiseError: it trains no classifier, or one on another network than the encoder.
        """
        super().check_teacher(teacher)
        if not isinstance(teacher, CrossEntropy | DistillationMethod):
            raise LikewiseError(
                f"{teacher.card.title}'s classifier is not a layer on its encoder's features, so auxiliary "
                f"classifiers cannot be added to it. Give --method.teacher a run of cross-entropy, kd, hsakd or "
                f"hsakd-teacher."
            )

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder, classifier, and an auxiliary classifier for each of its stages."""
        return build_with_auxiliaries(encoder, classes)

    def adopt(self, nets: Nets, teacher: Teacher) -> None:
        """Copy the teacher's encoder and classifier, and freeze them."""
        for name in ("encoder", "classifier"):
            getattr(nets, name).load_state_dict(getattr(teacher.nets, name).state_dict())
        nets.finish("encoder", "classifier")

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Logits for the four rotations of a view."""
        pixels = one_view(self.views, batch, progress)
        return {**predict_rotations(nets, pixels), "labels": batch.labels}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """The class of the unrotated rows, and class and rotation of all rows at every depth."""
        labels, joint = outputs["labels"], joint_labels(outputs["labels"])
        losses = {"labels": labelled_cross_entropy(outputs["logits"][:, 0], labels)}
        for depth in depths(outputs):
            losses[depth] = labelled_cross_entropy(outputs[depth].flatten(0, 1), joint)
        deepest = class_logits(outputs[depths(outputs)[-1]])
        metrics = {
            "train_top1": share_of_right(outputs["logits"][:, 0], labels),
            "auxiliary_top1": share_of_right(deepest[:, 0], labels),
        }
        return Step(sum_of(losses), {**losses, **metrics})


def build_with_auxiliaries(encoder: Encoder, classes: int) -> Nets:
    """Encoder, classifier, and an auxiliary classifier of classes and rotations for each of its stages."""
    classifier = nn.Linear(encoder.width, classes)
    auxiliaries = auxiliary_heads(encoder, ROTATIONS * classes)
    return Nets(encoder=encoder, classifier=classifier, auxiliaries=auxiliaries)


def predict_rotations(nets: Nets, pixels: Tensor) -> dict[str, Tensor]:
    """Logits for the four rotations of images [B, ...]: ``logits`` [B, 4, C], and of each depth [B, 4, 4C]."""
    encoder: Encoder = nets.encoder
    maps = encoder.stage_maps(four_rotations(pixels))
    logits = {"logits": nets.classifier(encoder.pool(maps[-1]))}
    for depth, (head, stage_map) in enumerate(zip(nets.auxiliaries, maps, strict=True), 1):
        logits[f"depth {depth}"] = head(stage_map)
    return {name: outputs.unflatten(0, (-1, ROTATIONS)) for name, outputs in logits.items()}


def depths(outputs: Outputs) -> list[str]:
    """The names of the auxiliary classifiers' rows, first stage first."""
    return [name for name in outputs if name.startswith("depth ")]
