"""Batch normalisation by kernels against PyTorch's layers in float64, and that networks keep all else.

On a machine with a GPU the kernels are compiled. Elsewhere Triton's interpreter runs them, in a process of its own.
"""

import copy
import pickle

import pytest
import torch
from lightning_fabric import Fabric
from timm.layers.norm_act import BatchNormAct2d
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn
from torchvision.models import resnet as torchvision_resnet

import likewise
from likewise.encoders import EncoderSettings, build_encoder
from likewise.gpu_kernels import kernels
from likewise.methods import Recipe
from likewise.runs import train_run
from likewise.training import LoopSettings, train
from likewise.training.batch_norm import fused_batch_norm, launches, networks
from likewise.training.batch_norm.fused import fused, serves
from likewise.training.batch_norm.launches import Tiling
from losses.kernels import (
    DEVICE,
    INTERPRETED,
    Counted,
    beside,
    compiled_for_a_gpu_that_is_not_here,
    needs_triton,
    on_kernels,
)
from losses.launches import Launches
from methods.fixtures import loader, method, nets_of

SMALL = Tiling(columns=16, numbers=64, programs=64, shares=4)
"""so that small maps are shared by several programs too"""

BIG = Tiling(columns=512, numbers=2**16)
"""so that the interpreter has few programs"""

KERNELS_FORWARD = ["statistics_kernel", "finish_statistics_kernel", "apply_kernel"]
KERNELS_BACKWARD = ["gradient_sums_kernel", "finish_gradient_sums_kernel", "input_gradient_kernel"]


def numbers(*shape, seed=0, dtype=torch.float32):
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    moved = drawn.to(DEVICE, dtype)
    return moved.contiguous(memory_format=torch.channels_last) if moved.dim() == 4 else moved


def layer(channels, seed=5):
    norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.3).to(DEVICE)
    with torch.no_grad():
        norm.weight.copy_(numbers(channels, seed=seed))
        norm.bias.copy_(numbers(channels, seed=seed + 1))
        norm.running_mean.copy_(numbers(channels, seed=seed + 2))
    return norm


def by_definition(x, norm, residual, relu):
    """Value, and the moving mean and variance, from the formulas alone, in float64."""
    x, shape = x.double(), (1, -1, 1, 1)
    mean = x.mean(dim=(0, 2, 3))
    apart = x - mean.view(shape)
    variance = apart.square().mean(dim=(0, 2, 3))
    deviation = (variance + norm.eps).sqrt().view(shape)
    y = apart / deviation * norm.weight.double().view(shape) + norm.bias.double().view(shape)
    if residual is not None:
        y = y + residual.double()
    y = y.clamp(min=0) if relu else y
    count = x.numel() / x.shape[1]
    unbiased = variance * count / (count - 1)
    moved = [
        0.7 * before.double() + 0.3 * now
        for before, now in ((norm.running_mean, mean), (norm.running_var, unbiased))
    ]
    return y, moved


FOLLOWED_BY = {"nothing": (False, False), "relu": (False, True), "sum and relu": (True, True)}
SHAPES = {
    "odd sizes": (3, 5, 4, 7),
    "several blocks of channels": (3, 35, 3, 3),
    "one pixel": (9, 16, 1, 1),
    "one channel": (2, 1, 3, 3),
    "one image": (1, 8, 2, 3),
    "two rows": (2, 3, 1, 1),
}
CLOSE = {torch.float32: 3e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}


@on_kernels
@pytest.mark.parametrize("follows", FOLLOWED_BY)
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        *((shape, torch.float32) for shape in SHAPES),
        ("odd sizes", torch.float16),
        ("odd sizes", torch.bfloat16),
    ],
)
def test_kernels_give_values_gradients_and_running_statistics(shape, dtype, follows):
    has_residual, relu = FOLLOWED_BY[follows]
    shape = SHAPES[shape]
    norm = layer(shape[1])
    x = (4 * numbers(*shape, dtype=dtype) + 7).requires_grad_()
    residual = numbers(*shape, seed=1, dtype=dtype).requires_grad_() if has_residual else None
    inputs = [each for each in (x, norm.weight, norm.bias, residual) if each is not None]
    expected, moved = by_definition(x, norm, residual, relu)
    grad = numbers(*shape, seed=2, dtype=dtype)
    wanted = torch.autograd.grad(expected, inputs, grad.double())

    assert serves(norm, x, residual)
    y = fused(norm, x, residual, relu, SMALL)
    found = torch.autograd.grad(y, inputs, grad)

    close = {"atol": CLOSE[dtype], "rtol": CLOSE[dtype]}
    assert y.dtype == dtype and y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y.double(), expected, **close)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other.double(), **close)
    for one, other in zip((norm.running_mean, norm.running_var), moved, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-5, rtol=1e-5)
    assert int(norm.num_batches_tracked) == 1


@on_kernels
def test_kernels_lose_no_digits_where_the_mean_is_far_from_zero():
    x = numbers(4, 6, 6, 6) + 3000
    norm = layer(6)
    expected, _ = by_definition(x, norm, None, False)
    torch.testing.assert_close(fused(norm, x, tiling=SMALL).double(), expected, atol=3e-3, rtol=0)


@on_kernels
def test_kernels_give_the_same_bits_twice():
    def once():
        norm = layer(20)
        x = numbers(3, 20, 3, 3).requires_grad_()
        y = fused(norm, x, None, True, SMALL)
        return [y, *torch.autograd.grad(y, [x, norm.weight], numbers(3, 20, 3, 3, seed=3))]

    assert all(torch.equal(one, other) for one, other in zip(once(), once(), strict=True))


@on_kernels
def test_kernels_pass_on_what_is_no_number():
    x, norm = numbers(2, 3, 4, 4), layer(3)
    x[0, 1] = torch.nan
    y = fused(norm, x, None, True, SMALL)
    assert y[:, 1].isnan().all() and y[:, [0, 2]].isfinite().all()


@on_kernels
@pytest.mark.parametrize("follows", FOLLOWED_BY)
def test_kernels_have_second_derivatives(follows):
    has_residual, relu = FOLLOWED_BY[follows]
    norm = layer(3)

    def gradient_of_gradient(normalise):
        x, residual = (numbers(3, 3, 2, 2, seed=seed).requires_grad_() for seed in range(2))
        y = normalise(x, residual if has_residual else None)
        inputs = [x, norm.weight, *([residual] if has_residual else [])]
        first = torch.autograd.grad((y + 1).pow(3).sum(), inputs, create_graph=True)
        return torch.autograd.grad(sum(each.pow(2).sum() for each in first), inputs)

    found = gradient_of_gradient(lambda x, residual: fused(norm, x, residual, relu, SMALL))
    wanted = gradient_of_gradient(lambda x, residual: by_definition(x, norm, residual, relu)[0])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other.double(), atol=0.05, rtol=1e-3)


def launched(work, monkeypatch):
    """Kernels of the layer that some work launches, in their order, and PyTorch's operations beside them."""
    names = []
    with monkeypatch.context() as patch:
        patch.setattr(launches, "kernels", lambda file: Counted(kernels(file), names))
        with Launches() as operations:
            work()
    return names, beside(operations)


@on_kernels
@pytest.mark.parametrize("follows", FOLLOWED_BY)
def test_kernels_are_three_forward_and_three_backward_and_the_host_never_waits(
    follows, monkeypatch
):
    has_residual, relu = FOLLOWED_BY[follows]
    norm, x, grad = layer(20), numbers(4, 20, 5, 5).requires_grad_(), numbers(4, 20, 5, 5)
    residual = grad if has_residual else None
    results = []
    of_forward = launched(lambda: results.append(fused(norm, x, residual, relu)), monkeypatch)
    of_backward = launched(lambda: results[0].backward(grad), monkeypatch)
    assert of_forward == (KERNELS_FORWARD, {})
    names, others = of_backward
    assert names == KERNELS_BACKWARD and set(others) <= {"aten.detach", "aten.clone"}


def timm_network(block=BasicBlock, **settings):
    """Two stages."""
    torch.manual_seed(0)
    net = ResNet(block, (1, 1, 1, 1), num_classes=3, channels=(8, 16, 8, 8), **settings)
    net.layer3 = net.layer4 = nn.Sequential()
    net.fc = nn.Linear(16 * block.expansion, 3)
    return ready(net)


def torchvision_network():
    """A basic block, and a bottleneck."""
    torch.manual_seed(0)
    net = torchvision_resnet.resnet18(num_classes=3)
    net.layer1 = nn.Sequential(net.layer1[0], torchvision_resnet.Bottleneck(64, 16))
    net.layer2 = net.layer3 = net.layer4 = nn.Sequential()
    net.fc = nn.Linear(64, 3)
    return ready(net)


def other_layers():
    """What stands in no residual block."""
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(count, 8, 3, padding=1) for count in (3, 8, 8, 8)]
    norms = [nn.BatchNorm2d(8), BatchNormAct2d(8), BatchNormAct2d(8, act_layer=nn.SiLU)]
    norms += [nn.BatchNorm2d(8)]
    pairs = zip(convolutions, norms, strict=True)
    return ready(nn.Sequential(*(part for pair in pairs for part in pair), nn.ReLU(inplace=True)))


def ready(net):
    """In training mode, with weights of normalisation that are neither zeros nor all the same."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return net.to(DEVICE, memory_format=torch.channels_last).train()


NETWORKS = {
    "timm, basic": timm_network,
    "timm, bottlenecks": lambda: timm_network(Bottleneck),
    "timm, deep stem and pooled shortcut": lambda: timm_network(
        stem_type="deep", stem_width=4, avg_down=True
    ),
    "torchvision": torchvision_network,
    "attention between": lambda: timm_network(block_args={"attn_layer": "se"}),
    "other layers": other_layers,
}

JOINED = {
    "timm, basic": 7,
    "timm, bottlenecks": 9,
    "timm, deep stem and pooled shortcut": 8,
    "torchvision": 1 + 2 + 3,
    "attention between": 7,
    "other layers": 4,
}
"""Calls of the kernels in a forward, each with what follows it."""


def one_activation_for_all():
    """Which `torch.nn.Module.children` lists once."""
    torch.manual_seed(0)
    relu, norm = nn.ReLU(), nn.BatchNorm2d(8)
    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
    return ready(nn.Sequential(first, norm, relu, second, norm, relu))


def another_forward():
    """Of one layer and one activation."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.BatchNorm2d(8), nn.ReLU()]
    layers[1].forward = lambda x: x + 1
    layers[4].forward = lambda x: 3 * x
    return ready(nn.Sequential(*layers))


class InputByName(nn.Module):
    """Calls its layers by the name of their argument."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        return self.norm(input=self.layers(input=x))


def input_by_name():
    torch.manual_seed(0)
    return ready(InputByName())


def without_a_bias():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    norm.bias = None
    return ready(nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.ReLU()))


UNUSUAL = (one_activation_for_all, another_forward, input_by_name, without_a_bias)


@on_kernels
@pytest.mark.parametrize("made", UNUSUAL)
def test_kernels_change_nothing_in_unusual_networks(made):
    net, other = made(), made()
    with fused_batch_norm(net, torch.device(DEVICE)):
        found = steps(net, 1)
    assert found == pytest.approx(steps(other, 1), rel=1e-4)
    assert_same_weights(net, other)


@on_kernels
def test_kernels_are_in_no_trace():
    net, images = timm_network(), numbers(3, 3, 8, 8)
    with fused_batch_norm(net, torch.device(DEVICE)):
        traced = torch.jit.trace(net, images, check_trace=False)
    torch.testing.assert_close(traced(images), net(images), atol=1e-4, rtol=1e-4)


@pytest.fixture
def calls(monkeypatch):
    """What followed the normalisation in each call of the kernels: the sum with a residual, and ReLU."""
    seen = []

    def watched(norm, x, residual=None, relu=False):
        seen.append((residual is not None, relu))
        return fused(norm, x, residual, relu, BIG if INTERPRETED else None)

    monkeypatch.setattr(networks, "fused", watched)
    if INTERPRETED:
        monkeypatch.setattr(launches, "MERGED", 512)
    return seen


def steps(net, count=2, rate=0.05):
    """Of SGD; returns the losses."""
    optimizer = torch.optim.SGD(net.parameters(), rate, momentum=0.9)
    losses = []
    for step in range(count):
        optimizer.zero_grad()
        loss = net(numbers(3, 3, 8, 8, seed=step)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def assert_same_weights(net, other, close=1e-4):
    for key, value in other.state_dict().items():
        torch.testing.assert_close(net.state_dict()[key], value, atol=close, rtol=close)


@on_kernels
@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_train_the_networks_that_pytorch_trains(name, calls):
    net, other = NETWORKS[name](), NETWORKS[name]()
    with fused_batch_norm(net, torch.device(DEVICE)):
        found = steps(net, 1)
    assert found == pytest.approx(steps(other, 1), rel=1e-4)
    assert len(calls) == JOINED[name]
    assert_same_weights(net, other)
    assert all("forward" not in vars(module) for module in net.modules())


@on_kernels
def test_kernels_take_stem_sum_and_relu_of_a_residual_network_in_one(calls):
    net = timm_network()
    with fused_batch_norm(net, torch.device(DEVICE)):
        net(numbers(3, 3, 8, 8))
    alone, with_relu, with_sum = (False, False), (False, True), (True, True)
    assert calls == [with_relu, *2 * [with_relu, alone, with_sum]]


@on_kernels
def test_kernels_serve_a_real_network(calls):
    settings = EncoderSettings("timm/resnet18", 16, (0.5,) * 3, (0.25,) * 3, small_stem=True)
    torch.manual_seed(0)
    net = ready(build_encoder(settings))
    other = copy.deepcopy(net)
    with fused_batch_norm(net, torch.device(DEVICE)):
        found = steps(net, 1)
        assert len(calls) == 20
        assert found == pytest.approx(steps(other, 1), rel=1e-5)
        assert_same_weights(net, other, close=1e-3)
        # Rounding grows fast in 20 layers over three images.
        found = steps(net, 1, rate=1e-3)
    assert found == pytest.approx(steps(other, 1, rate=1e-3), rel=0.02)


@on_kernels
def test_kernels_are_as_exact_as_pytorch_in_mixed_precision(calls):
    net, other, exact = timm_network(), timm_network(), timm_network()
    images = numbers(4, 3, 16, 16)

    def found(net, mixed=True):
        with torch.autocast(DEVICE, torch.bfloat16, enabled=mixed):
            made = net(images)
        made.float().square().mean().backward()
        return made.detach().float(), net.conv1.weight.grad

    with fused_batch_norm(net, torch.device(DEVICE)):
        results = found(net)
    assert len(calls) == 7
    for one, by_pytorch, wanted in zip(results, found(other), found(exact, False), strict=True):
        assert (one - wanted).norm() < 1.1 * (by_pytorch - wanted).norm()


@on_kernels
def test_kernels_serve_a_block_that_is_called_twice(calls):
    net, other = timm_network(), timm_network()
    images = numbers(3, 3, 8, 8), numbers(3, 3, 8, 8, seed=1)

    def gradients(net):
        (net(images[0]) * net(images[1])).mean().backward()
        return [parameter.grad for parameter in net.parameters()]

    with fused_batch_norm(net, torch.device(DEVICE)):
        found = gradients(net)
    for one, wanted in zip(found, gradients(other), strict=True):
        torch.testing.assert_close(one, wanted, atol=1e-4, rtol=1e-4)
    assert_same_weights(net, other)
    assert int(net.bn1.num_batches_tracked) == 2


@on_kernels
def test_kernels_serve_checkpointed_stages(calls):
    net, other = timm_network(), timm_network()
    other.set_grad_checkpointing()
    net.set_grad_checkpointing()
    with fused_batch_norm(net, torch.device(DEVICE)):
        found = steps(net, 1)
    assert found == pytest.approx(steps(other, 1), rel=1e-5)
    assert_same_weights(net, other)


@on_kernels
def test_kernels_serve_a_teacher_without_gradients_and_frozen_weights(calls):
    net, other = timm_network(), timm_network()
    for each in (net, other):
        each.requires_grad_(False)
        each.fc.requires_grad_(True)
    with fused_batch_norm(net, torch.device(DEVICE)):
        found = steps(net)
        with torch.no_grad():
            taught = net(numbers(3, 3, 8, 8))
    assert found == pytest.approx(steps(other), rel=1e-5)
    torch.testing.assert_close(taught, other(numbers(3, 3, 8, 8)), atol=1e-4, rtol=1e-4)
    assert_same_weights(net, other)


@on_kernels
def test_kernels_leave_networks_in_eval_mode_alone(calls):
    net = timm_network().eval()
    wanted = net(numbers(3, 3, 8, 8))
    with fused_batch_norm(net, torch.device(DEVICE)):
        assert torch.equal(net(numbers(3, 3, 8, 8)), wanted)
        net.layer1.train()
        net.layer1(numbers(3, 64, 4, 4))
    assert len(calls) == 3


@on_kernels
def test_kernels_are_in_no_copy_and_no_pickle(calls):
    net = timm_network()
    keys = list(net.state_dict())
    with fused_batch_norm(net, torch.device(DEVICE)):
        twins = (
            copy.deepcopy(net),
            pickle.loads(pickle.dumps(net)),
            copy.deepcopy(copy.deepcopy(net)),
        )
        assert list(net.state_dict()) == keys
        for twin in twins:
            steps(twin, 1)
        assert calls == []
        with fused_batch_norm(twins[0], torch.device(DEVICE)):
            twins[0](numbers(3, 3, 8, 8))
        assert len(calls) == 7
        twins = twins[1:]
    plain = timm_network()
    steps(plain, 1)
    for twin in twins:
        assert_same_weights(twin, plain, close=0)


@on_kernels
def test_kernels_show_hooks_what_pytorch_shows_them(calls):
    net, other, seen = timm_network(), timm_network(), []
    for each in (net, other):
        for part in (each.bn1, each.layer1[0].bn2, each.layer1[0].act1, each.layer2[0].bn1):
            part.register_forward_hook(lambda part, given, made: seen.append(made.detach().clone()))
    with fused_batch_norm(net, torch.device(DEVICE)):
        net(numbers(3, 3, 8, 8))
    other(numbers(3, 3, 8, 8))
    assert len(seen) == 8
    for one, wanted in zip(seen[:4], seen[4:], strict=True):
        torch.testing.assert_close(one, wanted, atol=1e-4, rtol=1e-4)


@on_kernels
@pytest.mark.parametrize(
    "change",
    {
        "another format": lambda norm, x: (norm, x.double()),
        "channels first": lambda norm, x: (norm, x.contiguous()),
        "a cumulative average": lambda norm, x: (nn.BatchNorm2d(4, momentum=None).to(DEVICE), x),
        "no statistics kept": lambda norm, x: (
            nn.BatchNorm2d(4, track_running_stats=False).to(DEVICE),
            x,
        ),
        "no weights": lambda norm, x: (nn.BatchNorm2d(4, affine=False).to(DEVICE), x),
        "weights in half": lambda norm, x: (norm.bfloat16(), x.bfloat16()),
        "eval mode": lambda norm, x: (norm.eval(), x),
        "one number a channel": lambda norm, x: (norm, x[:1, :, :1, :1]),
    }.items(),
    ids=lambda change: change[0],
)
def test_kernels_leave_to_pytorch(change):
    norm, x = change[1](layer(4), numbers(2, 4, 3, 3))
    assert not serves(norm, x)


@on_kernels
def test_kernels_leave_to_the_compiler_what_is_compiled():
    net = timm_network()
    net.layer1.compile()
    with fused_batch_norm(net, torch.device(DEVICE)):
        assert not any("forward" in vars(module) for module in net.layer1.modules())
        assert "forward" in vars(net.layer2[0])


@on_kernels
def test_kernels_are_turned_off_by_the_variable(calls, monkeypatch):
    monkeypatch.setenv("LIKEWISE_NATIVE", "0")
    net = timm_network()
    with fused_batch_norm(net, torch.device(DEVICE)):
        net(numbers(3, 3, 8, 8))
    assert calls == []


def trained(name, **plan):
    rule = method(name)
    nets = nets_of(rule).to(DEVICE)
    fabric = Fabric(accelerator=DEVICE, devices=1)
    settings = LoopSettings(2, cuda_graph="off", **plan)
    train(fabric, rule, nets, loader(rule), Recipe("sgd", 0.01), settings)
    return nets


@on_kernels
@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("simclr", {"model_ema_decay": 0.5}),
        pytest.param("byol", {"microbatch": 4}, marks=pytest.mark.slow),
    ],
)
def test_kernels_take_part_in_training(name, plan, calls):
    nets = trained(name, **plan)
    assert calls
    assert all("forward" not in vars(module) for module in nets.modules())
    calls.clear()
    assert_same_weights(nets, trained(name, fused_batch_norm=False, **plan), close=1e-3)
    assert not calls


class Reached(Exception):
    """The loop."""


def test_the_option_reaches_the_loop(monkeypatch, tmp_path):
    def loop(fabric, method, nets, loader, recipe, plan, *others):
        raise Reached(plan.fused_batch_norm)

    monkeypatch.setattr(train_run, "train_networks", loop)
    images = torch.randint(0, 256, (40, 12, 12, 3), dtype=torch.uint8).numpy()
    for wanted in (True, False):
        with pytest.raises(Reached, match=str(wanted)):
            likewise.train(images, out=tmp_path / str(wanted), steps=2, fused_batch_norm=wanted)


COMPILED = """
from torch import nn
from likewise.training.batch_norm import launches

launches.kernels = compiled
for dtype in (torch.bfloat16, torch.float32):
    for channels in (64, 5):
        x = torch.zeros(4, channels, 8, 8, dtype=dtype).contiguous(memory_format=torch.channels_last)
        for y, relu in ((None, True), (x, True)):
            _, table = launches.forward(x, nn.BatchNorm2d(channels), y, relu, launches.Tiling())
            launches.backward(x, x, y, table, relu, True, launches.Tiling())
"""


@needs_triton
@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
def test_they_compile_for_a_gpu_that_is_not_here():
    assert compiled_for_a_gpu_that_is_not_here(COMPILED) == 2 * 2 * 2 * 6
