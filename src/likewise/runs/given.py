"""What `likewise.train` was given as objects: they travel next to the settings, which are plain JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

from torch import nn

from likewise.errors import LikewiseError
from likewise.field_types import with_checked_types
from likewise.methods import Method, Recipe
from likewise.methods.user_views import UserViews
from likewise.run_folder import RunFolder
from likewise.runs.run import Run
from likewise.runs.settings import TrainSettings
from likewise.training import Callback
from likewise.training.callbacks import EarlyStopping


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
        _refuse_other_start(settings)
        return settings, encoder
    if isinstance(encoder, Run):
        return replace(settings, from_run=str(encoder.folder.path)), None
    # A name may be longer than a path can be, which os.path answers and Path.exists raises.
    if isinstance(encoder, str | Path) and os.path.exists(RunFolder(encoder).config):
        return replace(settings, from_run=str(encoder)), None
    if not isinstance(encoder, str | Path):
        raise LikewiseError(
            f"encoder= takes a name, an nn.Module, a run or its folder; {type(encoder).__name__} was given."
        )
    if isinstance(encoder, Path) or encoder.startswith(("./", "../", "~", "/")):
        raise LikewiseError(f"encoder={str(encoder)!r} was given, but that folder holds no run.")
    return replace(settings, encoder=encoder), None


def _refuse_other_start(settings: TrainSettings) -> None:
    """Refuse settings that name a start, where a module was given."""
    starts = {"pretrained": settings.pretrained_weights, "from_run": settings.from_run}
    for option, start in starts.items():
        if start:
            raise LikewiseError(
                f"encoder= was given a module and {option}={start!r} names another start. Load "
                f"the weights into the module, and leave {option} out."
            )


def checked_callbacks(callbacks: Any, num_evals: int) -> tuple[Callback, ...]:
    """The callbacks of a run.

    Args:
        callbacks: as given.
        num_evals: how often the run takes online scores.

    Raises:
        LikewiseError: it is no list of instances of `likewise.Callback`, or one waits for scores that are never taken.
    """
    given = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    for callback in given:
        if not isinstance(callback, Callback):
            is_class = isinstance(callback, type)
            kind = f"the class {callback.__name__}" if is_class else type(callback).__name__
            raise LikewiseError(
                f"callbacks= takes a list of instances of likewise.Callback; {kind} was given. For instance "
                f"callbacks=[likewise.EarlyStopping('knn20_top1', patience=3)]."
            )
        if isinstance(callback, EarlyStopping) and num_evals == 0:
            raise LikewiseError(
                "num_evals=0 was given with EarlyStopping, which waits for online scores: give num_evals=1 or more."
            )
    return tuple(given)


def checked_method(method: Any) -> str | Method:
    """A method's name or an instance; a class becomes an instance with its default settings.

    Raises:
        LikewiseError: it is none of these.
    """
    if isinstance(method, type) and issubclass(method, Method):
        return method()
    if isinstance(method, str | Method):
        return method
    raise LikewiseError(
        f"method={method!r} was given ({type(method).__name__}); it takes a name, such as 'simclr', or an instance, "
        f"such as likewise.methods.SimCLR(temperature=0.1)."
    )


def checked_recipe(recipe: Any) -> Recipe | None:
    """The recipe of a run, or None for the method's own.

    Raises:
        LikewiseError: it is no `likewise.methods.Recipe`, or one of its values is of another type.
    """
    if recipe is None:
        return None
    if isinstance(recipe, Recipe):
        return with_checked_types(recipe)
    raise LikewiseError(
        f"recipe={recipe!r} was given ({type(recipe).__name__}); it takes an instance, such as "
        f"likewise.methods.Recipe(optimizer='adamw', learning_rate=0.001)."
    )


def checked_labels(labels: Any) -> str:
    """What training may see, as the settings have it.

    Raises:
        LikewiseError: it is neither a text, a number nor a path.
    """
    if isinstance(labels, str | Integral | Path) and not isinstance(labels, bool):
        return str(labels)
    raise LikewiseError(
        f"labels= was given {type(labels).__name__}; it takes 'none', 'all', a number for each class, a share such as "
        f"'1%', or a file. Labels that are an array belong to the data: likewise.train((images, labels))."
    )
