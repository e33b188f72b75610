"""What each adaptation lets learn: LoRA's exact merge, last blocks, and rates by layer."""

import copy
import itertools

import pytest
import torch
from torch import nn

from adaptation.coloured import encoder_of
from likewise.adaptation.adaptation import Adaptation
from likewise.adaptation.learning_parameters import (
    apply_adaptation,
    blocks_of,
    learning_rate_scales,
)
from likewise.adaptation.lora import add_lora, merge_lora
from likewise.encoders import ModuleEncoder
from likewise.errors import LikewiseError
from likewise.methods.recipe import Recipe
from likewise.training.optimizers import build_optimizer

ENCODERS = ("conv4", "timm/tf_efficientnet_lite0", "timm/resnet18", "timm/vit_tiny_patch16_224")
PIXELS = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("text", ["frozen", "lora", "lora:4", "last:3", "full", "full:0.75"])
def test_an_adaptation_is_read_from_its_name(text):
    assert str(Adaptation.parse(text)) == text
    assert Adaptation.parse(Adaptation.parse(text)) == Adaptation.parse(text)


@pytest.mark.parametrize(
    "text", ["last", "last:0", "lora:x", "lora:0", "full:2", "ful", "frozen:1"]
)
def test_other_names_are_refused_with_what_is_allowed(text):
    with pytest.raises(LikewiseError, match="llowed"):
        Adaptation.parse(text)


@pytest.mark.parametrize("name", ENCODERS)
def test_lora_starts_as_the_encoder_and_merges_into_its_own_tensors(name):
    plain = encoder_of(name)
    adapted = copy.deepcopy(plain)
    add_lora(adapted, rank=2, alpha=2)
    learned = {key for key, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert learned and all("lora_" in key for key in learned)
    with torch.no_grad():
        assert torch.allclose(adapted(PIXELS), plain(PIXELS), atol=1e-5)
        for key, parameter in adapted.named_parameters():
            if "lora_B" in key:
                nn.init.normal_(parameter, std=0.02)
        moved = adapted(PIXELS)
        merge_lora(adapted)
        assert list(adapted.state_dict()) == list(plain.state_dict())
        assert not torch.allclose(moved, plain(PIXELS), atol=1e-3)
        assert torch.allclose(adapted(PIXELS), moved, atol=1e-4)


def test_every_low_rank_factor_takes_part_in_a_step():
    encoder = encoder_of("timm/tf_efficientnet_lite0")
    add_lora(encoder, rank=2, alpha=2)
    encoder(PIXELS).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters() if p.requires_grad)


def test_lora_leaves_depthwise_convolutions_and_needs_a_layer():
    encoder = encoder_of("timm/tf_efficientnet_lite0")
    add_lora(encoder, rank=2, alpha=2)
    assert all(
        part.groups == 1
        for part in encoder.modules()
        if hasattr(part, "lora_A") and hasattr(part, "groups")
    )
    with pytest.raises(LikewiseError, match="full"):
        add_lora(ModuleEncoder(nn.Flatten(), 4, (0.0,), (1.0,)), rank=2, alpha=2)


def test_the_last_blocks_learn_with_what_follows_them():
    encoder = encoder_of("timm/tf_efficientnet_lite0")
    apply_adaptation(encoder, Adaptation.parse("last:2"))
    learned = {key.split(".")[1] for key, p in encoder.named_parameters() if p.requires_grad}
    assert learned == {"blocks", "conv_head", "bn2"}
    numbers = {
        key.split(".")[2]
        for key, p in encoder.named_parameters()
        if p.requires_grad and ".blocks." in key
    }
    assert numbers == {"5", "6"}


@pytest.mark.parametrize(
    ("name", "blocks"), [("conv4", 4), ("timm/resnet18", 4), ("timm/vit_tiny_patch16_224", 12)]
)
def test_too_many_blocks_are_refused_with_how_many_there_are(name, blocks):
    encoder = encoder_of(name)
    assert len(blocks_of(encoder)) == blocks
    with pytest.raises(LikewiseError, match=str(blocks)):
        apply_adaptation(encoder, Adaptation("last", blocks=blocks + 1))


def test_an_encoder_without_blocks_is_told_what_to_choose():
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(LikewiseError, match="lora"):
        blocks_of(ModuleEncoder(pooled, 32, (0.5,) * 3, (0.5,) * 3))


def test_rates_fall_by_the_decay_from_layer_to_layer():
    encoder = encoder_of("timm/vit_tiny_patch16_224")
    scales = learning_rate_scales(encoder, 0.5)
    of_block = [scales[f"network.blocks.{number}.attn.qkv.weight"] for number in range(12)]
    assert all(
        later == pytest.approx(2 * earlier) for earlier, later in itertools.pairwise(of_block)
    )
    assert scales["network.pos_embed"] < of_block[0] and of_block[-1] < 1
    small = learning_rate_scales(encoder_of("conv4"), 0.5)
    assert [small[f"blocks.{number}.0.weight"] for number in range(4)] == [
        1 / 16,
        1 / 8,
        1 / 4,
        1 / 2,
    ]


def test_the_optimiser_has_a_group_for_each_rate_and_every_parameter_once():
    encoder = encoder_of("conv4")
    scales = learning_rate_scales(encoder, 0.5)
    optimizer = build_optimizer(Recipe("adamw", weight_decay=0.1), encoder, 256, scales)
    by_parameter = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(by_parameter) == len(list(encoder.parameters()))
    for name, parameter in encoder.named_parameters():
        assert by_parameter[id(parameter)]["lr_scale"] == scales[name]
        assert by_parameter[id(parameter)]["weight_decay"] == (0.1 if parameter.dim() > 1 else 0)
