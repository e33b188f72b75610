"""Two gloo processes that have each half of a transformer's weights learn what one process learns, and resume it."""

import shutil
from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric
from timm.models.convnext import ConvNeXt
from timm.models.resnet import BasicBlock, ResNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torchvision.models import VisionTransformer as OfTorchvision

from likewise.data.batch import UNLABELLED
from likewise.data.loader import Loader
from likewise.data.samplers import shuffled
from likewise.encoders import Encoder
from likewise.encoders.from_timm import TimmEncoder
from likewise.errors import LikewiseError
from likewise.heads import mlp
from likewise.methods import Nets, Recipe
from likewise.run_folder import RunFolder
from likewise.runs.setting_checks import FULLY_SHARDED, check_fully_sharded
from likewise.runs.settings import TrainSettings
from likewise.training import Callback, LoopSettings, train
from likewise.training.batch_norm.over_ranks import synchronise_batch_norm
from likewise.training.fully_sharded import own_part, sharding_strategy, whole_tensor
from likewise.training.launch import launch
from methods.fixtures import ALL, CLASSES, SIZE, images, method, modalities
from ranks import become_rank, needs_gloo, results_of_ranks

pytestmark = [needs_gloo, pytest.mark.long]

STEPS, IMAGES = 4, 48
SGD = Recipe("sgd", 0.2)
SPECIAL = {
    # No batch norm makes a gradient zero, which AdamW would enlarge.
    "adamw": ("supcon", Recipe("adamw", 0.02), {}),
    "lars": ("suncet", Recipe("lars", 0.2), {}),
    "clipped average": ("byol", SGD, {"clip_grad_norm": 0.1, "model_ema_decay": 0.5}),
    "checkpointed": ("byol", SGD, {"activation_checkpointing": True}),
    "accumulated": ("suncet", SGD, {"accumulate_grad_batches": 2}),
}
CASES = {name: (name, SGD, {}) for name in FULLY_SHARDED} | SPECIAL
RESUMED = ("moco-v2", "suncet", "adamw", "clipped average")
RESUMED_TOO = ("lars",)
MAIN = ("supcon", "byol", "checkpointed", "accumulated", *RESUMED)
BFLOAT16 = ("supcon", "moco-v2")
FEW = ("supcon", "suncet", "cross-entropy")
"""Cases whose labels are those of one process in each step."""
OTHERS = [case for case in CASES if case not in MAIN]


def labels_of_one_rank(batch_size, ranks):
    """In each step another process has labels, and the others have none."""
    labels = torch.full((IMAGES,), UNLABELLED)
    for step in range(STEPS - 1):  # after which the images come again
        of_ranks = shuffled(IMAGES, batch_size, 5, step).view(ranks, -1)
        own = of_ranks[step % ranks]
        labels[own] = (torch.arange(len(own)) + step) % CLASSES
    return labels


class OwnTransformer(nn.Module):
    """As a user may write it: the list of its blocks has a name of its own."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.every_layer = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True) for _ in range(3)
        )

    def forward(self, pixels):
        tokens = self.patches(pixels).flatten(2).transpose(1, 2)
        for layer in self.every_layer:
            tokens = layer(tokens)
        return tokens.mean(1)


class UsesABlocksWeights(VisionTransformer):
    """Not by a call of the block."""

    def forward_features(self, pixels):
        return super().forward_features(pixels) * self.blocks[0].mlp.fc1.weight.sum()


class TiedWeights(OwnTransformer):
    """Two blocks share a matrix."""

    def __init__(self):
        super().__init__()
        first, _, last = self.every_layer
        last.linear1.weight = first.linear1.weight


NETWORKS = {
    "ViT": lambda: VisionTransformer(32, 8, num_classes=0, embed_dim=16, depth=3, num_heads=2),
    "ViT of torchvision": lambda: OfTorchvision(32, 8, 3, 2, 16, 32),
    "ConvNeXt": lambda: ConvNeXt(depths=(1, 2, 1, 1), dims=(8, 8, 8, 8), num_classes=0),
    "Swin": lambda: SwinTransformer(
        32, 2, depths=(1, 2), num_heads=(1, 1), embed_dim=8, window_size=4, drop_path_rate=0.0
    ),
    "ResNet": lambda: ResNet(BasicBlock, (1, 2, 1, 1), num_classes=0, channels=(8, 8, 8, 8)),
    "own": OwnTransformer,
    "tied": TiedWeights,
    "head": lambda: synchronise_batch_norm(nn.Sequential(nn.Flatten(), mlp(3 * 32**2, 8, 4))),
}
BLOCKS = {
    "ViT": 3,
    "ViT of torchvision": 3,
    "ConvNeXt": 9,
    "Swin": 5,
    "ResNet": 5,
    "own": 3,
    "tied": 1,
    "head": 0,
}
"""How many parts of a network are cut by themselves: blocks, and stages that hold blocks."""


class Alone(nn.Module):
    """A network as the loop's learner holds it."""

    def __init__(self, network):
        super().__init__()
        self.nets = Nets(encoder=network)

    def forward(self, pixels):
        return self.nets.encoder(pixels).square().mean()


def gradients_of_network(name, fabric=None):
    """How many parts were cut by themselves, and the gradients of all parameters."""
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()  # whose batch normalisation does not depend on the batch
    learner = Alone(network)
    if fabric is not None:
        learner = fabric.setup_module(learner)
    learner(torch.rand(4, 3, 32, 32)).backward()
    cut = [module for module in network.modules() if isinstance(module, FSDPModule)]
    gradients = {
        key: each.grad for key, each in network.named_parameters() if each.grad is not None
    }
    return len(cut) - 1, {key: whole_tensor(each) for key, each in gradients.items()}


class Stop(Callback):
    """Ends training early, and notes how much of the weights this process has."""

    def __init__(self, after):
        self.after, self.share = after, None

    def on_step(self, state):
        if state.step == self.after:
            state.stop("the test wants it")
        groups = state.optimizer.param_groups
        learned = [parameter for group in groups for parameter in group["params"]]
        self.share = sum(own_part(each).numel() for each in learned) / sum(
            each.numel() for each in learned
        )


def trained(
    case,
    devices=1,
    folder=None,
    stop_after=None,
    microbatch=None,
    precision="32-true",
    dtypes=None,
    batch_size=16,
    labels=None,
    network=None,
):
    """What the caller's networks hold after some steps in float64, or in float32 and bfloat16.

    ``dtypes`` gets those of a layer's weights at its use.
    """
    name, recipe, settings = CASES[case]
    rule = method(name)
    if hasattr(rule, "supervised_until"):  # the support ends half-way
        rule = replace(rule, supervised_until=0.5)
    strategy = "auto" if devices == 1 else sharding_strategy(devices, precision)
    fabric = Fabric(accelerator="cpu", strategy=strategy, devices=devices, precision=precision)
    fabric.launch()
    torch.manual_seed(0)
    network = network or VisionTransformer(
        SIZE, 4, 1, num_classes=0, embed_dim=16, depth=2, num_heads=2
    )
    nets = rule.build(TimmEncoder(network, "vit", (0.4,), (0.3,)), CLASSES)
    seen = set() if dtypes is None else dtypes
    layer = network.blocks[0].mlp.fc1
    layer.register_forward_pre_hook(lambda used, _: seen.add(used.weight.dtype))
    if devices > 1:
        synchronise_batch_norm(nets)
    if precision == "32-true":
        nets.double()
        for encoder in [module for module in nets.modules() if isinstance(module, Encoder)]:
            encoder.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    if hasattr(rule, "images_per_class"):  # a support of 12 is cut in two, or in three
        rule = replace(rule, images_per_class=3)
    labels = torch.arange(IMAGES) % CLASSES if labels is None else labels
    loader = Loader(
        images(IMAGES),
        labels,
        batch_size,
        5,
        rule.support,
        0,
        fabric.global_rank,
        devices,
        modalities(rule, IMAGES),
    )
    steps = STEPS if case in RESUMED + RESUMED_TOO else STEPS // 2
    plan = LoopSettings(
        steps, seed=4, log_every=1, eval_every=2, save_every=2, microbatch=microbatch, **settings
    )
    callback = Stop(stop_after)
    scored = []
    observe = (
        (lambda nets: scored.append(nets.encoder.training) or {}) if fabric.is_global_zero else None
    )
    run = None if folder is None else RunFolder(folder)
    train(fabric, rule, nets, loader, recipe, plan, run, observe, None, [callback])
    assert set(scored) <= {False}
    return {key: value.clone() for key, value in nets.state_dict().items()}, callback.share


def refusal():
    """What is said of a network that uses what only a block may use."""
    network = UsesABlocksWeights(SIZE, 4, 1, num_classes=0, embed_dim=16, depth=2, num_heads=2)
    with pytest.raises(LikewiseError) as raised:
        trained("simclr", 2, network=network)
    return str(raised.value)


def one_of_two(at, port, folder, cases, results):
    become_rank(at, port)
    found = {}
    for case in cases:
        found[case] = trained(case, 2)
    for case in BFLOAT16 if cases == MAIN else cases:
        dtypes = set()
        weights, _ = trained(case, 2, precision="bf16-mixed", dtypes=dtypes)
        found[f"{case}, bfloat16"] = weights, dtypes
    for case in RESUMED if cases == MAIN else RESUMED_TOO:
        parts = folder / f"parts of {case}"
        trained(case, 2, parts, stop_after=2)
        if at == 0:
            shutil.copytree(parts, folder / f"stopped {case}")
        found[f"{case}, resumed"] = trained(case, 2, parts)
    if cases == MAIN:
        found["moved here"] = trained("suncet", 2, folder / "one process")
        found["microbatches"] = trained("byol", 2, microbatch=4)
        found["checkpointed microbatches"] = trained("checkpointed", 2, microbatch=4)
        for case in FEW:
            found[f"{case}, few labels"] = trained(case, 2, labels=labels_of_one_rank(16, 2))
        fabric = Fabric(accelerator="cpu", strategy=sharding_strategy(2), devices=2)
        fabric.launch()
        for name in NETWORKS:
            found[name] = gradients_of_network(name, fabric)
        found["refused"] = refusal()
    results[at] = found
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("runs")
    for name in [*(f"parts of {case}" for case in RESUMED + RESUMED_TOO), "one process"]:
        (made / name / "checkpoints").mkdir(parents=True)
    return made


@pytest.fixture(scope="module")
def two_processes(folder):
    trained("suncet", 1, folder / "one process", stop_after=2)
    return results_of_ranks(one_of_two, 2, folder, MAIN)


@pytest.fixture(scope="module")
def two_more_processes(folder):
    return results_of_ranks(one_of_two, 2, folder, OTHERS)


def assert_close(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(
            ours[name], value, rtol=1e-9, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}"
        )


@pytest.mark.parametrize("case", MAIN)
def test_half_of_the_weights_each_learns_what_one_process_learns(case, two_processes):
    assert_learned(case, two_processes)


@pytest.mark.slow
@pytest.mark.parametrize("case", OTHERS)
def test_so_do_the_other_methods(case, two_more_processes):
    assert_learned(case, two_more_processes)


def assert_learned(case, found):
    wanted, all_of_it = trained(case)
    assert all_of_it == 1
    for at in (0, 1):
        weights, share = found[at][case]
        assert_close(weights, wanted)
        assert 0.3 < share < 0.7


@pytest.mark.parametrize("case", FEW)
def test_labels_of_one_process_alone_teach_all(case, two_processes):
    wanted, _ = trained(case, labels=labels_of_one_rank(16, 2))
    assert_close(two_processes[1][f"{case}, few labels"][0], wanted)


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_are_cut_one_by_one(name, two_processes):
    blocks, gradients = two_processes[0][name]
    assert blocks == BLOCKS[name]
    _, wanted = gradients_of_network(name)
    assert gradients.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(gradients[key], value)


def test_a_block_whose_weights_are_used_outside_it_is_refused(two_processes):
    assert "--strategy" in two_processes[1]["refused"]


@pytest.mark.parametrize("case", RESUMED)
def test_a_resumed_run_is_the_one_that_never_stopped_to_the_bit(case, two_processes):
    assert_resumed(case, two_processes)


def assert_resumed(case, found):
    weights, resumed = found[0][case][0], found[0][f"{case}, resumed"][0]
    assert [name for name in weights if not torch.equal(weights[name], resumed[name])] == []


@pytest.mark.slow
@pytest.mark.parametrize("case", RESUMED_TOO)
def test_so_it_is_with_another_optimizer(case, two_more_processes, folder):
    assert_resumed(case, two_more_processes)
    assert_close(trained(case, 1, folder / f"stopped {case}")[0], trained(case)[0])


@pytest.mark.parametrize("case", ["suncet", "adamw", "clipped average"])
def test_a_checkpoint_goes_on_in_one_process(case, two_processes, folder):
    assert_close(trained(case, 1, folder / f"stopped {case}")[0], trained(case)[0])


def test_a_checkpoint_of_one_process_goes_on_in_two(two_processes):
    assert_close(two_processes[0]["moved here"][0], trained("suncet")[0])


@pytest.mark.parametrize("found", ["microbatches", "checkpointed microbatches"])
def test_microbatches_are_of_the_whole_batch(found, two_processes):
    assert_close(two_processes[0][found][0], trained("byol", microbatch=8)[0])


def test_blocks_that_are_computed_again_learn_the_same(two_processes):
    assert_close(two_processes[0]["checkpointed"][0], trained("byol")[0])


@pytest.mark.parametrize("case", BFLOAT16)
def test_weights_are_gathered_in_the_precision_of_the_run(case, two_processes):
    weights, dtypes = two_processes[0][f"{case}, bfloat16"]
    assert dtypes == {torch.bfloat16}
    by_rounding = distance(trained(case, precision="bf16-mixed")[0], trained(case)[0])
    assert 0 < distance(weights, trained(case)[0]) < 4 * by_rounding < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("case", OTHERS)
def test_those_of_the_other_methods_too(case, two_more_processes):
    weights, dtypes = two_more_processes[0][f"{case}, bfloat16"]
    assert dtypes == {torch.bfloat16}
    assert all(value.isfinite().all() for value in weights.values())


def distance(one, other):
    """Of all weights."""
    return sum(float((one[name] - other[name]).double().square().sum()) for name in one) ** 0.5


def test_what_cannot_be_cut_is_refused_by_name():
    for name in set(ALL) - set(FULLY_SHARDED):
        with pytest.raises(LikewiseError, match=name):
            check_fully_sharded(TrainSettings(), method(name))
    for settings in (
        {"compile": "on"},
        {"precision": "16"},
        {"microbatch": "auto"},
        {"adapt": "lora:4"},
        {"on_collapse": "stop"},
    ):
        (option,) = settings
        with pytest.raises(LikewiseError, match=f"--{option.replace('_', '-')}"):
            check_fully_sharded(TrainSettings(**settings), method("simclr"))
    check_fully_sharded(TrainSettings(), method("simclr"))
    with pytest.raises(LikewiseError, match="--devices"):
        launch("cpu", 1, strategy="fsdp")
