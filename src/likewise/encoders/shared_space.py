"""The joint embedding space of images and texts: a text encoder and two projections, and their files."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from likewise.data.columns.tokens import Tokenizer
from likewise.encoders.pretrained_text import PretrainedText, text_folder
from likewise.encoders.text import SMALL_TEXT, SmallTransformer, TextEncoder, TextSettings
from likewise.field_types import record_of
from likewise.json_files import read_json, reading, write_json
from likewise.tensor_files import load_tensors, save_tensors

FOLDER = "text"
"""in a run's folder"""
TOKENIZER = "tokenizer.json"
SPACE = "space.json"
WEIGHTS = "space.safetensors"
CONFIG = "config.json"
"""files of a run's folder ``text``; the last is of a pretrained text encoder alone"""


@dataclass(frozen=True)
class SpaceSettings:
    """Everything needed to rebuild a `SharedSpace`; stored next to its weights."""

    text: TextSettings
    image_width: int
    """width of the image features"""
    dim: int
    """width of the joint space"""


class SharedSpace(nn.Module):
    """Features of images and tokens of texts to vectors that can be compared by their cosine.

    Args:
        settings: what to build.
        text: the text encoder.
    """

    def __init__(self, settings: SpaceSettings, text: TextEncoder) -> None:
        super().__init__()
        self.settings, self.text = settings, text
        self.image_head = nn.Linear(settings.image_width, settings.dim, bias=False)
        self.text_head = nn.Linear(text.width, settings.dim, bias=False)

    def of_images(self, features: Tensor) -> Tensor:
        """[B, image width] -> [B, dim], not normalised."""
        return self.image_head(features)

    def of_texts(self, tokens: Tensor) -> Tensor:
        """int64 [B, L] -> [B, dim], not normalised."""
        return self.text_head(self.text(tokens))

    @torch.no_grad()
    def vectors(self, tokenizer: Tokenizer, texts: list[str], batch_size: int = 256) -> Tensor:
        """Texts -> float32 [M, dim] of length 1, on the CPU."""
        where = self.text_head.weight.device
        batches = tokenizer.encode(texts).split(batch_size)
        parts = [torch.zeros(0, self.settings.dim)]
        for batch in batches:
            parts.append(self.of_texts(batch.long().to(where)).float().cpu())
        return nn.functional.normalize(torch.cat(parts), dim=1)


def build_space(settings: SpaceSettings) -> SharedSpace:
    """The space at its start: random but for a pretrained text encoder."""
    if settings.text.name == SMALL_TEXT:
        return SharedSpace(settings, SmallTransformer(settings.text))
    return SharedSpace(settings, PretrainedText(settings.text, text_folder(settings.text.name)))


def save_space(space: SharedSpace, tokenizer: Tokenizer, run: Path) -> None:
    """Write all that embedding a text needs into the folder ``text`` of a run's."""
    folder, text = run / FOLDER, space.settings.text
    folder.mkdir(exist_ok=True)
    tokenizer.save(folder / TOKENIZER)
    save_tensors(folder / WEIGHTS, space.state_dict())
    if text.name != SMALL_TEXT:
        shutil.copyfile(text_folder(text.name) / CONFIG, folder / CONFIG)
    write_json(folder / SPACE, asdict(space.settings))


def load_space(run: Path) -> tuple[SharedSpace, Tokenizer] | None:
    """What `save_space` wrote, in eval mode; None where the run learned nothing from texts."""
    folder = run / FOLDER
    if not (folder / SPACE).is_file():
        return None
    space = _built(read_settings(folder), folder)
    space.load_state_dict(load_tensors(folder / WEIGHTS))
    return space.eval(), Tokenizer.read(folder / TOKENIZER, space.settings.text.length)


def read_settings(folder: Path) -> SpaceSettings:
    """How the space of a folder was built."""
    with reading(folder / SPACE):
        stored = read_json(folder / SPACE)
        text = record_of(TextSettings, stored["text"])
        return record_of(SpaceSettings, {**stored, "text": text})


def _built(settings: SpaceSettings, folder: Path) -> SharedSpace:
    """The space without weights; a pretrained text encoder from the stored configuration."""
    if settings.text.name == SMALL_TEXT:
        return build_space(settings)
    return SharedSpace(settings, PretrainedText(settings.text, folder, weights=False))
