"""Weights, gradients and optimiser states cut among the ranks, for networks that one GPU cannot train: FSDP2.

Each rank holds its part of every parameter. A block, as of a transformer, gathers its own before it is used and drops
them after; its gradient goes back by a reduce-scatter. See https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
and Zhao et al. 2023, https://arxiv.org/abs/2304.11277. Checkpoints hold whole tensors, as those of one process do.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeGuard

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from likewise.collectives import rank
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.methods import Nets
from likewise.training.blocks import blocks_and_stages, has_parameters

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
    from torch.distributed.fsdp import MixedPrecisionPolicy
    from torch.distributed.tensor import DTensor

Strategy = Literal["ddp", "fsdp"]
"""How several processes share a run: each with all weights, or each with its part of them."""


def sharding_strategy(ranks: int, precision: str = "32-true") -> ModelParallelStrategy:
    """Fabric's strategy, for so many ranks and a precision by Fabric's name.

    With ``bf16-mixed`` the weights of encoders are gathered in bfloat16, half the bytes. Gradients are summed in
    float32, and heads, which a loss may use, are gathered in float32.
    """
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    shard = partial(_shard_learner, policy=_policy(precision))
    return ModelParallelStrategy(shard, data_parallel_size=ranks, tensor_parallel_size=1)


def _policy(precision: str) -> MixedPrecisionPolicy:
    """Autocast chooses each operation's precision, so inputs and outputs stay as they are."""
    from torch.distributed.fsdp import MixedPrecisionPolicy  # half a second

    if precision != "bf16-mixed":
        return MixedPrecisionPolicy()
    return MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)


def is_fully_sharded(fabric: Fabric) -> bool:
    """Whether networks that Fabric sets up are cut among the ranks."""
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    return isinstance(fabric.strategy, ModelParallelStrategy)


def _shard_learner(learner: nn.Module, mesh: Any, policy: MixedPrecisionPolicy) -> nn.Module:
    # It warns of changes in place, of which there are none: tests compare with one process.
    warnings.filterwarnings(
        "ignore", message="FSDP2-wrapped module .* returned a view", category=UserWarning
    )
    for part in learner.nets.children():  # type: ignore[union-attr]
        _shard(part, mesh["data_parallel"], policy)
    return learner


def _shard(part: nn.Module, mesh: Any, policy: MixedPrecisionPolicy) -> None:
    """Cut a part's parameters: those of each block by themselves, the others together."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    if not has_parameters(part):  # a queue
        part.to(mesh.device_type)
    elif isinstance(part, nn.ModuleList | nn.ModuleDict | Nets):  # which nobody calls
        for child in part.children():
            _shard(child, mesh, policy)
    else:
        for parameter in part.parameters():
            parameter.data = parameter.data.contiguous()  # FSDP cuts no channels-last weights
        if not any(isinstance(module, Encoder) for module in part.modules()):
            policy = MixedPrecisionPolicy()
        for block in blocks_and_stages(part):
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(part, mesh=mesh, reshard_after_forward=True, mp_policy=policy)


def refusal_of(error: RuntimeError) -> LikewiseError | None:
    """What is to be said of PyTorch's error, where a network uses a part that should have been gathered."""
    if "mixed torch.Tensor and DTensor" not in str(error):
        return None
    return LikewiseError(
        "--strategy fsdp was given, but the network uses parameters of a block outside of that block's forward, where "
        "each process has its part of them alone. Use them inside the block, or leave --strategy out: with ddp every "
        "device holds all weights."
    )


def is_cut(value: Any) -> TypeGuard[DTensor]:
    """Whether each rank has a part of a tensor alone."""
    # Nothing is cut before PyTorch's module is imported, which takes half a second.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(value, module.DTensor)


def own_part(value: Tensor) -> Tensor:
    """This rank's part of a tensor, in the same memory."""
    return value.to_local() if is_cut(value) else value


def whole_tensor(value: Tensor) -> Tensor:
    """All of a tensor that may be cut among the ranks; every rank must ask."""
    return value.full_tensor() if is_cut(value) else value


@torch.no_grad()
def copy_whole(sharded: nn.Module, into: nn.Module) -> None:
    """The state of networks that are cut among the ranks into the same networks that are not; every rank must ask."""
    state = sharded.state_dict()
    for name, target in into.state_dict().items():
        target.copy_(whole_tensor(state[name]))


class Stateful(Protocol):
    """What a checkpoint holds."""

    def state_dict(self) -> Mapping[str, Any]:
        """What to store."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Continue from what was stored."""
        ...


class WholeState:
    """Networks that are cut among the ranks, to a checkpoint as if they were not."""

    def __init__(self, sharded: Stateful) -> None:
        self.sharded = sharded

    def state_dict(self) -> dict[str, Any]:
        """Whole tensors in the first process; every rank must ask."""
        return _whole(self.sharded.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take this rank's part of whole tensors."""
        now = self.sharded.state_dict()
        if now.keys() != state.keys():
            raise KeyError("the checkpoint has tensors of other names")
        self.sharded.load_state_dict(
            {name: _cut_like(state[name], value) for name, value in now.items()}
        )


class WholeOptimizerState:
    """The same of an optimiser, whose state has the parameters' order."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.parameters = [
            parameter for group in optimizer.param_groups for parameter in group["params"]
        ]

    def state_dict(self) -> dict[str, Any]:
        """Whole tensors in the first process; every rank must ask."""
        state = self.optimizer.state_dict()
        groups = [with_fused(group, True) for group in state["param_groups"]]
        return {"state": _whole(state["state"]), "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take this rank's part of whole tensors."""
        cut = {}
        for index, values in state["state"].items():
            like = self.parameters[index]
            cut[index] = {name: _cut_like(value, like) for name, value in values.items()}
        now = self.optimizer.param_groups
        groups = [
            with_fused(g, own.get("fused"))
            for g, own in zip(state["param_groups"], now, strict=True)
        ]
        self.optimizer.load_state_dict({"state": cut, "param_groups": groups})


def with_fused(group: Mapping[str, Any], fused: bool | None) -> dict[str, Any]:
    """A group of an optimiser's parameters, with another kernel: which one, depends on whether they are cut."""
    return {**group, "fused": fused} if "fused" in group else dict(group)


def _whole(value: Any) -> Any:
    """Nested content with whole tensors, which the first process alone keeps."""
    if is_cut(value):
        gathered = value.full_tensor()
        return gathered.cpu() if rank() == 0 else gathered.new_empty(0)
    if isinstance(value, Mapping):
        return {name: _whole(each) for name, each in value.items()}
    return value


def _cut_like(stored: Any, like: Any) -> Any:
    """This rank's part of a stored tensor, if it has the shape of a parameter that is cut."""
    if not is_cut(like) or not isinstance(stored, Tensor) or stored.shape != like.shape:
        return stored
    from torch.distributed.tensor import distribute_tensor

    # Every rank has read the file, so none has to send what another lacks.
    return distribute_tensor(
        stored.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )
