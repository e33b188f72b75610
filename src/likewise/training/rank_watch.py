"""The processes of a run watch each other: where one is killed, the others end soon and say which one it was."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from likewise.collectives import gathered_objects, is_connection_error, rank, world_size
from likewise.errors import EnvironmentIOError, LikewiseError, SaidByFirstRank

if TYPE_CHECKING:
    from lightning_fabric import Fabric

POLL = 0.5
"""Seconds between two looks at the other processes."""
GRACE = 10.0
"""Seconds that a process has to end by itself once another one has ended; one that waits for it would wait forever."""


class RankEnded(EnvironmentIOError):
    """Another process of the run has ended before its time."""


class Peer(NamedTuple):
    """Another process of the run."""

    rank: int
    host: str
    pid: int


class RankWatch:
    """While the context is open, the end of another process becomes a message and the end of this one.

    Collectives over gloo fail when a process ends; those over NCCL, and a rendezvous, wait. A thread looks at the other
    processes of this machine, and ends this one where it still waits after `GRACE` seconds.

    Args:
        remedy: what to do, as a sentence at the end of the message.
    """

    def __init__(self, remedy: str) -> None:
        self.remedy = remedy
        self._peers: list[Peer] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self._launcher: object = None
        self._parent = 0
        self._count = 1
        self._cause = ""
        self._found, self._over = threading.Event(), threading.Event()

    def watch(self, fabric: Fabric, count: int) -> None:
        """Watch the processes that Fabric is about to start, or the one that has started this one."""
        if count == 1:
            return
        self._launcher, self._count = fabric.strategy.launcher, count
        is_child = int(os.environ.get("LOCAL_RANK", 0)) > 0
        self._parent = os.getppid() if is_child else 0
        threading.Thread(target=self._watch, daemon=True, name="rank-watch").start()

    def exchange_peers(self) -> None:
        """Learn who the others are, once all of them run; every rank must call it."""
        if world_size() == 1:
            return
        own = Peer(rank(), platform.node(), os.getpid())
        everyone = [Peer(*each) for each in gathered_objects(tuple(own))]
        self._peers = [peer for peer in everyone if peer != own]

    def __enter__(self) -> RankWatch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if (
            isinstance(error, Exception)
            and not isinstance(error, LikewiseError)
            and is_connection_error(error)
        ):
            # The connection may be lost a moment before the process that held its other end is seen to have ended.
            self._found.wait(GRACE)
            self._over.set()
            self._end_children()
            cause = (
                self._cause or "The processes of the run have lost the connection to each other."
            )
            raise RankEnded(f"{cause} {self.remedy}") from error
        self._over.set()
        if error is not None and not isinstance(error, SaidByFirstRank):
            self._end_children()

    def _watch(self) -> None:
        """Until the context ends, look for a process that has ended; then see that this one ends too."""
        while not self._over.wait(POLL):
            self._adopt_children()
            self._cause = self._ended()
            if not self._cause:
                continue
            self._found.set()
            if not self._over.wait(GRACE):
                print(f"likewise: {self._cause} {self.remedy}", file=sys.stderr, flush=True)
                self._end_children()
                os._exit(RankEnded.exit_code)
            return

    def _adopt_children(self) -> None:
        """Take over the processes that Fabric has started: its own observer would end this one without a word."""
        started = getattr(self._launcher, "procs", [])
        if len(started) == self._count - 1 and started:
            self._children = list(started)
            started.clear()  # the observer watches this list, and has done when it is empty

    def _ended(self) -> str:
        """Which process has ended, and how; empty while all run."""
        for number, child in enumerate(self._children, 1):
            if code := child.poll():
                return self._describe(f"Rank {number} of {self._count} (process {child.pid})", code)
        children = {child.pid for child in self._children}
        for peer in self._peers:
            is_here = peer.host == platform.node() and peer.pid not in children
            if is_here and not is_running(peer.pid):
                return f"Rank {peer.rank} of {self._count} (process {peer.pid}) has ended before the run did."
        if self._parent and os.getppid() != self._parent:
            return f"The process that started rank {rank()} (process {self._parent}) has ended."
        return ""

    def _describe(self, who: str, code: int) -> str:
        if code > 0:
            return f"{who} has ended with exit code {code}; what it printed says why."
        name = signal.Signals(-code).name
        hint = ", as the system does where memory runs out" if name == "SIGKILL" else ""
        return f"{who} was ended by {name}{hint}."

    def _end_children(self) -> None:
        self._adopt_children()
        for child in self._children:
            if child.poll() is None:
                child.kill()


def is_running(pid: int) -> bool:
    """Whether this machine has such a process that has not ended."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            return stat.read_text().rpartition(")")[2].split()[0] != "Z"  # a zombie has ended
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
