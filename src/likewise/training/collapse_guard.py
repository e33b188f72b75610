"""Measures what shows collapse, every few steps, and acts where it is found."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from likewise.collectives import gather
from likewise.data.batch import UNLABELLED, Batch
from likewise.memory import BatchHistory, Queue
from likewise.methods import Method, Nets
from likewise.methods.method import feature_std
from likewise.run_folder import RunFolder
from likewise.training.collapse import Action, CollapseWatch, Line
from likewise.training.kept_networks import keep, restore
from likewise.training.screen import Screen

QUEUE_ROWS = 1024
"""rows of a queue at most whose spread is measured"""


class CollapseGuard:
    """Reads each line of the log; once collapse holds, says so, stops the run, or restores networks in the end.

    All ranks read the same numbers and so decide alike.

    Args:
        action: ``warn`` says so; ``stop`` ends the run, ``rollback`` lets it go on, and both end with the newest
            networks that were kept before there was any sign.
        method: the learning rule.
        nets: what it built, before the first step.
        batch_size: images in a batch of all ranks.
        save_every: optimiser steps between networks that are kept; 0: those of the start alone.
        run: where networks are kept; None keeps none.
        screen: prints the warning.
        first_rank: whether this process writes files.
    """

    def __init__(
        self,
        action: Action,
        method: Method,
        nets: Nets,
        batch_size: int,
        save_every: int,
        run: RunFolder | None,
        screen: Screen,
        first_rank: bool,
    ) -> None:
        self.action, self.nets, self.run, self.screen, self.first_rank = action, nets, run, screen, first_rank
        modules = [module for module in nets.modules() if isinstance(module, Queue)]
        self.queues = [queue for queue in modules if not isinstance(queue, BatchHistory)]
        self.uses_labels = method.card.needs != "no labels"
        labels_make_pairs = self.uses_labels and method.classifier(nets) is None
        lengths = sorted({len(queue) for queue in self.queues})
        self.watch = CollapseWatch(batch_size, float(weight_norm(nets)), lengths, labels_make_pairs)
        self.save_every, self.last_read, self.reported = save_every, 0, False

    def start(self, step: int) -> None:
        """Keep the first networks, or read again what a stopped run has logged up to its checkpoint."""
        if step == 0:
            self.keep_networks(step)
        if step == 0 or self.run is None:
            return
        for line in self.run.metric_lines():
            if line["step"] <= step:
                self.reported = self.reported or "collapse" in line
                self.last_read = line["step"] if "loss" in line else self.last_read
                self.watch.read(line)

    def measure(self, batch: Batch) -> dict[str, float]:
        """What the log gets besides the loss and the method's metrics; reading it waits for the device."""
        measured = {"weight_norm": float(weight_norm(self.nets))}
        spreads = [spread for queue in self.queues if (spread := queue_std(queue)) is not None]
        if spreads:
            measured["queue_std"] = min(spreads)
        if self.uses_labels:
            measured |= count_labels(batch)
        return measured

    def read(self, line: Line, step: int, log: Callable[[dict[str, str]], None]) -> str:
        """Look at what is logged at a step.

        Args:
            line: numbers by name.
            step: optimiser steps done.
            log: writes a line of the log.

        Returns:
            why the run is to stop now; empty where it is not.
        """
        reason = self.watch.read(line)
        if "loss" in line:
            if self.save_every and step // self.save_every > self.last_read // self.save_every:
                self.keep_networks(step)
            self.last_read = step
        if not reason:
            return ""
        if not self.reported:
            self.reported = True
            self.say(f"The run has collapsed by step {step:,}: {reason}. {THEN[self.action]}", log)
        return "it has collapsed" if self.action == "stop" else ""

    def keep_networks(self, step: int) -> None:
        """Keep the networks if nothing looks wrong with them, where they may be gone back to."""
        if self.action != "warn" and self.run is not None and self.first_rank and self.watch.healthy:
            keep(self.run.healthy, self.nets, step=step)

    def end(self, log: Callable[[dict[str, str]], None]) -> None:
        """Go back to the networks before the collapse, where the run ended collapsed."""
        if self.action == "warn" or not self.watch.collapsed or self.run is None or not self.first_rank:
            return
        step = restore(self.run.healthy, self.nets, self.run)
        which = f"of step {step:,}, which showed no sign of collapse" if step else "that the run started with"
        self.say(f"The networks are those {which}.", log)

    def say(self, message: str, log: Callable[[dict[str, str]], None]) -> None:
        """To the log and the screen."""
        log({"collapse": message})
        self.screen.say(f"[yellow]{message}[/yellow]")


THEN = {
    "warn": "The run goes on; --on-collapse stop or rollback would keep the networks from before.",
    "stop": "The run ends here.",
    "rollback": "The run goes on; if it ends like this, the networks from before are restored.",
}
"""what follows, by action"""


@torch.no_grad()
def weight_norm(nets: Nets) -> Tensor:
    """The L2 norm of all parameters that learn, as one vector."""
    return nn.utils.get_total_norm([parameter for parameter in nets.parameters() if parameter.requires_grad])


@torch.no_grad()
def queue_std(queue: Queue) -> float | None:
    """`feature_std` of the vectors that were pushed into a queue; None where there are fewer than two."""
    rows = queue.rows[: int(queue.pushed)]  # those from the start are random
    if len(rows) < 2:
        return None
    return float(feature_std(rows[:: -(-len(rows) // QUEUE_ROWS)]))


def count_labels(batch: Batch) -> dict[str, float]:
    """Labelled images in a batch of all ranks, support included, and the classes that they are of."""
    labels = gather(batch.labels)
    if batch.support is not None:
        labels = torch.cat([labels, gather(batch.support.labels)])
    labelled = labels[labels != UNLABELLED]
    return {"labelled_images": float(len(labelled)), "labelled_classes": float(len(labelled.unique()))}
