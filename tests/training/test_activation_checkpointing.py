"""Blocks that are computed again in the backward pass: the same networks to the bit, with less memory."""

import copy
import pickle

import pytest
import timm
import torch
from lightning_fabric import Fabric
from timm.models.convnext import ConvNeXt
from timm.models.resnet import BasicBlock, ResNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision import models

import likewise as lw
from likewise.data.loader import Loader
from likewise.encoders.from_timm import TimmEncoder
from likewise.errors import LikewiseError
from likewise.methods import Recipe
from likewise.training import LoopSettings, train
from likewise.training.activation_checkpointing import activation_checkpointing, checkpointed_blocks
from likewise.training.batch_norm.over_ranks import synchronise_batch_norm
from likewise.training.blocks import outer_blocks
from methods.fixtures import CLASSES, SIZE, images, method, modalities
from training.saved_tensors import saved_bytes

STEPS, IMAGES, BATCH = 3, 32, 16
WIDTH, DEPTH, TOKENS = 16, 3, (SIZE // 4) ** 2 + 1


def transformer():
    """With every kind of dropout."""
    rates = {"proj_drop_rate": 0.2, "attn_drop_rate": 0.2, "drop_path_rate": 0.3}
    return VisionTransformer(
        SIZE, 4, 1, num_classes=0, embed_dim=WIDTH, depth=DEPTH, num_heads=2, **rates
    )


def residual():
    """With batch normalisation."""
    return ResNet(
        BasicBlock, (2, 1, 1, 1), 0, 1, channels=(8, 8, 8, 8), drop_path_rate=0.3, drop_rate=0.2
    )


NETWORKS = {"ViT": transformer, "ResNet": residual}


def encoder_of(name):
    torch.manual_seed(0)
    return TimmEncoder(NETWORKS[name](), name, (0.4,), (0.3,))


def trained(
    name, network, checkpointing, microbatch=None, precision="32-true", devices=1, folder=None
):
    """Weights and buffers after some steps of the loop."""
    rule = method(name)
    strategy = "ddp" if devices > 1 else "auto"
    fabric = Fabric(accelerator="cpu", devices=devices, strategy=strategy, precision=precision)
    fabric.launch()
    nets = rule.build(encoder_of(network), CLASSES)
    if devices > 1:
        synchronise_batch_norm(nets)
    labels = torch.arange(IMAGES) % CLASSES
    batches = Loader(
        images(IMAGES),
        labels,
        BATCH,
        5,
        rule.support,
        0,
        fabric.global_rank,
        devices,
        modalities(rule, IMAGES),
    )
    plan = LoopSettings(
        STEPS, seed=4, microbatch=microbatch, activation_checkpointing=checkpointing
    )
    train(fabric, rule, nets, batches, Recipe("sgd", 0.2), plan, folder)
    return {key: value.clone() for key, value in nets.state_dict().items()}


def differing(found, wanted):
    """Names of tensors that differ in any bit."""
    assert found.keys() == wanted.keys()
    return [key for key, value in wanted.items() if not torch.equal(found[key], value)]


@pytest.mark.parametrize(
    ("name", "microbatch"), [("simclr", None), ("byol", None), ("suncet", 4), ("byol", 4)]
)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_networks_are_those_without_it_to_the_bit(network, name, microbatch):
    plain = trained(name, network, False, microbatch)
    assert differing(trained(name, network, True, microbatch), plain) == []


def test_so_they_are_in_mixed_precision():
    plain, found = (trained("supcon", "ViT", on, precision="bf16-mixed") for on in (False, True))
    assert differing(found, plain) == []


def test_what_is_kept_are_the_inputs_of_blocks():
    encoder = encoder_of("ViT").eval()  # without dropout, so that one formula holds
    pixels = torch.rand(5, 1, SIZE, SIZE)
    whole, _ = saved_bytes(lambda: encoder(pixels), but=encoder)
    with activation_checkpointing(encoder):
        kept, made = saved_bytes(lambda: encoder(pixels), but=encoder)
        made.sum().backward()
    stream = 4 * 5 * TOKENS * WIDTH
    pixels_and_last_norm = 4 * (pixels.numel() + 5 * TOKENS * (WIDTH + 2))
    assert kept == DEPTH * stream + pixels_and_last_norm
    assert kept < whole / 4


def test_a_block_is_computed_twice_with_gradient_and_once_without():
    encoder = encoder_of("ResNet").train()
    calls = []
    encoder.network.layer1[0].conv1.register_forward_hook(lambda *_: calls.append(1))
    pixels = torch.rand(2, 1, SIZE, SIZE)
    with activation_checkpointing(encoder):
        encoder(pixels).sum().backward()
        assert len(calls) == 2
        with torch.no_grad():
            encoder(pixels)
        assert len(calls) == 3


def test_hooks_of_a_block_are_called_once():
    encoder = encoder_of("ViT").train()
    calls = []
    encoder.network.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    with activation_checkpointing(encoder):
        encoder(torch.rand(2, 1, SIZE, SIZE)).sum().backward()
    assert len(calls) == 1


BLOCKS = {
    "ViT": (transformer, 3),
    "ViT of torchvision": (lambda: models.VisionTransformer(32, 8, 3, 2, 16, 32), 3),
    "ConvNeXt": (lambda: ConvNeXt(depths=(1, 2, 1, 1), dims=(8, 8, 8, 8), num_classes=0), 5),
    "Swin": (lambda: SwinTransformer(32, 2, depths=(1, 2), num_heads=(1, 1), embed_dim=8), 3),
    "ResNet": (residual, 5),
    "inverted residual blocks of torchvision": (models.efficientnet_b0, 16),
    "inverted residual blocks": (lambda: timm.create_model("efficientnet_b0"), 16),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_taken_whole_and_stages_are_not(name):
    build, count = BLOCKS[name]
    with torch.device("meta"):
        network = build()
    blocks = outer_blocks(network)
    assert len(blocks) == count
    inside = [module for block in blocks for module in block.modules()]
    assert len(set(inside)) == len(inside)


def test_both_encoders_of_clip_have_blocks():
    rule = method("clip")
    nets = rule.build(encoder_of("ViT"), CLASSES)
    texts = outer_blocks(nets.space.text)
    assert set(checkpointed_blocks(nets)) == {*nets.encoder.network.blocks, *texts}
    assert texts


def test_the_forwards_are_put_back_and_copies_have_their_own():
    encoder = encoder_of("ViT")
    names = list(encoder.state_dict())
    block, other = encoder.network.blocks[:2]
    other.forward = before = other.forward  # as of a layer that has another for a while
    with pytest.raises(KeyError), activation_checkpointing(encoder):
        assert list(encoder.state_dict()) == names
        for twin in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
            assert twin.forward.__func__ is type(block).forward
            assert twin.forward.__self__ is twin
        raise KeyError
    assert "forward" not in vars(block)
    assert vars(other)["forward"] is before


@pytest.mark.slow
def test_compiled_encoders_keep_less_and_move_statistics_once():
    encoder = encoder_of("ResNet").train()
    plain, pixels = copy.deepcopy(encoder), torch.rand(32, 1, SIZE, SIZE)
    for each in (encoder, plain):
        each.compile(backend="aot_eager_decomp_partition", fullgraph=True)
    whole, _ = saved_bytes(lambda: plain(pixels), but=plain)
    with activation_checkpointing(encoder):
        kept, made = saved_bytes(lambda: encoder(pixels), but=encoder)
        made.sum().backward()
    assert kept < 0.9 * whole
    counts = [b for name, b in encoder.named_buffers() if name.endswith("num_batches_tracked")]
    assert {int(count) for count in counts} == {1}


def one_step(**settings):
    """How often a layer inside a block is called."""
    rule = method("simclr")
    nets = rule.build(encoder_of("ViT"), CLASSES)
    calls = []
    nets.encoder.network.blocks[0].norm1.register_forward_hook(lambda *_: calls.append(1))
    batches = Loader(images(IMAGES), torch.zeros(IMAGES).long(), BATCH, 5)
    fabric = Fabric(accelerator="cpu", devices=1)
    train(fabric, rule, nets, batches, Recipe("sgd", 0.2), LoopSettings(1, **settings))
    return len(calls)


def test_the_loop_computes_blocks_again_as_long_as_it_trains():
    once, again = one_step(), one_step(activation_checkpointing=True)
    assert again == 2 * once > 0


def test_no_cuda_graph_is_captured():
    with pytest.raises(LikewiseError, match=r"--cuda-graph on.*checkpointing"):
        one_step(cuda_graph="on", activation_checkpointing=True)


DATA = images(IMAGES).pixels.images.movedim(1, -1).numpy(), [0, 1] * (IMAGES // 2)
RUN = dict(method="simclr", steps=4, batch_size=8, num_evals=0, save_every=2, device="cpu")


def test_an_encoder_without_blocks_is_refused(tmp_path):
    with pytest.raises(LikewiseError, match=r"--activation-checkpointing.*conv4"):
        lw.train(DATA, encoder="conv4", activation_checkpointing=True, out=tmp_path / "run", **RUN)
    assert not (tmp_path / "run").exists()


class Stop(lw.Callback):
    """After two steps."""

    def on_step(self, state):
        if state.step == 2:
            state.stop("the test wants it")


@pytest.mark.parametrize("first", [True, False])
def test_a_run_with_it_goes_on_without_it_and_the_other_way_round(tmp_path, first):
    plain = lw.train(DATA, encoder=Own(), out=tmp_path / "plain", **RUN)
    parts = dict(encoder=Own(), out=tmp_path / "parts", **RUN)
    lw.train(DATA, activation_checkpointing=first, callbacks=[Stop()], **parts)
    resumed = lw.train(DATA, activation_checkpointing=not first, resume=True, **parts)
    ends = [torch.load(r.folder.checkpoint, weights_only=False) for r in (plain, resumed)]
    assert differing(ends[1]["learner"], ends[0]["learner"]) == []


class Own(nn.Module):
    """A user's network."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = transformer()

    def forward(self, pixels):
        return self.network(pixels)
