"""What `likewise.train` was given as objects: they travel next to the settings, which are plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from likewise.errors import LikewiseError
from likewise.methods.user_views import UserViews
from likewise.run_folder import RunFolder
from likewise.runs.run import Run
from likewise.runs.settings import TrainSettings
from likewise.training import Callback


@dataclass(frozen=True)
class GivenObjects:
    """Parts of a run that have no name on the command line."""

    encoder: nn.Module | None = None
    """a user's network; None: the one that the settings name"""
    views: UserViews | Mapping[str, UserViews] | None = None
    """a user's views, for all or for some of the method's settings of views; None: the method's own"""
    callbacks: Sequence[Callback] = ()
    """code of the user's that runs while the network trains"""


NOTHING_GIVEN = GivenObjects()


def with_encoder(settings: TrainSettings, encoder: Any) -> tuple[TrainSettings, nn.Module | None]:
    """The settings with what ``encoder=`` names: a network by its name, or the encoder of a run; and the module given.

    Raises:
        LikewiseError: it is none of these, or a start is named twice.
    """
    if isinstance(encoder, nn.Module):
        for option in ("pretrained", "from_run"):
            if getattr(settings, option):
                raise LikewiseError(
                    f"encoder= was given a module and {option}={getattr(settings, option)!r} names another start. Load "
                    f"the weights into the module, and leave {option} out."
                )
        return settings, encoder
    if isinstance(encoder, Run):
        return replace(settings, from_run=str(encoder.folder.path)), None
    if not isinstance(encoder, str):
        raise LikewiseError(
            f"encoder= takes a name, an nn.Module, a run or its folder; {type(encoder).__name__} was given."
        )
    if RunFolder(encoder).config.exists():
        return replace(settings, from_run=encoder), None
    return replace(settings, encoder=encoder), None


def checked_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    """The callbacks of a run.

    Raises:
        LikewiseError: it is no list of instances of `likewise.Callback`.
    """
    given = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    for callback in given:
        if not isinstance(callback, Callback):
            kind = f"the class {callback.__name__}" if isinstance(callback, type) else type(callback).__name__
            raise LikewiseError(
                f"callbacks= takes a list of instances of likewise.Callback; {kind} was given. For instance "
                f"callbacks=[likewise.EarlyStopping('knn20_top1', patience=3)]."
            )
    return tuple(given)
