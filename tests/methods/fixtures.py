"""Small methods, networks, batches and steps, for all tests that run methods."""

import dataclasses

import torch
from lightning_fabric import Fabric

from likewise.data.batch import Batch, Pixels
from likewise.data.columns.captions import CAPTIONS
from likewise.data.columns.targets import TARGETS
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader
from likewise.data.video.clip_columns import FLOW, SOUND
from likewise.data.video.clips import clip_manifest
from likewise.encoders import build_encoder
from likewise.encoders.encoder_settings import EncoderSettings
from likewise.methods import METHODS, Progress, with_view_size
from likewise.methods.distillation import DistillationMethod, Teacher
from likewise.randomness import generator, seed_networks
from likewise.training.manual_backward import ManualBackward

ALL = sorted(METHODS)
SIZE, CLASSES = 12, 4
CLIP_FRAMES = 8
"""frames of each clip, for methods that learn from clips"""


def method(name):
    """A registered method with small widths, queues and supports."""
    settings = {field.name for field in dataclasses.fields(METHODS[name])}
    smaller = {
        "queue": 16,
        "hidden": 16,
        "dim": 8,
        "classes_per_batch": CLASSES,
        "images_per_class": 2,
    }
    smaller |= {"text_width": 16, "vocabulary": 64}
    present = {key: value for key, value in smaller.items() if key in settings}
    rule = dataclasses.replace(METHODS[name](), **present)
    frames = min(rule.clip_sampling.frames, CLIP_FRAMES // 2) if rule.clip_sampling else None
    return with_view_size(rule, SIZE, frames)


def nets_of(rule, seed=0):
    """A method's networks; a teacher that is a run is untrained."""
    seed_networks(seed)
    encoder = build_encoder(EncoderSettings(encoder_of(rule), SIZE, (0.4,), (0.3,)))
    nets = rule.build(encoder, CLASSES)
    if isinstance(rule, DistillationMethod) and rule.requires_teacher:
        teacher = METHODS[rule.trains_teacher]()
        rule.adopt(nets, Teacher(teacher, nets_of(teacher, seed + 1)))
    return nets


def encoder_of(rule):
    """The small encoder that suits a method."""
    if rule.card.encoder != "auto":
        return rule.card.encoder
    return "r2plus1d-small" if rule.clip_sampling and rule.clip_sampling.frames > 1 else "conv4"


def images(count=32, rule=None):
    if rule is None or rule.clip_sampling is None:
        pixels = torch.randint(
            0, 256, (count, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator(7)
        )
        return InMemoryImages(Pixels(pixels, torch.ones(count)))
    shown = torch.randint(CLIP_FRAMES // 2, CLIP_FRAMES + 1, (count,), generator=generator(6))
    return InMemoryImages(Pixels(clips(count), torch.ones(count), shown))


def clips(count):
    """Noise, uint8."""
    return torch.randint(
        0, 256, (count, CLIP_FRAMES, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator(7)
    )


def loader(rule, labels=None, count=32, batch_size=8):
    labels = torch.arange(count) % CLASSES if labels is None else labels
    return Loader(
        images(count, rule),
        labels,
        batch_size,
        seed=5,
        support=rule.support,
        modalities=modalities(rule, count),
    )


class Random:
    """Random rows of a modality."""

    def __init__(self, count, name):
        self.rows = {
            CAPTIONS: self.captions,
            SOUND: self.sound,
            FLOW: self.flow,
            TARGETS: self.targets,
        }[name](count)

    def sound(self, count):
        """A noise of its own for each clip, 160 samples a frame."""
        return torch.randint(
            -9999, 9999, (count, CLIP_FRAMES * 160), dtype=torch.int16, generator=generator(8)
        )

    def flow(self, count):
        """Up to two pixels either way."""
        shape = (count, CLIP_FRAMES - 1, 2, SIZE, SIZE)
        return torch.randint(-128, 129, shape, dtype=torch.int16, generator=generator(8))

    def targets(self, count):
        """A number each."""
        return torch.randn(count, 1, generator=generator(8))

    def captions(self, count):
        """As many captions of as many tokens each, -1 where none is."""
        rows = torch.randint(0, 50, (count, 3, 6), generator=generator(8))
        lengths = torch.randint(0, 7, (count, 3), generator=generator(9))
        lengths[:, 0] = 6  # each image has one caption or more, and those that it has come first
        lengths = lengths.sort(dim=1, descending=True).values
        rows[torch.arange(6) >= lengths[..., None]] = -1
        return rows

    def __len__(self):
        return len(self.rows)

    def read(self, index):
        return self.rows[index]


def modalities(rule, count=32):
    """What a method learns from besides pixels; of clips, as its own transforms make it."""
    made = {name: Random(count, name) for name in rule.modalities}
    if rule.clip_sampling is None:
        return made
    tracks = {name: rows.rows.numpy() for name, rows in made.items() if name in (SOUND, FLOW)}
    train = clip_manifest("made", clips(count).numpy(), rule.clip_sampling.frame_rate, **tracks)
    return {
        name: transform.of(train.columns[name])
        for name, transform in rule.column_transforms(train.columns).items()
    }


def progress(step=3):
    return Progress(step, steps=10, seed=2)


def take_steps(rule, nets, batches, count):
    for number, batch in enumerate(batches.batches(0, count)):
        take_step(rule, nets, batch, Progress(number, count, seed=2), 0.05)


def take_step(rule, nets, batch, where, rate):
    """The method's own updates, plain gradient descent on its loss, and what gradients do not move."""
    rule.before_step(nets, batch, where, ManualBackward(Fabric(accelerator="cpu", devices=1), nets))
    step = rule.step(nets, batch, where)
    learned = [parameter for parameter in nets.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learned, rate)
    optimizer.zero_grad()
    step.loss.backward()
    optimizer.step()
    rule.after_update(nets, step, where)


def sliced(batch, rows):
    pixels = batch.pixels.map(lambda part: part[rows])
    support = sliced(batch.support, rows) if batch.support is not None else None
    alongside = {name: part[rows] for name, part in batch.modalities.items()}
    return Batch(pixels, batch.labels[rows], batch.indices[rows], support, modalities=alongside)
