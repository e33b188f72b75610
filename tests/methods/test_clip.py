"""CLIP and its self-distillation step by step; what holds for every method is in test_contract."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from likewise.data.columns.tokens import NO_TOKEN
from likewise.encoders.text import SmallTransformer, TextSettings
from likewise.errors import LikewiseError
from likewise.heads import LearnedScale
from likewise.losses import clip_loss, optimal_transport_targets, pair_divergence, pair_targets
from likewise.methods import Recipe
from likewise.methods.clip import CLIP
from likewise.views.policies import mild_crop
from methods.fixtures import loader, method, nets_of, progress, take_steps
from training.test_cached_gradients import batch_of

SMALL = TextSettings(vocabulary=50, length=9, width=128, layers=2)


def tokens(*lengths, longest=9):
    torch.manual_seed(0)
    rows = torch.randint(0, 50, (len(lengths), longest))
    return rows.masked_fill(torch.arange(longest) >= torch.tensor(lengths)[:, None], NO_TOKEN)


def test_what_stands_behind_the_end_of_a_text_does_not_matter():
    torch.manual_seed(0)
    network = SmallTransformer(SMALL).double().eval()
    rows = tokens(3, 9, 1, 5)
    together = network(rows)
    for row, length, feature in zip(rows, (3, 9, 1, 5), together, strict=True):
        torch.testing.assert_close(network(row[None, :length])[0], feature)


def test_a_feature_is_the_mean_of_the_states_and_words_know_their_neighbours_and_places():
    torch.manual_seed(0)
    network = SmallTransformer(SMALL).double()
    rows = tokens(4, 6)
    states = network.states(rows.clamp(min=0), rows != NO_TOKEN)
    torch.testing.assert_close(network(rows)[0], states[0, :4].mean(0))
    swapped = rows[:, [1, 0, *range(2, 9)]]
    assert not torch.allclose(network(swapped), network(rows))
    other = rows.clone()
    other[1, 5] = (other[1, 5] + 1) % 50
    assert not torch.allclose(
        network.states(other.clamp(min=0), rows != NO_TOKEN)[1, 0], states[1, 0]
    )


def test_no_tokens_are_a_row_of_zeros_and_no_nan():
    network = SmallTransformer(SMALL)
    rows = tokens(0, 4).requires_grad_(False)
    features = network(rows)
    assert features[0].abs().max() == 0 and bool(torch.isfinite(features).all())
    features.sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in network.parameters())


def test_a_block_is_pre_norm_attention_as_pytorch_has_it():
    torch.manual_seed(0)
    ours = SmallTransformer(SMALL).blocks[0].double()
    theirs = nn.TransformerEncoderLayer(
        128, 2, 512, 0.0, "gelu", batch_first=True, norm_first=True
    ).double()
    for our_own, name in ((ours.qkv, "in_proj_"), (ours.out, "out_proj.")):
        for part in ("weight", "bias"):
            dict(theirs.self_attn.named_parameters())[name + part].data.copy_(
                getattr(our_own, part).data
            )
    for our_own, other in ((ours.mlp[0], theirs.linear1), (ours.mlp[2], theirs.linear2)):
        other.load_state_dict(our_own.state_dict())
    states, there = torch.randn(3, 7, 128, dtype=torch.float64), torch.rand(3, 7) < 0.7
    there[:, 0] = True
    expected = theirs(states, src_key_padding_mask=~there)
    torch.testing.assert_close(ours(states, there)[there], expected[there])


def test_the_step_is_clips_loss_at_the_learned_scale():
    rule = method("clip")
    nets = nets_of(rule)
    rows = rule.embed(nets, loader(rule).batch(0), progress())
    torch.testing.assert_close(rows["image"].norm(dim=1), torch.ones(8))
    step = rule.compute_loss(nets, rows, progress())
    logits = rows["image"] @ rows["text"].T / 0.07
    expected = (
        F.cross_entropy(logits, torch.arange(8)) + F.cross_entropy(logits.T, torch.arange(8))
    ) / 2
    assert step.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert step.metrics["scale"].item() == pytest.approx(1 / 0.07, rel=1e-5)


@pytest.mark.parametrize("targets", ["all", "cross", "transport"])
def test_distillation_mixes_what_the_data_name_with_what_the_teacher_believes(targets):
    rule = dataclasses.replace(method("clip-distill"), targets=targets, hard=0.3, sharpness=20.0)
    nets = nets_of(rule)
    for p in nets.teacher.parameters():  # else it agrees with its student
        nn.init.normal_(p, std=0.3)
    rows = rule.embed(nets, loader(rule).batch(0), progress())
    v, t = rows["teacher image"], rows["teacher text"]
    assert not v.requires_grad and not t.requires_grad and not torch.allclose(v, rows["image"])
    believed = {
        "all": lambda: pair_targets(v, t, 20.0, 1, 1), "cross": lambda: pair_targets(v, t, 20.0, 0, 0),
        "transport": lambda: optimal_transport_targets(v, t),
    }[targets]()  # fmt: skip
    named = clip_loss(rows["image"], rows["text"], nets.scale())
    taught = pair_divergence(rows["image"], rows["text"], *believed, nets.soft_scale())
    assert taught.item() > 0.01
    found = rule.compute_loss(nets, rows, progress()).loss
    assert found.item() == pytest.approx((0.3 * named + 0.7 * taught).item(), rel=1e-6)


def test_the_teacher_sees_what_the_student_sees_and_follows_it():
    rule = method("clip-distill")
    nets = nets_of(rule)
    rows = rule.embed(nets, loader(rule).batch(0), progress())
    torch.testing.assert_close(rows["teacher image"], rows["image"])
    torch.testing.assert_close(rows["teacher text"], rows["text"])
    before = {name: p.clone() for name, p in nets.teacher.named_parameters()}
    for p in (*nets.encoder.parameters(), *nets.space.parameters()):
        p.data.add_(1.0)
    rule.after_update(nets, None, progress(8))
    momentum = 9 / 18
    for name, p in nets.teacher.named_parameters():
        torch.testing.assert_close(p, before[name] + (1 - momentum))


def test_scales_stay_between_1_and_100():
    scale = LearnedScale(99.0)
    scale.log.data += 1
    scale.bound()
    assert scale().item() == pytest.approx(100, rel=1e-5)
    scale().backward()
    assert scale.log.grad.item() == pytest.approx(100, rel=1e-5)
    scale.log.data -= 9
    scale.bound()
    assert scale().item() == 1
    rule = method("clip-distill")
    nets = nets_of(rule)
    for each in (nets.scale, nets.soft_scale):
        each.log.data.fill_(9.0)
    rule.after_update(nets, None, progress())
    assert nets.scale().item() == nets.soft_scale().item() == pytest.approx(100, rel=1e-5)


def test_over_the_steps_every_caption_of_an_image_is_shown():
    rule = method("clip")
    batch, seen = batch_of(rule), set()
    for at in range(40):
        _, caption = rule.view_and_caption(batch, progress(at))
        seen.add(tuple(caption[0].tolist()))
    there = batch.modalities["captions"][0]
    assert seen == {tuple(row.tolist()) for row in there if row[0] != NO_TOKEN}
    assert len(seen) > 1


def test_a_captioned_view_changes_neither_colours_nor_sides():
    policy = mild_crop()
    assert (policy.flip, policy.jitter, policy.grey, policy.blur) == (0, 0, 0, 0)


def test_learning_makes_pairs_find_each_other():
    rule, seen = method("clip"), []
    nets, batches = nets_of(rule), loader(rule)
    for steps in (0, 30):
        take_steps(rule, nets, batches, steps)
        seen.append(rule.step(nets, batches.batch(0), progress()).loss.item())
    assert seen[1] < seen[0] - 0.1


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(LikewiseError, match="hard=2"):
        dataclasses.replace(method("clip-distill"), hard=2)
    assert CLIP.card.recipe == Recipe("adamw", learning_rate=1e-3, weight_decay=0.1)
