"""What is particular to a method, checked on its step."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from likewise.errors import LikewiseError
from likewise.losses import barlow_twins, cosine_regression, nt_xent, suncet
from likewise.methods import Progress, choose_method, find_method, with_view_size
from likewise.methods.byol import BYOL
from likewise.methods.isd import ISD
from likewise.methods.method import classify
from likewise.methods.simclr import SimCLR
from likewise.randomness import generator
from likewise.views.policies import simclr_small
from likewise.views.view_policy import ViewPolicy
from methods.fixtures import loader, method, nets_of, progress


def test_suncet_is_simclr_plus_the_neighbour_loss_on_the_support_alone():
    rule = method("suncet")
    nets = nets_of(rule)
    batch = loader(rule).batch(0)
    rows = rule.embed(nets, batch, progress())
    expected = nt_xent(rows["first"], rows["second"], rule.temperature)
    expected = expected + suncet(rows["support"], batch.support.labels, rule.support_temperature)
    assert rule.compute_loss(nets, rows, progress()).loss.item() == pytest.approx(
        expected.item(), rel=1e-6
    )
    assert len(rows["support"]) == len(batch.support.labels) == 8


def test_suncet_without_support_is_simclr():
    rule = method("suncet")
    nets = nets_of(rule)
    batch = loader(rule).batch(0)._replace(support=None)
    rows = rule.embed(nets, batch, progress())
    step = rule.compute_loss(nets, rows, progress())
    assert step.loss.item() == pytest.approx(
        nt_xent(rows["first"], rows["second"], rule.temperature).item(), rel=1e-6
    )
    assert "supervised" not in step.metrics


def test_suncet_switches_off_and_loads_no_more_support():
    rule = dataclasses.replace(method("suncet"), supervised_until=0.5)
    ending = loader(rule).with_support(until_step=round(rule.support.until * 8))
    assert [batch.support is not None for batch in ending.batches(0, 8)] == [True] * 4 + [False] * 4


def test_the_logged_unsupervised_term_is_not_the_sum():
    rule = method("suncet")
    step = rule.step(nets_of(rule), loader(rule).batch(0), progress())
    total = step.metrics["unsupervised"] + step.metrics["supervised"]
    assert step.loss.item() == pytest.approx(total.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["cacr", "isd", "moco-v2"])
def test_keys_enter_the_queue_after_the_loss_and_the_teacher_follows(name):
    rule = method(name)
    nets = nets_of(rule)
    before = nets.queue.rows.clone()
    step = rule.step(nets, loader(rule).batch(0), progress())
    assert torch.equal(nets.queue.rows, before)
    teacher = [p.clone() for p in nets.teacher.parameters()]
    with torch.no_grad():
        for p in nets.encoder.parameters():
            p.add_(1.0)
    rule.after_update(nets, step, progress())
    changed = (nets.queue.rows != before).any(dim=1)
    assert changed.sum() == 8
    moved = [
        (new - old).abs().max().item()
        for new, old in zip(nets.teacher.parameters(), teacher, strict=True)
    ]
    assert moved[0] == pytest.approx(0.01, rel=1e-3)  # 1 - momentum of 0.99, of a step of 1


def test_an_untrained_classifier_has_the_loss_of_chance():
    rule = method("cross-entropy")
    step = rule.step(nets_of(rule), loader(rule).batch(0), progress())
    assert step.loss.item() == pytest.approx(math.log(4), rel=1e-5)


def test_isd_is_zero_where_the_student_is_as_similar_to_the_queue_as_its_teacher():
    rule = dataclasses.replace(method("isd"), student_temperature=0.1, teacher_temperature=0.1)
    nets = nets_of(rule)
    outputs = dict(rule.embed(nets, loader(rule).batch(0), progress()))
    assert rule.compute_loss(nets, outputs, progress()).loss.item() > 0.01
    same = {"student": outputs["teacher"], "teacher": outputs["teacher"]}
    assert rule.compute_loss(nets, same, progress()).loss.item() == pytest.approx(0, abs=1e-5)


def test_byol_sums_both_directions():
    rule = method("byol")
    nets = nets_of(rule)
    rows = rule.embed(nets, loader(rule).batch(0), progress())
    one = cosine_regression(rows["prediction_first"], rows["target_second"])
    other = cosine_regression(rows["prediction_second"], rows["target_first"])
    assert rule.compute_loss(nets, rows, progress()).loss.item() == pytest.approx(
        (one + other).item(), rel=1e-6
    )
    assert "predictor" not in dict(nets.teacher.named_modules())


def test_simsiam_is_the_mean_of_both_directions_and_its_targets_take_no_gradient():
    rule = method("simsiam")
    nets = nets_of(rule)
    rows = rule.embed(nets, loader(rule).batch(0), progress())
    assert [key for key, row in rows.items() if row.requires_grad] == [
        "prediction_first",
        "prediction_second",
    ]
    loss = 0.0
    for prediction, target in (
        ("prediction_first", "target_second"),
        ("prediction_second", "target_first"),
    ):
        for p, z in zip(rows[prediction], rows[target], strict=True):
            # 2 directions of 8 images
            loss = loss + (1 - torch.dot(p, z) / p.norm() / z.norm()) / 16
    ours = torch.autograd.grad(
        rule.compute_loss(nets, rows, progress()).loss, rows["prediction_first"], retain_graph=True
    )
    naive = torch.autograd.grad(loss, rows["prediction_first"])
    assert rule.compute_loss(nets, rows, progress()).loss.item() == pytest.approx(
        loss.item(), rel=1e-5
    )
    torch.testing.assert_close(ours, naive)


def test_simsiam_normalises_what_is_predicted():
    rule = method("simsiam")
    rows = rule.embed(nets_of(rule), loader(rule).batch(0), progress())
    both = torch.cat([rows["target_first"], rows["target_second"]])
    torch.testing.assert_close(both.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(both.std(0, correction=0), torch.ones(8), atol=1e-2, rtol=0)


def test_barlow_twins_scale_is_that_of_the_gradient_too():
    """A smaller loss stands for the authors' smaller rate of biases, so the gradient must shrink with it."""
    gradients = []
    for scale in (1.0, 0.024):
        rule = dataclasses.replace(method("barlow-twins"), scale=scale)
        nets = nets_of(rule)
        rows = rule.embed(nets, loader(rule).batch(0), progress())
        loss = rule.compute_loss(nets, rows, progress()).loss
        assert loss.item() == pytest.approx(
            scale * barlow_twins(rows["first"], rows["second"], 0.0051).item()
        )
        gradients.append(torch.autograd.grad(loss, nets.encoder.blocks[0][1].bias)[0])
    torch.testing.assert_close(gradients[1], 0.024 * gradients[0])


def test_byol_teacher_stands_still_at_the_end():
    rule = method("byol")
    nets = nets_of(rule)
    step = rule.step(nets, loader(rule).batch(0), progress())
    with torch.no_grad():
        for p in nets.encoder.parameters():
            p.add_(1.0)
    before = [p.clone() for p in nets.teacher.parameters()]
    rule.after_update(nets, step, progress()._replace(step=9))
    assert all(torch.equal(p, b) for p, b in zip(nets.teacher.parameters(), before, strict=True))


def test_isd_without_a_projector_keeps_the_queue_in_the_encoders_space():
    small = with_view_size(dataclasses.replace(ISD.preset("imagenet-resnet18"), queue=16), 12)
    nets = nets_of(small)
    assert isinstance(nets.projector, torch.nn.Identity)
    assert nets.queue.rows.shape == (16, nets.encoder.width)
    assert torch.isfinite(small.step(nets, loader(small).batch(0), progress()).loss)


def test_small_images_get_the_small_policies_and_a_named_policy_stays():
    assert with_view_size(SimCLR(), 28).views == dataclasses.replace(simclr_small(), size=28)
    assert with_view_size(SimCLR(), 128).views.blur == 0.5
    ours = ViewPolicy(blur=1.0, size=20)
    assert with_view_size(SimCLR(views=ours), 28).views == ours


@pytest.mark.parametrize(
    ("labelled", "total", "fewest", "classes", "chosen"),
    [
        (0, 100, 0, 0, "simclr"),
        (100, 100, 40, 2, "supcon"),
        (95, 100, 40, 2, "supcon"),
        (20, 100, 10, 2, "suncet"),
        (20, 100, 1, 2, "simclr"),
        (20, 100, 20, 1, "simclr"),
    ],
)
def test_auto_chooses_by_the_labels_there_are_and_says_why(
    labelled, total, fewest, classes, chosen
):
    name, reason = choose_method(labelled, total, fewest, classes)
    assert name == chosen
    assert reason
    assert find_method(name)


def fixmatch_step(**changes):
    """The rule with half of its guesses believed, its networks, its rows and its step."""
    rule = method("fixmatch")
    nets = nets_of(dataclasses.replace(rule, **changes))
    rows = dict(rule.embed(nets, loader(rule).batch(0), progress()))
    sure = rows["weak"].softmax(1).amax(1).sort().values[3:5].mean().item()
    rule = dataclasses.replace(rule, **({"threshold": sure} | changes))
    return rule, nets, rows, rule.compute_loss(nets, rows, progress())


def test_fixmatch_is_labels_and_hard_guesses_of_which_the_mean_is_over_all_rows():
    rule, _, rows, step = fixmatch_step(pseudo_label_weight=3.0)
    probabilities = rows["weak"].softmax(1)
    supervised = -sum(
        logits.log_softmax(0)[label]
        for logits, label in zip(rows["support"], rows["labels"], strict=True)
    ) / len(rows["labels"])
    pseudo_label = -sum(
        logits.log_softmax(0)[prediction.argmax()]
        for logits, prediction in zip(rows["strong"], probabilities, strict=True)
        if prediction.max() >= rule.threshold
    ) / len(probabilities)
    assert step.metrics["mask_ratio"].item() == 0.5
    assert step.loss.item() == pytest.approx((supervised + 3 * pseudo_label).item(), rel=1e-5)
    assert {key for key, row in rows.items() if row.requires_grad} == {"strong", "support"}


def test_fixmatch_balances_its_guesses_where_it_is_told_to():
    rule, nets, rows, _ = fixmatch_step(window=3, threshold=0.0)
    past = torch.tensor([[0.7, 0.1, 0.1, 0.1]])
    nets.history.push(past)
    step = rule.compute_loss(nets, rows, progress())
    probabilities = rows["weak"].softmax(1)
    balanced = probabilities / ((probabilities.mean(0) + past[0]) / 2)
    assert (balanced.argmax(1) != probabilities.argmax(1)).any()
    wanted = torch.nn.functional.cross_entropy(rows["strong"], balanced.argmax(1))
    assert step.metrics["pseudo_label"].item() == pytest.approx(wanted.item(), rel=1e-5)
    torch.testing.assert_close(
        step.memory_updates["mean_prediction"], probabilities.mean(0, keepdim=True)
    )  # as guessed, not as balanced
    rule.after_update(nets, step, progress())
    assert nets.history.filled.sum() == 2


@pytest.mark.parametrize("name", ["comatch", "fixmatch"])
def test_a_teacher_that_only_classifies_follows_in_everything(name):
    rule = method(name)
    nets = nets_of(rule)
    step = rule.step(nets, loader(rule).batch(0), progress())
    before, pixels = nets.teacher.classifier.bias.clone(), torch.rand(3, 1, 12, 12)
    with torch.no_grad():
        nets.classifier.bias.add_(1.0)
        nets.encoder.blocks[0][1].running_mean.fill_(5.0)
    rule.after_update(nets, step, progress(step=8))
    # (1 + 8) / (10 + 8)
    assert (nets.teacher.classifier.bias - before).tolist() == pytest.approx([0.5] * 4)
    assert bool((nets.teacher.encoder.blocks[0][1].running_mean == 5.0).all())
    assert torch.equal(
        classify(rule, nets, pixels), nets.teacher.classifier(nets.teacher.encoder(pixels))
    )


def test_only_the_view_that_learns_the_guess_is_operated_on_in_comatch():
    rule = method("comatch")
    assert rule.strong_views.random_ops == 2 and rule.strong_views.cutout == 0.5
    assert (
        rule.other_views.random_ops == 0
        and rule.other_views.cutout == 0
        and rule.other_views.jitter > 0
    )
    assert (
        method("comatch-ema").strong_views == method("comatch-ema").other_views == rule.other_views
    )


def comatch_step(name, **changes):
    """A rule, its networks with a queue that is full, its rows and its step."""
    rule = dataclasses.replace(method(name), graph_threshold=0.05, **changes)
    nets = nets_of(rule)
    nets.queue.pushed.fill_(16)
    for memory in (nets.queue, getattr(nets, "graph", nets.queue)):
        memory.probabilities.copy_(torch.randn(16, 4, generator=generator(3)).softmax(dim=1))
    nets.history.push(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    rows = dict(rule.embed(nets, loader(rule).batch(0), progress()))
    return rule, nets, rows, rule.compute_loss(nets, rows, progress())


@pytest.mark.parametrize("name", ["comatch", "comatch-ema"])
def test_comatch_is_its_three_terms_on_smoothed_guesses(name):
    rule, nets, rows, _ = comatch_step(name)
    history = (rows["weak_logits"].softmax(1).mean(0) + torch.tensor([0.1, 0.2, 0.3, 0.4])) / 2
    balanced = rows["weak_logits"].softmax(1) / history
    balanced = balanced / balanced.sum(1, keepdim=True)
    similar = (rows["weak"] @ nets.queue.rows.T / rule.temperature).softmax(
        1
    ) @ nets.queue.probabilities
    targets = 0.9 * balanced + 0.1 * similar
    past = getattr(nets, "graph", None)
    keys = rows["other"] if past is None else torch.cat([rows["other"], past.rows])
    edges = targets @ (targets if past is None else torch.cat([targets, past.probabilities])).T
    edges[range(8), range(8)] = 1
    edges = edges * (edges >= 0.05)
    similarity = (rows["strong"] @ keys.T / rule.temperature).log_softmax(1)
    graph = -(edges / edges.sum(1, keepdim=True) * similarity).sum(1).mean()
    threshold = targets.amax(1).sort().values[3:5].mean().item()  # half of them are believed
    rule = dataclasses.replace(rule, threshold=threshold)
    step = rule.compute_loss(nets, rows, progress())
    mask_ratio = (targets.amax(1) >= threshold).float()
    pseudo_label = -(mask_ratio * (targets * rows["strong_logits"].log_softmax(1)).sum(1)).mean()
    supervised = torch.nn.functional.cross_entropy(rows["support_logits"], rows["labels"])
    expected = supervised + rule.pseudo_label_weight * pseudo_label + rule.graph_weight * graph
    assert mask_ratio.mean() == 0.5
    assert step.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert step.metrics["mask_ratio"].item() == pytest.approx(mask_ratio.mean().item())
    torch.testing.assert_close(step.memory_updates["probabilities"][:8], balanced.detach())
    torch.testing.assert_close(step.memory_updates["targets"], targets.detach())


def test_comatch_smooths_only_once_its_queue_is_full():
    rule, nets, rows, full = comatch_step("comatch")
    nets.queue.pushed.fill_(15)
    early = rule.compute_loss(nets, rows, progress())
    assert torch.equal(early.memory_updates["targets"], early.memory_updates["probabilities"][:8])
    assert not torch.equal(full.memory_updates["targets"], early.memory_updates["targets"])


@pytest.mark.parametrize("name", ["comatch", "comatch-ema"])
def test_comatch_remembers_after_the_loss_and_its_teacher_follows(name):
    rule, nets, rows, step = comatch_step(name)
    before = {key: value.clone() for key, value in nets.state_dict().items()}
    shown = loader(rule).batch(0).support.labels
    rule.after_update(nets, step, progress())
    assert torch.equal(nets.queue.rows, torch.cat([rows["weak"], rows["support"]]))
    assert torch.equal(nets.queue.probabilities[8:], torch.nn.functional.one_hot(shown, 4).float())
    assert nets.history.filled.sum() == 2
    if name == "comatch-ema":
        assert torch.equal(nets.graph.rows[:8], rows["other"])
        assert torch.equal(nets.graph.probabilities[:8], step.memory_updates["targets"])
    with torch.no_grad():
        nets.classifier.bias.add_(1.0)
        nets.encoder.blocks[0][1].running_mean.fill_(5.0)
    rule.after_update(nets, step, progress(step=8))
    moved = nets.teacher.classifier.bias - before["teacher.classifier.bias"]
    assert moved.tolist() == pytest.approx([0.5] * 4)  # momentum (1 + 8) / (10 + 8)
    statistics = nets.teacher.encoder.blocks[0][1].running_mean
    # A teacher that guesses keeps the statistics of what it sees; one that only classifies takes the student's.
    assert bool((statistics == 5.0).all()) == (name == "comatch")


def test_who_learns_and_who_tells_in_comatch():
    *_, rows, _ = comatch_step("comatch")
    assert all(rows[key].requires_grad for key in ("strong", "other", "support_logits"))
    *_, rows, _ = comatch_step("comatch-ema")
    assert {key for key, row in rows.items() if row.requires_grad} == {
        "strong",
        "strong_logits",
        "support_logits",
    }


def test_comatch_classifies_by_its_teacher():
    rule, nets, *_ = comatch_step("comatch")
    pixels = torch.rand(3, 1, 12, 12)
    with torch.no_grad():
        nets.classifier.bias.add_(1.0)
        expected = nets.teacher.classifier(nets.teacher.encoder(pixels))
        assert torch.equal(classify(rule, nets, pixels), expected)


def test_the_weight_of_the_ema_forms_graph_rises_by_one_an_epoch_of_400():
    rule, nets, rows, _ = comatch_step("comatch-ema", graph_weight=3.0)
    terms = []
    for number in (0, 1, 400):
        step = rule.compute_loss(nets, rows, Progress(number, steps=401))
        rest = step.metrics["supervised"] + rule.pseudo_label_weight * step.metrics["pseudo_label"]
        terms.append(((step.loss - rest) / step.metrics["graph"]).item())
    assert terms == pytest.approx([1, 2, 3], rel=1e-4)


@pytest.mark.parametrize("method", [SimCLR(), BYOL()], ids=["SimCLR", "BYOL"])
def test_a_network_that_is_not_wrapped_is_refused_with_what_to_type(method):
    for given in ({}, {"encoder": nn.Flatten()}):
        args = () if given else (nn.Flatten(),)
        with pytest.raises(LikewiseError, match=r"ModuleEncoder\(network"):
            method.build(*args, **given, classes=3)
