"""Measures what shows collapse, every few steps, and acts where it is found."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from likewise.collectives import gather, rank
from likewise.data.batch import UNLABELLED, Batch
from likewise.memory import Queue, embedding_queues
from likewise.methods import Method, Nets
from likewise.methods.method import feature_std
from likewise.run_folder import RunFolder
from likewise.training.collapse import CollapseWatch, Line
from likewise.training.fully_sharded import whole_tensor
from likewise.training.guard_action import Action, GuardMessages, WriteLine
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
    ) -> None:
        self.action, self.nets, self.run = action, nets, run
        self.kept_in = run if action != "warn" and rank() == 0 else None
        self.messages = GuardMessages(
            "collapse", "--on-collapse", action, "the networks from before", screen
        )
        self.queues = embedding_queues(nets)
        self.uses_labels = method.card.needs != "no labels"
        labels_make_pairs = self.uses_labels and method.classifier(nets) is None
        lengths = sorted({len(queue) for queue in self.queues})
        norm = float(weight_norm(nets))
        self.watch = CollapseWatch(method.card.title, batch_size, norm, lengths, labels_make_pairs)
        self.save_every, self.last_read = save_every, 0

    def start(self, step: int) -> None:
        """Keep the first networks, or read again what a stopped run has logged up to its checkpoint."""
        if step == 0:
            self.keep_networks(step)
        if step == 0 or self.run is None:
            return
        for line in self.run.metric_lines():
            if line["step"] <= step:
                self.messages.reported |= "collapse" in line
                self.last_read = line["step"] if "loss" in line else self.last_read
                self.watch.read(line)

    def measure(self, batch: Batch) -> dict[str, float]:
        """What the log gets besides the loss and the method's metrics; reading it waits for the device."""
        measured = {"weight_norm": float(weight_norm(self.nets))}
        spreads = [queue_std(queue) for queue in self.queues]
        known = [spread for spread in spreads if spread is not None]
        if known:
            measured["queue_std"] = min(known)
        if self.uses_labels:
            measured |= count_labels(batch)
        return measured

    def read(self, line: Line, step: int, write_line: WriteLine) -> str:
        """Look at what is logged at a step.

        Args:
            line: numbers by name.
            step: optimiser steps done.
            write_line: adds a line to the log.

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
        self.messages.report(f"The run has collapsed by step {step:,}: {reason}.", write_line)
        return "it has collapsed" if self.action == "stop" else ""

    def keep_networks(self, step: int) -> None:
        """Keep the networks if nothing looks wrong with them, where they may be gone back to."""
        if self.kept_in is not None and self.watch.healthy:
            keep(self.kept_in.healthy, self.nets, step=step)

    def end(self, write_line: WriteLine) -> None:
        """Go back to the networks before the collapse, where the run ended collapsed."""
        if self.kept_in is None or not self.watch.collapsed:
            return
        step = restore(self.kept_in.healthy, self.nets, self.kept_in)
        which = (
            f"of step {step:,}, which showed no sign of collapse"
            if step
            else "that the run started with"
        )
        self.messages.say(f"The networks are those {which}.", write_line)


@torch.no_grad()
def weight_norm(nets: Nets) -> Tensor:
    """The L2 norm of all parameters that learn, as one vector."""
    learned = [parameter for parameter in nets.parameters() if parameter.requires_grad]
    return whole_tensor(nn.utils.get_total_norm(learned))


@torch.no_grad()
def queue_std(queue: Queue) -> float | None:
    """`feature_std` of the vectors that were pushed into a queue; None where there are fewer than two."""
    rows = queue.rows[: int(queue.pushed)]  # those from the start are random
    if len(rows) < 2:
        return None
    stride = math.ceil(len(rows) / QUEUE_ROWS)
    return float(feature_std(rows[::stride]))


def count_labels(batch: Batch) -> dict[str, float]:
    """Labelled images in a batch of all ranks, support included, and the classes that they are of."""
    labels = gather(batch.labels)
    if batch.support is not None:
        labels = torch.cat([labels, gather(batch.support.labels)])
    labelled = labels[labels != UNLABELLED]
    return {
        "labelled_images": float(len(labelled)),
        "labelled_classes": float(len(labelled.unique())),
    }
