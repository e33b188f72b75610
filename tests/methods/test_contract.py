"""What every registered method must keep, whoever wrote it. A new line in METHODS is under all of this at once."""

import dataclasses
import json

import pytest
import torch
from lightning_fabric import Fabric

from likewise.data.batch import Batch, Pixels
from likewise.data.columns.captions import CAPTIONS
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader
from likewise.data.video.clip_columns import FLOW, SOUND
from likewise.data.video.clips import clip_manifest
from likewise.encoders import build_encoder
from likewise.encoders.build import EncoderSettings
from likewise.methods import METHODS, Progress, with_view_size
from likewise.methods.distillation import DistillationMethod, Teacher
from likewise.randomness import generator, seed_networks
from likewise.runs.settings import from_json, to_json
from likewise.training.manual_backward import ManualBackward

ALL = sorted(METHODS)
SIZE, CLASSES = 12, 4
KEPT = 8
"""frames of each clip, for methods that learn from clips"""


def method(name):
    settings = {field.name for field in dataclasses.fields(METHODS[name])}
    smaller = {"queue": 16, "hidden": 16, "dim": 8, "classes_per_batch": CLASSES, "images_per_class": 2}
    smaller |= {"text_width": 16, "vocabulary": 64}
    kept = {key: value for key, value in smaller.items() if key in settings}
    rule = dataclasses.replace(METHODS[name](), **kept)
    return with_view_size(rule, SIZE, min(rule.time.frames, KEPT // 2) if rule.time else None)


def nets_of(rule, seed=0):
    """A method's networks, and beside them those of a teacher that has learned nothing, where it has one."""
    seed_networks(seed)
    encoder = build_encoder(EncoderSettings(encoder_of(rule), SIZE, (0.4,), (0.3,)))
    nets = rule.build(encoder, CLASSES)
    if isinstance(rule, DistillationMethod) and rule.requires_teacher:
        teacher = METHODS[rule.trains_teacher]()
        rule.adopt(nets, Teacher(teacher, nets_of(teacher, seed + 1)))
    return nets


def encoder_of(rule):
    """The small encoder that suits a method."""
    if rule.network != "auto":
        return rule.network
    return "r2plus1d-small" if rule.time and rule.time.frames > 1 else "conv4"


def images(count=32, rule=None):
    if rule is None or rule.time is None:
        pixels = torch.randint(0, 256, (count, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator(7))
        return InMemoryImages(Pixels(pixels, torch.ones(count)))
    shown = torch.randint(KEPT // 2, KEPT + 1, (count,), generator=generator(6))
    return InMemoryImages(Pixels(clips(count), torch.ones(count), shown))


def clips(count):
    """Noise, uint8."""
    return torch.randint(0, 256, (count, KEPT, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator(7))


def loader(rule, labels=None, count=32, batch_size=8):
    labels = torch.arange(count) % CLASSES if labels is None else labels
    return Loader(images(count, rule), labels, batch_size, seed=5, support=rule.support, modalities=beside(rule, count))


class Random:
    """Made-up rows of what lies beside the pixels."""

    def __init__(self, count, name):
        self.rows = {CAPTIONS: self.captions, SOUND: self.sound, FLOW: self.flow}[name](count)

    def sound(self, count):
        """A noise of its own for each clip, 160 samples a frame."""
        return torch.randint(-9999, 9999, (count, KEPT * 160), dtype=torch.int16, generator=generator(8))

    def flow(self, count):
        """Up to two pixels either way."""
        shape = (count, KEPT - 1, 2, SIZE, SIZE)
        return torch.randint(-128, 129, shape, dtype=torch.int16, generator=generator(8))

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


def beside(rule, count=32):
    """What a method wants beside the pixels, of clips as its own readers give it."""
    made = {name: Random(count, name) for name in rule.modalities}
    if rule.time is None:
        return made
    tracks = {name: rows.rows.numpy() for name, rows in made.items() if name in (SOUND, FLOW)}
    train = clip_manifest("made", clips(count).numpy(), rule.time.frame_rate, **tracks)
    return {name: reader.of(train.columns[name]) for name, reader in rule.transforms(train).items()}


def progress(step=3):
    return Progress(step, steps=10, seed=2)


@pytest.mark.parametrize("name", ALL)
def test_loss_is_a_finite_scalar_with_a_gradient_for_every_learned_part(name):
    rule = method(name)
    nets = nets_of(rule)
    step = rule.step(nets, loader(rule).batch(3), progress())
    assert step.loss.shape == ()
    assert torch.isfinite(step.loss)
    step.loss.backward()
    learned = {key: p for key, p in nets.named_parameters() if p.requires_grad}
    without = [key for key, p in learned.items() if p.grad is None or not p.grad.abs().sum() > 0]
    # A classifier that starts at zero passes no gradient on in its very first step; all else must learn at once.
    assert not [key for key in without if name != "cross-entropy"]
    assert learned


@pytest.mark.parametrize("name", ALL)
def test_teachers_and_queues_take_no_gradient(name):
    rule = method(name)
    nets = nets_of(rule)
    rule.step(nets, loader(rule).batch(3), progress()).loss.backward()
    followers = [p for key, p in nets.named_parameters() if key.startswith("teacher")]
    assert all(p.grad is None and not p.requires_grad for p in followers)
    assert all(not buffer.requires_grad for buffer in nets.buffers())


@pytest.mark.parametrize("name", ALL)
def test_a_step_is_a_function_of_seed_and_step(name):
    rule = method(name)
    batch = loader(rule).batch(3)
    losses = [rule.step(nets_of(rule), batch, progress(step)).loss.item() for step in (3, 3, 4)]
    assert losses[0] == losses[1]
    if name != "cross-entropy":  # which starts at ln C whatever it sees
        assert losses[0] != losses[2]


@pytest.mark.parametrize("name", [n for n in ALL if METHODS[n].needs == "no labels"])
def test_methods_without_labels_never_look_at_them(name):
    """Training with every label hidden and with wrong labels gives the same weights, bit for bit."""
    rule = method(name)
    ends = []
    for labels in (torch.full((32,), -1), torch.arange(32) % 3):
        nets = nets_of(rule)
        take_steps(rule, nets, loader(rule, labels), 3)
        ends.append(torch.cat([p.detach().flatten() for p in nets.parameters()]))
    assert torch.equal(ends[0], ends[1])


@pytest.mark.parametrize("name", [n for n in ALL if METHODS[n].needs != "no labels"])
def test_hidden_labels_cannot_leak(name):
    """Labels that the budget hides are -1 in the batch; what they were must not matter, and what is shown must."""
    rule = method(name)
    shown = torch.where(torch.arange(32) < 16, torch.arange(32) % CLASSES, -1)
    batch = loader(rule, shown).batch(0)
    assert set(batch.labels.tolist()) <= {-1, 0, 1, 2, 3}
    other = torch.where(torch.arange(32) < 16, (torch.arange(32) // 4) % CLASSES, -1)
    ends = []
    for labels in (shown, other):
        nets = nets_of(rule)
        take_steps(rule, nets, loader(rule, labels), 3)
        ends.append(torch.cat([p.detach().flatten() for p in nets.parameters()]))
    assert not torch.equal(ends[0], ends[1])


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


@pytest.mark.parametrize("name", ALL)
def test_order_within_the_batch_does_not_matter(name):
    """The contrast half sees a set of rows: permuting them leaves the loss."""
    rule = method(name)
    nets = nets_of(rule)
    rows = dict(rule.embed(nets, loader(rule).batch(3), progress()))
    expected = rule.compute_loss(nets, rows, progress()).loss
    own = {key for key in rows if key.startswith("support") or (key == "labels" and "support" in rows)}
    order = torch.randperm(8, generator=generator(1))
    support_order = torch.randperm(8, generator=generator(2))
    shuffled = {key: row[support_order if key in own else order] for key, row in rows.items()}
    assert rule.compute_loss(nets, shuffled, progress()).loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_embed_works_on_each_example_alone(name):
    """In eval mode, where batch norm does not couple rows, half a batch gives half of the whole batch's rows."""
    rule = method(name)
    nets = nets_of(rule).eval()
    batch = loader(rule).batch(3)
    whole = rule.embed(nets, batch, progress())
    for rank, rows in enumerate((slice(0, 4), slice(4, 8))):
        half = sliced(batch, rows)
        part = rule.embed(nets, half, progress()._replace(rank=rank, world_size=2))
        for key, row in part.items():
            torch.testing.assert_close(row, whole[key][rows], rtol=1e-4, atol=1e-5)


def sliced(batch, rows):
    pixels = batch.pixels.map(lambda part: part[rows])
    support = sliced(batch.support, rows) if batch.support is not None else None
    alongside = {name: part[rows] for name, part in batch.modalities.items()}
    return Batch(pixels, batch.labels[rows], batch.indices[rows], support, modalities=alongside)


@pytest.mark.parametrize("name", ALL)
def test_bfloat16_is_close_to_float32(name):
    rule = method(name)
    batch = loader(rule).batch(3)
    exact = rule.step(nets_of(rule), batch, progress()).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = rule.step(nets_of(rule), batch, progress()).loss
    assert rounded.dtype == torch.float32
    # Networks round to 8 bits; losses themselves do not, so 3 % covers temperatures down to 0.02. PAWS takes guesses at
    # temperature 0.1 to the power of 4 and then subtracts two terms of like size.
    assert rounded.item() == pytest.approx(exact.item(), rel=0.03, abs=0.06 if name == "paws" else 0.02)


@pytest.mark.parametrize("name", ALL)
def test_the_second_half_does_not_round_at_all(name):
    rule = method(name)
    nets = nets_of(rule)
    rows = rule.embed(nets, loader(rule).batch(3), progress())
    exact = rule.compute_loss(nets, rows, progress()).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert rule.compute_loss(nets, rows, progress()).loss.item() == exact.item()


@pytest.mark.parametrize("name", ALL)
def test_settings_survive_json(name):
    rule = method(name)
    again = from_json(METHODS[name], json.loads(json.dumps(to_json(rule))))
    assert again == rule


@pytest.mark.parametrize("name", ALL)
def test_every_method_says_what_it_is(name):
    kind = METHODS[name]
    assert "http" in kind.paper
    assert kind.idea.endswith(".")
    assert kind.needs in ("no labels", "some labels", "all labels")
