"""Captions as numbers of a vocabulary, which is learned from the training captions or comes with a text encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from likewise.counts import amount, count
from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.columns.column import Column
from likewise.errors import LikewiseError

NO_TOKEN = -1
"""The token where a text has ended, and everywhere where there is none."""

INSTALL = 'pip install "likewise[text]"'
START, END = "<start>", "<end>"


class TokenRows:
    """The tokens of N images' captions.

    Args:
        tokens: int32 [M, L], a caption each, those of an image in a row; NO_TOKEN behind the end.
        counts: int64 [N], captions of each image.
        cut: how many of the captions had more tokens than L.
    """

    def __init__(self, tokens: Tensor, counts: Tensor, cut: int = 0) -> None:
        self.tokens = tokens
        self.counts = counts
        self.cut = cut
        self.first = counts.cumsum(0) - counts

    def __len__(self) -> int:
        return len(self.counts)

    def read(self, index: Tensor) -> Tensor:
        """int64 [B] -> int64 [B, K, L], K the most captions and L the longest caption of these images."""
        counts = self.counts[index]
        slot = torch.arange(max(int(counts.max()), 1))  # [K]
        has_caption = slot < counts[:, None]  # [B, K]
        rows = self.first[index][:, None] + slot
        rows = rows.clamp(max=len(self.tokens) - 1)
        # [B, K, L]
        tokens = self.tokens[rows].long().masked_fill(~has_caption[..., None], NO_TOKEN)
        longest = int((tokens != NO_TOKEN).sum(dim=2).max())
        return tokens[..., : max(longest, 1)]


class Tokenizer:
    """Texts to numbers.

    Args:
        inner: a Hugging Face tokenizer.
        length: tokens of a text at most; what is longer is cut.
    """

    def __init__(self, inner: Any, length: int) -> None:
        self.inner = inner
        self.length = length
        inner.no_padding()
        inner.enable_truncation(length)

    @classmethod
    def learned(cls, texts: Iterable[str], vocabulary: int, length: int) -> Tokenizer:
        """Byte pairs that are frequent in some texts (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909).

        Lower-cased and down to bytes, as CLIP's, so that no script and no sign is unknown.

        Raises:
            LikewiseError: the library is not installed.
        """
        library = _library()
        normalizers = library.normalizers
        inner = library.Tokenizer(library.models.BPE())
        inner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        inner.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
        inner.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[START, END],
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        inner.train_from_iterator(texts, trainer)
        special_tokens = [(name, inner.token_to_id(name)) for name in (START, END)]
        inner.post_processor = library.processors.TemplateProcessing(
            single=f"{START} $A {END}",
            special_tokens=special_tokens,
        )
        return cls(inner, length)

    @classmethod
    def read(cls, file: Path, length: int) -> Tokenizer:
        """A ``tokenizer.json``.

        Raises:
            LikewiseError: the library is not installed, or there is no such file.
        """
        library = _library()
        if not file.is_file():
            raise LikewiseError(
                f"There is no {file.name} in {file.parent}, so its texts cannot be read."
            )
        return cls(library.Tokenizer.from_file(str(file)), length)

    def save(self, file: Path) -> None:
        """Write a ``tokenizer.json``."""
        self.inner.save(str(file))

    @property
    def size(self) -> int:
        """How many tokens the vocabulary has."""
        return self.inner.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Texts -> int32 [M, L], NO_TOKEN behind the end of each."""
        return _padded(self.inner.encode_batch(list(texts)))

    def of(self, column: Column) -> TokenRows:
        """The tokens of a column of captions."""
        if not isinstance(column, Captions):
            raise TypeError(f"captions were expected, not {type(column).__name__}")
        encoded = self.inner.encode_batch(list(chain.from_iterable(column.texts)))
        counts = [len(texts) for texts in column.texts]
        cut = sum(bool(text.overflowing) for text in encoded)
        return TokenRows(_padded(encoded), torch.tensor(counts, dtype=torch.int64), cut)


def _padded(encoded: Sequence[Any]) -> Tensor:
    """The tokens of a Hugging Face tokenizer: int32 [M, L]."""
    listed = [torch.tensor(text.ids, dtype=torch.int32) for text in encoded]
    if not listed:
        return torch.full((0, 1), NO_TOKEN, dtype=torch.int32)
    return torch.nn.utils.rnn.pad_sequence(listed, batch_first=True, padding_value=NO_TOKEN)


def cut_captions_warnings(modalities: Mapping[str, Any]) -> list[str]:
    """A warning where captions of a training split have more tokens than the text encoder is given."""
    rows = modalities.get(CAPTIONS)
    if not isinstance(rows, TokenRows) or not rows.cut:
        return []
    total = int(rows.counts.sum())
    return [
        f"{count(rows.cut)} of {amount(total, 'caption')} have more than {rows.tokens.shape[1]} tokens and are cut "
        f"there. Give more with --method.text-length."
    ]


def drawn(captions: Tensor, chance: Tensor) -> Tensor:
    """One caption of each image.

    Args:
        captions: int64 [B, K, L], NO_TOKEN everywhere in a caption that an image does not have.
        chance: [B] in [0, 1), by which it is chosen.

    Returns:
        int64 [B, L]; of an image without captions a row of NO_TOKEN.
    """
    device = captions.device
    counts = (captions[:, :, 0] != NO_TOKEN).sum(dim=1)  # [B]
    chosen = (chance * counts).long()
    chosen = chosen.clamp(max=captions.shape[1] - 1)
    return captions[torch.arange(len(captions), device=device), chosen]


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.trainers
    except ImportError as error:
        raise LikewiseError(f"Texts need the library tokenizers. Install it: {INSTALL}") from error
    return tokenizers
