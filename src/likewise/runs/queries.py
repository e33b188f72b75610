"""Queries of a run's vectors: texts and sounds in the space that they share with images, and the vectors to search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from likewise.data.columns.tokens import Tokenizer
from likewise.data.video.sound_file import read_sound
from likewise.encoders import EncoderSettings
from likewise.encoders.shared_space import SharedSpace, load_space
from likewise.errors import LikewiseError
from likewise.evaluation.text_scores import in_space
from likewise.heads.sound_space import SoundSpace, load_sound_space
from likewise.vectors import SearchResult, VectorIndex, Vectors


class SharedSpaces:
    """The spaces that a run's features share with texts and with sounds, read from its folder when they are needed.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def texts(self) -> tuple[SharedSpace, Tokenizer] | None:
        """None where the run learned nothing from texts."""
        return load_space(self.folder)

    @cached_property
    def sounds(self) -> SoundSpace | None:
        """None where the run learned nothing from sound."""
        return load_sound_space(self.folder)

    def of_features(self, features: Tensor) -> Tensor | None:
        """Features [N, D] of images in the shared space [N, d]; None where there is none."""
        if self.texts is not None:
            return in_space(self.texts[0], features)
        return self.sounds.of_clips(features) if self.sounds is not None else None

    def of_texts(self, texts: Sequence[str]) -> Tensor:
        """Texts in the shared space, [N, d].

        Raises:
            LikewiseError: the run learned nothing from texts, or a text is blank.
        """
        if self.texts is None:
            raise LikewiseError(
                f"The run {self.folder} learned nothing from texts, so it cannot embed one. Train on images with "
                f"captions: likewise train captions.parquet --method clip."
            )
        is_list = bool(texts) and not isinstance(texts, str)
        if not is_list or not all(isinstance(text, str) and text.strip() for text in texts):
            raise LikewiseError(
                "embed_text() takes a list of one or more texts, none of them blank."
            )
        space, tokenizer = self.texts
        return space.vectors(tokenizer, list(texts))

    def of_sounds(self, files: Sequence[str | Path], settings: EncoderSettings) -> Tensor:
        """The sound of files in the shared space, [N, d].

        Args:
            files: videos or not.
            settings: of the encoder, whose clips have a length.

        Raises:
            LikewiseError: the run learned nothing from sound, or a file has none.
        """
        if self.sounds is None:
            raise LikewiseError(
                f"The run {self.folder} learned nothing from sound, so it cannot embed one. Train on videos with "
                f"sound: likewise train videos/ --method global-local."
            )
        if isinstance(files, str | Path) or not files:
            raise LikewiseError("embed_sound() takes a list of one or more files.")
        vectors: list[Tensor] = []
        for file in files:
            sound = read_sound(Path(file))
            vectors.append(self.sounds.of_sound(sound, settings.frames, settings.frame_rate))
        return torch.stack(vectors)


def open_index(vectors: str | Path | Vectors | VectorIndex, encoder: str, run: Path) -> VectorIndex:
    """Vectors to search, which a run's encoder must have made.

    Args:
        vectors: in memory, of a file or of a folder of parts.
        encoder: hash of the run's encoder.
        run: its folder.

    Raises:
        LikewiseError: another encoder made them, or a file does not say which one did.
    """
    index = vectors if isinstance(vectors, VectorIndex) else VectorIndex(vectors)
    is_known = index.encoder or index.vectors is None
    if is_known and index.encoder != encoder:
        raise LikewiseError(
            f"These vectors come from another encoder than that of {run}, so they cannot be compared with its own. "
            f"Search with the run that made them, or embed the images with this one: "
            f"likewise embed {run} IMAGES --out vectors.parquet"
        )
    return index


def search_shared(
    index: VectorIndex, query: Tensor, count: int, modality: str, run: Path
) -> list[SearchResult]:
    """The vectors in the shared space most similar to a text or a sound, most similar first.

    Args:
        index: vectors of images.
        query: [1, d].
        count: how many.
        modality: of the query, in the plural.
        run: the folder of the run that made the query.

    Raises:
        LikewiseError: the vectors are in no shared space, or in another one.
    """
    if index.width("shared") != query.shape[1]:
        raise LikewiseError(
            f"These vectors cannot be compared with {modality}: they come from another run. Embed the images with this "
            f"one: likewise embed {run} IMAGES --out vectors.parquet"
        )
    return index.most_similar(query, count, "shared")
