"""MoDist: MoCo on clips and MoCo on their motion, with cross terms between the two."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from likewise.data.batch import Batch
from likewise.data.video.clip_columns import FLOW
from likewise.data.video.clip_sampling import ClipSampling
from likewise.encoders import Encoder
from likewise.encoders.motion import motion_network
from likewise.errors import LikewiseError
from likewise.heads import mlp
from likewise.losses import queue_nce
from likewise.losses.float32 import unit
from likewise.memory import Queue, ema_update, make_ema_copy, momentum_to_one
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std
from likewise.methods.recipe import Recipe
from likewise.views.motion.motion_views import MotionKind, MotionViews
from likewise.views.policies import moco_v2, weak
from likewise.views.view_policy import ViewPolicy

AUTHORS = "https://github.com/amazon-science/self-supervised-maclr (commit 8a92ef0)"
MSCL = "https://github.com/megvii-research/MSCL (commit 0b080e5)"

PRESETS = {
    "small": Preset(
        "clips of 32 to 64 px, some thousands",
        "ours: nobody has such a run; a queue that a few thousand clips fill several times over",
        Recipe("sgd", learning_rate=0.1, weight_decay=1e-4),
        batch_size=64,
        epochs=100,
    ),
    "middle": Preset(
        "Kinetics-400, 112 px, 3-D ResNet-18 (--image-size 112 --encoder torchvision/r3d_18), 8 frames, 8 apart",
        f"configs/recognition/moco/mscl_r18_cosm_lr2e-2.py lines 7-55 and 91-123 of {MSCL}: its "
        "terms between whole clips, without its local ones; five epochs of warm-up; the network for flow, which "
        "theirs has 2-D and of 128 features, is a 2-D ResNet-18",
        Recipe("sgd", learning_rate=0.04, weight_decay=1e-4, warm_up=5 / 400),
        batch_size=128,
        epochs=400,
        settings={"temperature": 0.07, "queue": 65536, "motion_encoder": "timm/resnet18"},
    ),
    "imagenet": Preset(
        "Kinetics-400, 224 px, 3-D ResNet-50 of the authors', which is not here; 8 frames, 8 apart",
        f"slowfast/config/defaults.py lines 61, 400-415 and 806-854 of {AUTHORS}, "
        "whose batch of 64 may not be that of the paper's runs; its motion network is not stated: a 2-D ResNet-18",
        Recipe("sgd", learning_rate=0.4, nesterov=True, weight_decay=1e-4, warm_up=0.0),
        batch_size=64,
        epochs=300,
        settings={
            "momentum": 0.999,
            "queue": 65536,
            "hidden": 2048,
            "motion_encoder": "timm/resnet18",
        },
        image_size=224,
    ),
}


@dataclass(frozen=True)
class MoDist(Method):
    """Xiao et al. 2021, Sec. 3, https://arxiv.org/abs/2106.09703, later called MaCLR.

    The authors published no training code; what the paper leaves open is reconstructed, in part after MSCL. The visual
    query and the motion key show the first window of a clip, the visual key and the motion query the second.
    """

    card = Card(
        title="MoDist",
        paper="Xiao et al. 2021, https://arxiv.org/abs/2106.09703",
        needs="no labels",
        also_needs="videos",
        idea="MoCo on clips and MoCo on their motion; each query also contrasts with the other's key.",
        choose_when="videos differ in what moves, not in where that happens",
        recipe=Recipe(learning_rate=0.1, weight_decay=1e-4),
        presets=PRESETS,
    )
    clip_sampling = ClipSampling(8, 8.0)

    motion: MotionKind = "flow-edges"
    """input of the motion network (paper: edges of the flow; it compares them with the other two)"""
    motion_encoder: str = "conv4-half"
    """the motion network: one for stills sees each picture by itself, one for clips all (MSCL: a ResNet for stills)"""
    visual_weight: float = 1.0
    """of the visual query and the visual key (MSCL: 1)"""
    motion_weight: float = 1.0
    """of the motion query and the motion key (MSCL: 1; the authors' code can do without)"""
    cross_weight: float = 1.0
    """of each query and the other kind's key (authors: 1); 0 here and in motion_weight is MoCo of clips alone"""
    temperature: float = 0.1
    """divides the cosines (authors: 0.1; MSCL: 0.07)"""
    momentum: float = 0.994
    """of the teacher at the start; rises to 1 by a cosine (MSCL: 0.994; authors: 0.999 all along)"""
    queue: int = 512
    """past keys of each kind that are negatives (authors: 65,536 of Kinetics' 240,000 videos)"""
    hidden: int = 512
    """width of the heads' hidden layer (authors: 2,048, their encoder's own)"""
    dim: int = 128
    """width of the space that the loss compares in (authors: 128)"""
    views: ViewPolicy = field(default_factory=moco_v2)
    """of frames: crop, flip, colour jitter, grey, blur, the same in all frames of a window"""
    motion_views: ViewPolicy = field(default_factory=weak)
    """of motion: crop and flip"""

    def __post_init__(self) -> None:
        weights = self.visual_weight, self.motion_weight, self.cross_weight
        if min(weights) < 0 or self.visual_weight + self.cross_weight == 0:
            raise LikewiseError(
                f"MoDist's weights are {weights}: allowed is 0 or more, visual or cross above 0."
            )

    @property
    def moving(self) -> MotionViews | None:
        """What the motion network sees, where there is one."""
        if self.motion_weight + self.cross_weight == 0:
            return None
        return MotionViews(self.motion, self.motion_views)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Optical flow, unless there is no motion network or it needs none."""
        return (FLOW,) if self.moving is not None and self.moving.reads_flow else ()

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """A network with its head and a queue for frames and for motion, and the EMA teacher of networks and heads."""
        head = partial(mlp, hidden=self.hidden, out=self.dim, batch_norm=False)
        student: dict[str, nn.Module] = {"encoder": encoder, "head": head(encoder.width)}
        queues = {"queue": Queue(self.queue, self.dim)}
        if self.moving is not None:
            network = motion_network(self.motion_encoder, self.moving, encoder.channels)
            student["motion"] = nn.Sequential(network, head(network.width))
            queues["motion_queue"] = Queue(self.queue, self.dim)
        return Nets(**student, **queues, teacher=make_ema_copy(nn.ModuleDict(student)))

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """The student embeds the queries, the teacher the keys."""
        first = self.views(batch.pixels, progress.rng("first view", batch))
        second = self.views(batch.pixels, progress.rng("second view", batch))
        outputs = {"query": unit(nets.head(nets.encoder(first.pixels)))}  # [B, dim]
        with torch.no_grad():
            outputs["key"] = unit(nets.teacher.head(nets.teacher.encoder(second.pixels)))
        if self.moving is None:
            return outputs
        # The motion query shows the second window and the motion key the first, so that cross terms span time.
        motion_query = self.moving(batch, progress.rng("motion query", batch), second)
        outputs["motion_query"] = unit(nets.motion(motion_query))
        with torch.no_grad():
            motion_key = self.moving(batch, progress.rng("motion key", batch), first)
            outputs["motion_key"] = unit(nets.teacher.motion(motion_key))
        return outputs

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """MoCo's loss of each query with the key of its own kind and with that of the other kind."""
        query, key = outputs["query"], outputs["key"]  # [B, dim]
        visual = queue_nce(query, key, nets.queue.rows, self.temperature)
        metrics = {"visual_loss": visual, "feature_std": feature_std(query)}
        memory_updates = {"queue": key}
        if self.moving is None:
            return Step(self.visual_weight * visual, metrics, memory_updates)

        motion_query, motion_key = outputs["motion_query"], outputs["motion_key"]  # [B, dim]
        motion = queue_nce(motion_query, motion_key, nets.motion_queue.rows, self.temperature)
        to_motion = queue_nce(query, motion_key, nets.motion_queue.rows, self.temperature)
        to_visual = queue_nce(motion_query, key, nets.queue.rows, self.temperature)
        cross = to_motion + to_visual
        weighted = [
            self.visual_weight * visual,
            self.motion_weight * motion,
            self.cross_weight * cross,
        ]
        metrics |= {"motion_loss": motion, "cross_loss": cross}
        memory_updates["motion_queue"] = motion_key
        return Step(torch.stack(weighted).sum(), metrics, memory_updates)

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Push the keys, then update the EMA teacher, whose momentum rises to 1."""
        for queue, keys in step.memory_updates.items():
            getattr(nets, queue).push(keys)
        student = nn.ModuleDict({name: getattr(nets, name) for name in nets.teacher})
        ema_update(nets.teacher, student, momentum_to_one(progress.fraction, self.momentum))
