"""MoDist: MoCo of clips and MoCo of what moves in them, each also asked for the other's key."""

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
from likewise.views.policies import ViewPolicy, moco_v2, weak

AUTHORS = "https://github.com/amazon-science/self-supervised-maclr"
MSCL = "https://github.com/megvii-research/MSCL"

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
        f"{MSCL}, mscl_r18_cosm_lr2e-2.py: its terms between whole clips, without its local ones; five epochs of "
        "warm-up; the network for flow, which theirs has 2-D and of 128 features, is a 2-D ResNet-18",
        Recipe("sgd", learning_rate=0.04, weight_decay=1e-4, warm_up=5 / 400),
        batch_size=128,
        epochs=400,
        settings={"temperature": 0.07, "queue": 65536, "motion_encoder": "timm/resnet18"},
    ),
    "imagenet": Preset(
        "Kinetics-400, 224 px, 3-D ResNet-50 of the authors', which is not here; 8 frames, 8 apart",
        f"settings in {AUTHORS}, slowfast/config/defaults.py, whose batch of 64 may not be that of the paper's runs; "
        "its motion network is not told: a 2-D ResNet-18",
        Recipe("sgd", learning_rate=0.4, weight_decay=1e-4, warm_up=0.0),
        batch_size=64,
        epochs=300,
        settings={"momentum": 0.999, "queue": 65536, "hidden": 2048, "motion_encoder": "timm/resnet18"},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class MoDist(Method):
    """Xiao et al. 2021, Sec. 3, https://arxiv.org/abs/2106.09703, later called MaCLR.

    Reconstructed where the authors, who published no training code, are silent, in part after MSCL. Of two windows of a
    clip the visual query and the motion key show the first, the others the second: what finds across kinds is in time.
    """

    card = Card(
        title="MoDist",
        paper="Xiao et al. 2021, https://arxiv.org/abs/2106.09703",
        needs="no labels",
        also_needs="videos",
        idea="MoCo of clips and MoCo of what moves in them, each also asked for the other's key.",
        choose_when="videos differ in what moves, not in where that happens",
        recipe=Recipe(learning_rate=0.1, weight_decay=1e-4),
        presets=PRESETS,
    )
    clip_sampling = ClipSampling(8, 8.0)

    motion: MotionKind = "flow-edges"
    """what the motion network sees (paper: edges of the flow; it compares them with the other two)"""
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
    """past keys of each kind that are kept as negatives (authors: 65,536 of Kinetics' 240,000 videos)"""
    hidden: int = 512
    """width of the heads' hidden layer (authors: 2,048, their encoder's own)"""
    dim: int = 128
    """width of the space that the loss compares in (authors: 128)"""
    views: ViewPolicy = field(default_factory=moco_v2)
    """of frames: crop, flip, colour jitter, grey, blur, alike in all frames of a window"""
    motion_views: ViewPolicy = field(default_factory=weak)
    """of motion: crop and flip"""

    def __post_init__(self) -> None:
        weights = self.visual_weight, self.motion_weight, self.cross_weight
        if min(weights) < 0 or self.visual_weight + self.cross_weight == 0:
            raise LikewiseError(f"MoDist's weights are {weights}: allowed is 0 or more, visual or cross above 0.")

    @property
    def moving(self) -> MotionViews | None:
        """What the motion network sees, where there is one."""
        return MotionViews(self.motion, self.motion_views) if self.motion_weight + self.cross_weight > 0 else None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Optical flow, unless there is no motion network or it needs none."""
        return (FLOW,) if self.moving is not None and self.moving.reads_flow else ()

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Of each kind a network with its head, and a queue; and the teacher, which follows networks and heads."""
        head = partial(mlp, hidden=self.hidden, out=self.dim, batch_norm=False)
        parts: dict[str, nn.Module] = {"encoder": encoder, "head": head(encoder.width)}
        queues = {"queue": Queue(self.queue, self.dim)}
        if self.moving is not None:
            network = motion_network(self.motion_encoder, self.moving, encoder.channels)
            parts["motion"] = nn.Sequential(network, head(network.width))
            queues["motion_queue"] = Queue(self.queue, self.dim)
        return Nets(**parts, **queues, teacher=make_ema_copy(nn.ModuleDict(parts)))

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """The student embeds the queries, the teacher the keys."""
        first, second = (self.views(batch.pixels, progress.rng(f"{n} view", batch)) for n in ("first", "second"))
        rows = {"query": unit(nets.head(nets.encoder(first.pixels)))}
        with torch.no_grad():
            rows["key"] = unit(nets.teacher.head(nets.teacher.encoder(second.pixels)))
        if self.moving is not None:
            rows["motion_query"] = unit(nets.motion(self.moving(batch, progress.rng("motion query", batch), second)))
            with torch.no_grad():
                sought = self.moving(batch, progress.rng("motion key", batch), first)
                rows["motion_key"] = unit(nets.teacher.motion(sought))
        return rows

    def compute_loss(self, nets: Nets, rows: Outputs, progress: Progress) -> Step:
        """Each query is to find its key among earlier keys of the key's kind."""
        find = partial(queue_nce, temperature=self.temperature)
        shown, memory_updates = (rows["key"], nets.queue.rows), {"queue": rows["key"].detach()}
        terms = {"visual": find(rows["query"], *shown)}
        if self.moving is not None:
            moved, memory_updates["motion_queue"] = (
                (rows["motion_key"], nets.motion_queue.rows),
                rows["motion_key"].detach(),
            )
            terms["motion"] = find(rows["motion_query"], *moved)
            terms["cross"] = find(rows["query"], *moved) + find(rows["motion_query"], *shown)
        loss = torch.stack([getattr(self, f"{name}_weight") * term for name, term in terms.items()]).sum()
        metrics = {f"{name}_loss": term.detach() for name, term in terms.items()} | {
            "feature_std": feature_std(rows["query"])
        }
        return Step(loss, metrics, memory_updates)

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Enqueue the keys, then let the teacher follow, ever more slowly."""
        for queue, keys in step.memory_updates.items():
            getattr(nets, queue).push(keys)
        student = nn.ModuleDict({name: getattr(nets, name) for name in nets.teacher})
        ema_update(nets.teacher, student, momentum_to_one(progress.fraction, self.momentum))
