"""Whether anything may be fetched: the environment variable ``LIKEWISE_OFFLINE``.

It is off where it is unset, empty or 0. Where it is on, the clients of other libraries are told to use what they have
cached and nothing else, and what is not cached is refused by name.
"""

from __future__ import annotations

import os
import sys

from likewise.errors import LikewiseError

VARIABLE = "LIKEWISE_OFFLINE"

CLIENTS = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "WANDB_MODE": "offline",
}
"""The variables by which Hugging Face's libraries and Weights & Biases are told the same."""

LOADED = {
    "huggingface_hub.constants": "HF_HUB_OFFLINE",
    "datasets.config": "HF_HUB_OFFLINE",
}
"""Modules that read such a variable when they are imported, which may be before it is set, and what they call it."""


def is_offline() -> bool:
    """Whether nothing may be fetched."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def tell_clients() -> None:
    """Let other libraries use their caches alone, where nothing may be fetched."""
    if not is_offline():
        return
    os.environ.update(CLIENTS)
    for module, name in LOADED.items():
        if hasattr(sys.modules.get(module), name):
            setattr(sys.modules[module], name, True)


def require_online(what: str, instead: str) -> None:
    """Refuse what would have to be fetched.

    Args:
        what: what was asked for.
        instead: what to give where there is no network, as a sentence.

    Raises:
        LikewiseError: nothing may be fetched.
    """
    if is_offline():
        raise LikewiseError(
            f"{what} would have to be fetched, but {VARIABLE} is set. Unset it, or: {instead}"
        )
