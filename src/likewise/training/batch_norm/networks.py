"""Where networks take the kernels: layers of batch normalisation, and what follows them in blocks that are known.

Parameters, buffers and classes stay as they are. A module only gets another ``forward`` for a while, which its copies
and pickles do not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from likewise.losses.fused.devices import run_on
from likewise.training.batch_norm.fused import fused, serves
from likewise.training.replaced_forward import ReplacedForward, forward_of_class

Layer = tuple[str, str, str]
"""Names of a convolution, of the normalisation after it, and of the activation after that."""

TIMM_BASIC: Sequence[Layer] = (("conv1", "bn1", "act1"), ("conv2", "bn2", "act2"))
TORCHVISION_BASIC: Sequence[Layer] = (("conv1", "bn1", "relu"), ("conv2", "bn2", "relu"))

RESIDUAL_BLOCKS: dict[str, Sequence[Layer]] = {
    "timm.models.resnet.BasicBlock": TIMM_BASIC,
    "timm.models.resnet.Bottleneck": (*TIMM_BASIC, ("conv3", "bn3", "act3")),
    "torchvision.models.resnet.BasicBlock": TORCHVISION_BASIC,
    "torchvision.models.resnet.Bottleneck": (*TORCHVISION_BASIC, ("conv3", "bn3", "relu")),
}
"""Classes whose last activation follows the sum with the block's input, or with what ``downsample`` makes of it."""

STEMS = {
    "timm.models.resnet.ResNet": ("bn1", "act1"),
    "torchvision.models.resnet.ResNet": ("bn1", "relu"),
}
"""Classes whose first normalisation is followed by this activation, which follows no other."""

Forward = Callable[..., Tensor]


@contextmanager
def fused_batch_norm(network: nn.Module, device: torch.device) -> Iterator[None]:
    """While the context is open, batch normalisation of a network in training mode is done by the kernels.

    That is: of float32, bfloat16 and float16 maps in channels-last format, by `torch.nn.BatchNorm2d` and timm's
    ``BatchNormAct2d`` with running statistics and a momentum; in one with the ReLU that follows in a
    `torch.nn.Sequential`, in the stem and blocks of ResNets, and there with the residual sum. All else, modules in
    eval mode, with hooks, or compiled, and devices without the kernels (`run_on`), is as before.

    Args:
        network: as it is trained; its weights are best in channels-last format.
        device: where it is.
    """
    changed: list[nn.Module] = []
    try:
        if run_on(device):
            _change(network, changed)
        yield
    finally:
        for module in changed:
            del module.forward


def _change(network: nn.Module, changed: list[nn.Module]) -> None:
    """Give modules their other ``forward``."""
    compiled = _compiled(network)
    for module in network.modules():
        if module in compiled:
            continue
        for part, forward in _forwards(module):
            if vars(part).get("forward") in (None, forward_of_class(part)):
                part.forward = _Forward(part, forward)
                changed.append(part)


def _compiled(network: nn.Module) -> set[nn.Module]:
    """What `torch.compile` fuses itself."""
    whole = [each for each in network.modules() if each._compiled_call_impl is not None]
    return {module for each in whole for module in each.modules()}


def _forwards(module: nn.Module) -> list[tuple[nn.Module, Forward]]:
    """Parts of a module, and what they do instead."""
    name = f"{type(module).__module__}.{type(module).__qualname__}"
    if name in RESIDUAL_BLOCKS and _is_known(module, RESIDUAL_BLOCKS[name]):
        layers = RESIDUAL_BLOCKS[name]
        return [(module, lambda block, x: _residual_block(block, layers, x))]
    if name in STEMS:
        return _stem(*(getattr(module, part) for part in STEMS[name]))
    if type(module) is nn.Sequential:
        return [(module, _sequential)]
    if type(module) is nn.BatchNorm2d:
        return [(module, _norm)]
    if name == "timm.layers.norm_act.BatchNormAct2d":
        return [(module, _norm_and_activation)]
    return []


def _is_known(block: nn.Module, layers: Sequence[Layer]) -> bool:
    """Whether a residual block has nothing but these layers: no attention, dropout, or blur between them."""
    named = {name for layer in layers for name in layer} | {"downsample"}
    others = [part for name, part in block.named_children() if name not in named]
    if any(type(part) is not nn.Identity for part in others):
        return False
    return all(
        _can_join(getattr(block, norm), getattr(block, activation))
        for _, norm, activation in layers
    )


def _can_join(norm: nn.Module, activation: nn.Module) -> bool:
    return type(norm) is nn.BatchNorm2d and type(activation) is nn.ReLU


def _residual_block(block: Any, layers: Sequence[Layer], x: Tensor) -> Tensor:
    """Convolution, normalisation, ReLU in turn, the block's input added before the last ReLU."""
    shortcut = x
    *first, (convolution, norm, activation) = layers
    for each in first:
        x = getattr(block, each[0])(x)
        x = _joined(getattr(block, each[1]), getattr(block, each[2]), x)
    x = getattr(block, convolution)(x)
    if block.downsample is not None:
        shortcut = block.downsample(shortcut)
    return _joined(getattr(block, norm), getattr(block, activation), x, shortcut)


def _sequential(block: nn.Module, x: Tensor) -> Tensor:
    """One part after the other, normalisation and ReLU joined."""
    # Each as often as it stands there: one ReLU may follow all layers.
    parts = list(cast(nn.Sequential, block))
    while parts:
        part = parts.pop(0)
        if parts and _can_join(part, parts[0]):
            x = _joined(part, parts.pop(0), x)
        else:
            x = part(x)
    return x


def _joined(
    norm: nn.Module, activation: nn.Module, x: Tensor, residual: Tensor | None = None
) -> Tensor:
    """Normalisation, sum with the residual, ReLU."""
    layer = cast(nn.BatchNorm2d, norm)
    if not _hooked(norm, activation) and serves(layer, x, residual):
        return fused(layer, x, residual, relu=True)
    x = norm(x)
    if residual is not None:
        x += residual
    return activation(x)  # type: ignore[no-any-return]


def _hooked(*modules: nn.Module) -> bool:
    """Whether some code waits for the calls of these modules, or does their work."""
    return any(
        _is_replaced(each)
        or each._forward_hooks
        or each._forward_pre_hooks
        or each._backward_hooks
        or each._backward_pre_hooks
        for each in modules
    )


def _is_replaced(module: nn.Module) -> bool:
    """Whether somebody gave one module another ``forward`` than that of its class."""
    own = vars(module).get("forward")
    return not (own is None or isinstance(own, _Forward) or own == forward_of_class(module))


def _stem(norm: nn.Module, activation: nn.Module) -> list[tuple[nn.Module, Forward]]:
    """The normalisation does the activation's work, which then passes on what it is given."""
    if not _can_join(norm, activation):
        return []
    done: list[Tensor] = []

    def normalise(norm: Any, x: Tensor) -> Tensor:
        done.clear()
        if _hooked(norm, activation) or not serves(norm, x):
            return _norm(norm, x)
        done.append(fused(norm, x, relu=True))
        return done[0]

    def activate(activation: nn.Module, x: Tensor) -> Tensor:
        is_done = bool(done) and done.pop() is x
        return x if is_done else type(activation).forward(activation, x)

    return [(norm, normalise), (activation, activate)]


def _norm(norm: Any, x: Tensor) -> Tensor:
    """Normalisation alone."""
    return fused(norm, x) if serves(norm, x) else type(norm).forward(norm, x)


def _norm_and_activation(norm: Any, x: Tensor) -> Tensor:
    """Of timm: a normalisation with dropout and an activation, of which ReLU is joined."""
    if not serves(norm, x):
        return type(norm).forward(norm, x)  # type: ignore[no-any-return]
    if type(norm.drop) is nn.Identity and type(norm.act) is nn.ReLU and not _hooked(norm.act):
        return fused(norm, x, relu=True)
    return norm.act(norm.drop(fused(norm, x)))  # type: ignore[no-any-return]


class _Forward(ReplacedForward):
    """Computes a module by a function of the module and its one input."""

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if named or len(inputs) != 1:  # a name of its own
            return forward_of_class(self.module)(*inputs, **named)
        return self.forward(self.module, inputs[0])
