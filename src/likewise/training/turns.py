"""Who learns in a step: all parts at once, or one player after the other, each with an optimiser of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from likewise.methods import Method, Nets, Recipe, Step
from likewise.training.cached_gradients import CachedGradients, JointGradients, Learner
from likewise.training.optimizers import build_optimizer

Parameters = tuple[nn.Parameter, ...]


@dataclass(frozen=True)
class Turn:
    """What learns in a part of the step, and what waits meanwhile."""

    player: str
    """its name; empty where everything learns at once"""
    recipe: Recipe
    """its optimiser and schedule"""
    learns: Parameters
    """its own"""
    waits: Parameters
    """those of the other players"""
    trains_encoder: bool
    """whether the encoder is among its parts; only then do the images that it sees count"""

    def begin(self) -> None:
        """Its parameters take gradients from here on, and no others do."""
        for parameter in self.waits:
            parameter.requires_grad_(False)
        for parameter in self.learns:
            parameter.requires_grad_(True)

    def end(self) -> None:
        """All players' parameters take gradients again, as before the first turn."""
        for parameter in self.waits:
            parameter.requires_grad_(True)


def turns_of(method: Method, nets: Nets, recipe: Recipe) -> list[Turn]:
    """The turns of a step: one of everything that learns, or one for each of the method's players.

    Args:
        method: whose `Method.players` are asked.
        nets: what it built, before the first turn.
        recipe: the run's; a player may have its own.

    Raises:
        ValueError: a part that learns belongs to no player, or to two, or a player has no part.
    """
    learned = {name: p for name, p in nets.named_parameters() if p.requires_grad}
    if not method.players:
        return [Turn("", recipe, tuple(learned.values()), (), True)]
    parts = [part for player in method.players for part in player.parts]
    stray = {name.partition(".")[0] for name in learned} ^ set(parts)
    if stray or len(parts) > len(set(parts)):
        raise ValueError(f"{type(method).__name__}: each part that learns belongs to one player; see {stray or parts}")
    turns = []
    for player in method.players:
        mine = {name: p for name, p in learned.items() if name.partition(".")[0] in player.parts}
        others = tuple(p for name, p in learned.items() if name not in mine)
        own = player.recipe or recipe
        turns.append(Turn(player.name, own, tuple(mine.values()), others, "encoder" in player.parts))
    return turns


class Seat:
    """A turn with its optimiser and the way its gradient is made, on the run's devices.

    Args:
        fabric: launched. Under data parallelism each turn's networks are wrapped for themselves while the others wait,
            so that devices average the gradients of those that learn and expect no others.
        turn: whose.
        method: the rule.
        nets: what it built; all turns share them.
        batch_size: images of a step over all devices.
        pieces: microbatches in a device's batch.
    """

    def __init__(self, fabric: Fabric, turn: Turn, method: Method, nets: Nets, batch_size: int, pieces: int) -> None:
        self.turn, self.optimizer_name = turn, f"optimizer of the {turn.player}" if turn.player else "optimizer"
        turn.begin()
        wrapped = fabric.setup(Learner(method, nets), build_optimizer(turn.recipe, nets, batch_size))
        self.learner: nn.Module = wrapped[0]
        self.optimizer: Optimizer = wrapped[1]
        cached = CachedGradients(fabric, self.learner, pieces) if pieces > 1 else None
        self.gradients = cached or JointGradients(fabric, self.learner)

    def set_rate(self, rate: float) -> None:
        """The optimiser's rate for this step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate


def step_of_all(steps: Mapping[str, Step]) -> Step:
    """The turns of a step as one: each player's loss by its name, and their sum.

    The sum need not fall, for what one player gains another may lose; but it is no number as soon as one of them is
    none. A single turn is the step as it is.
    """
    if len(steps) == 1:
        return next(iter(steps.values()))
    metrics = {f"{player}_loss".replace(" ", "_"): step.loss.detach() for player, step in steps.items()}
    for step in steps.values():
        metrics |= step.metrics
    memory_updates = {name: rows for step in steps.values() for name, rows in step.memory_updates.items()}
    return Step(sum(step.loss.detach() for step in steps.values()), metrics, memory_updates)  # type: ignore[arg-type]
