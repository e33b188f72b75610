"""KD and HSAKD: who learns from what, and who stays as it is."""

import pytest
import torch
import torch.nn.functional as F

from likewise.encoders import build_encoder
from likewise.encoders.encoder_settings import EncoderSettings
from likewise.errors import LikewiseError
from likewise.heads import auxiliary_heads
from likewise.methods.comatch import CoMatch
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.distillation import Teacher
from likewise.methods.hsakd import HSAKD
from likewise.methods.hsakd_teacher import HSAKDTeacher, depths, predict_rotations
from likewise.methods.method import classify
from likewise.methods.simclr import SimCLR
from likewise.randomness import seed_networks
from likewise.views.image.rotations import four_rotations
from methods.fixtures import CLASSES, SIZE, loader, method, nets_of, progress, take_steps
from training.test_cached_gradients import gradients, networks


def encoder_named(name):
    seed_networks(0)
    return build_encoder(EncoderSettings(name, 32, (0.4,), (0.3,)))


def softened(student, teacher, temperature):
    """T^2 KL, row by row."""
    rows = [
        F.kl_div((s / temperature).log_softmax(0), (t / temperature).softmax(0), reduction="sum")
        for s, t in zip(student, teacher, strict=True)
    ]
    return temperature**2 * torch.stack(rows).mean()


def test_kd_shows_both_networks_one_view():
    rule = method("kd")
    nets, batch = nets_of(rule).eval(), loader(rule).batch(0)
    pixels = rule.views(batch.pixels, progress().rng("view", batch)).pixels
    teacher = nets.teacher.nets
    nets.teacher.nets.classifier.weight.data.normal_()  # cross-entropy's starts at zero
    logits = nets.classifier(nets.encoder(pixels))
    believed = teacher.classifier(teacher.encoder(pixels))
    expected = F.cross_entropy(logits, batch.labels) + rule.teacher_weight * softened(
        logits, believed, 4
    )
    assert rule.step(nets, batch, progress()).loss.item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_hsakd_is_the_labels_of_unturned_rows_and_the_teacher_at_the_end_and_at_every_depth():
    rule = method("hsakd")
    nets, batch = nets_of(rule).eval(), loader(rule).batch(0)
    pixels = four_rotations(rule.views(batch.pixels, progress().rng("view", batch)).pixels)
    (logits, *depth), (believed, *deep) = (
        by_hand(each, pixels) for each in (nets, nets.teacher.nets)
    )
    expected = F.cross_entropy(logits[[0, 4, 8, 12, 16, 20, 24, 28]], batch.labels) + softened(
        logits, believed, 3
    )
    expected = expected + sum(softened(s, t, 3) for s, t in zip(depth, deep, strict=True))
    step = rule.step(nets, batch, progress())
    assert step.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert {"labels", "teacher", "depth 1", "depth 2", "depth 3", "depth 4"} <= set(step.metrics)


@pytest.mark.parametrize("name", ["kd", "hsakd"])
def test_a_batch_without_labels_learns_from_the_teacher_alone(name):
    rule = method(name)
    nets, batch = nets_of(rule).eval(), loader(rule).batch(0)
    nets.classifier.weight.data.normal_()
    full = rule.step(nets, batch, progress())
    bare = rule.step(nets, batch._replace(labels=torch.full_like(batch.labels, -1)), progress())
    assert bare.loss.item() == pytest.approx(
        full.loss.item() - full.metrics["labels"].item(), abs=1e-5
    )
    bare.loss.backward()
    assert nets.classifier.weight.grad.abs().sum() > 0


def by_hand(nets, pixels):
    """Logits, and those of each auxiliary classifier, stage by stage."""
    maps, found = nets.encoder.normalise(pixels), []
    for stage, head in zip(nets.encoder.stages(), nets.auxiliaries, strict=True):
        maps = stage(maps)
        found.append(head(maps))
    return [nets.classifier(maps.mean(dim=(2, 3))), *found]


def test_the_teacher_of_hsakd_learns_class_and_rotation_at_every_depth():
    rule = method("hsakd-teacher")
    nets, batch = nets_of(rule).eval(), loader(rule).batch(0)
    pixels = four_rotations(rule.views(batch.pixels, progress().rng("view", batch)).pixels)
    logits, *deep = by_hand(nets, pixels)
    joint = torch.tensor([4 * label + j for label in batch.labels.tolist() for j in range(4)])
    expected = F.cross_entropy(logits[::4], batch.labels) + sum(
        F.cross_entropy(each, joint) for each in deep
    )
    assert rule.step(nets, batch, progress()).loss.item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_the_labels_reach_the_unturned_rows_alone_and_the_teacher_all():
    rule = method("hsakd")
    nets, batch = nets_of(rule), loader(rule).batch(0)
    rows = {name: row.detach() for name, row in rule.embed(nets, batch, progress()).items()}
    before = rule.compute_loss(nets, rows, progress()).metrics
    for turn in range(4):
        turned = {**rows, "logits": rows["logits"].clone()}
        turned["logits"][:, turn, 0] += 1
        after = rule.compute_loss(nets, turned, progress()).metrics
        assert (after["labels"] != before["labels"]) == (turn == 0)
        assert after["teacher"] != before["teacher"]


def reached(loss, nets):
    """First part of the names of all that gets a gradient."""
    learned = dict(nets.named_parameters())
    found = torch.autograd.grad(
        loss, [p for p in learned.values() if p.requires_grad], allow_unused=True
    )
    names = [name for name, p in learned.items() if p.requires_grad]
    return {
        name.split(".")[0]
        for name, g in zip(names, found, strict=True)
        if g is not None and g.abs().sum() > 0
    }


def test_every_depth_teaches_the_encoder_below_it():
    """Gradient of the auxiliary classifiers flows into the stages they stand on, and into no later one."""
    rule = method("hsakd")
    nets, batch = nets_of(rule), loader(rule).batch(0)
    assert reached(rule.step(nets, batch, progress()).loss, nets) == {
        "encoder",
        "classifier",
        "auxiliaries",
    }
    for depth in (1, 2, 3, 4):
        rows = rule.embed(nets, batch, progress())
        blocks = {
            f"encoder.blocks.{i}": block[0].weight for i, block in enumerate(nets.encoder.blocks)
        }
        found = torch.autograd.grad(
            rows[f"depth {depth}"].square().sum(), list(blocks.values()), allow_unused=True
        )
        assert [g is not None for g in found] == [i < depth for i in range(4)]


@pytest.mark.parametrize("name", ["kd", "hsakd"])
def test_a_teacher_stays_as_it_is(name):
    rule = method(name)
    nets = nets_of(rule).train()
    before = {key: value.clone() for key, value in nets.teacher.state_dict().items()}
    assert not any(module.training for module in nets.teacher.modules())
    take_steps(rule, nets, loader(rule), 3)
    assert [
        key
        for key, value in nets.teacher.state_dict().items()
        if not torch.equal(value, before[key])
    ] == []
    assert all(p.grad is None and not p.requires_grad for p in nets.teacher.parameters())
    assert nets.encoder.training
    assert not nets.eval().encoder.training


def test_microbatches_leave_a_teachers_statistics_to_the_bit():
    """Three times a third is not always one."""
    rule = method("hsakd")
    nets = networks(rule).train()
    for name, buffer in nets.teacher.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand_like(buffer))
    before = {key: value.clone() for key, value in nets.teacher.state_dict().items()}
    gradients(rule, nets, 3, loader(rule, count=48, batch_size=12).batch(3))
    assert [
        key
        for key, value in nets.teacher.state_dict().items()
        if not torch.equal(value, before[key])
    ] == []


def test_a_kept_network_is_taken_over_and_only_the_auxiliaries_learn():
    rule, given = HSAKDTeacher(teacher="a folder"), CrossEntropy()
    taught = nets_of(given, seed=5)
    taught.classifier.weight.data.normal_()
    nets = nets_of(rule)
    rule.adopt(nets, Teacher(given, taught))
    nets.train()
    pixels = torch.rand(4, 1, SIZE, SIZE)
    expected = classify(given, taught.eval(), pixels)
    assert {name.split(".")[0] for name, p in nets.named_parameters() if p.requires_grad} == {
        "auxiliaries"
    }
    assert nets.auxiliaries.training
    assert reached(rule.step(nets, loader(rule).batch(0), progress()).loss, nets) == {"auxiliaries"}
    take_steps(rule, nets, loader(rule), 3)
    assert torch.equal(classify(rule, nets, pixels), expected)


@pytest.mark.parametrize("name", ["conv4", "conv4-wide", "timm/resnet18"])
def test_auxiliary_classifiers_continue_the_network_with_weights_of_their_own(name):
    encoder = encoder_named(name)
    heads = auxiliary_heads(encoder, 12)
    stages = list(encoder.stages())
    assert len(heads) == len(stages)
    for depth, (maps, head) in enumerate(
        zip(encoder.stage_maps(torch.rand(2, 1, 32, 32)), heads, strict=True), 1
    ):
        assert head(maps).shape == (2, 12)
        assert len(head) - 3 == max(len(stages) - depth, 1)
        assert head[-1].in_features == encoder.width
    first = [p for p in heads[0][0].parameters() if p.dim() == 4]
    original = [p for p in stages[1].parameters() if p.dim() == 4]
    assert [p.shape for p in first] == [p.shape for p in original]
    assert not any(torch.equal(a, b) for a, b in zip(first, original, strict=True))
    own = {p.data_ptr() for p in encoder.parameters()}
    assert own.isdisjoint(p.data_ptr() for p in heads.parameters())


def test_the_last_auxiliary_classifier_keeps_the_maps_size():
    for name in ("conv4", "timm/resnet18"):
        encoder = encoder_named(name).eval()
        maps = encoder.feature_map(torch.rand(1, 1, 32, 32))
        assert encoder.another_stage().eval()(maps).shape == maps.shape


def test_a_network_that_cannot_be_continued_is_refused():
    with pytest.raises(LikewiseError, match="timm/convnext_atto"):
        auxiliary_heads(encoder_named("timm/convnext_atto"), 12)


def test_a_student_of_another_depth_is_refused():
    rule, deeper = method("hsakd"), method("hsakd-teacher")
    taught = nets_of(deeper)
    del taught.auxiliaries[-1]
    with pytest.raises(LikewiseError, match=r"\b4\b.* 3\b.*--method.teacher"):
        rule.adopt(nets_of(rule), Teacher(deeper, taught))


@pytest.mark.parametrize(
    ("student", "teacher"), [("kd", CoMatch()), ("kd", CrossEntropy()), ("hsakd", HSAKDTeacher()), ("hsakd", HSAKD()),
                             ("hsakd-teacher", CrossEntropy())],
)  # fmt: skip
def test_methods_that_can_teach(student, teacher):
    method(student).check_teacher(teacher)


@pytest.mark.parametrize(
    ("student", "teacher"), [("kd", SimCLR()), ("hsakd", SimCLR()), ("hsakd-teacher", SimCLR()), ("hsakd", CoMatch()),
                             ("hsakd", CrossEntropy()), ("hsakd-teacher", CoMatch())],
)  # fmt: skip
def test_methods_that_cannot_teach(student, teacher):
    with pytest.raises(LikewiseError, match=r"--method\.teacher"):
        method(student).check_teacher(teacher)


def test_rows_stand_an_image_each():
    rule = method("hsakd-teacher")
    outputs = predict_rotations(nets_of(rule), torch.rand(5, 1, SIZE, SIZE))
    assert outputs["logits"].shape == (5, 4, CLASSES)
    assert {outputs[depth].shape for depth in depths(outputs)} == {(5, 4, 4 * CLASSES)}
