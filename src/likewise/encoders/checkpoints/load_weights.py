"""Weights from a file into an encoder's network, all of them or an error that names the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from likewise.counts import first_of
from likewise.encoders.checkpoints.key_match import MAX_NAMES, KeyMatch
from likewise.encoders.checkpoints.networks import Tensors, converted_by_timm, find_naming
from likewise.encoders.checkpoints.read_checkpoint import StoredTensors, read_checkpoint
from likewise.encoders.checkpoints.wrappers import (
    OTHER_NETWORKS,
    Wrapper,
    find_wrapper,
    without_wrapping,
)
from likewise.errors import LikewiseError

COUNTER = "num_batches_tracked"
"""Last part of the names of batch normalisation's counters, which old files lack and nothing here reads."""


class _Encoder(NamedTuple):
    """The encoder's part of a file."""

    tensors: Tensors
    """by the names of the network that they are for, as far as those are known"""
    ignored: tuple[str, ...]
    """names of the other networks in the file"""
    layout: str
    library: str


def load_weights(network: nn.Module, path: str | Path, allow_missing: bool = False) -> KeyMatch:
    """Fill a network from a ``.safetensors`` file or a PyTorch checkpoint of any known layout.

    Args:
        network: its tensors are replaced; unchanged where an error is raised.
        path: of the file.
        allow_missing: whether tensors that the file lacks may stay random.

    Raises:
        LikewiseError: no such file, no checkpoint, or tensors of the network are missing in it, or not finite.
    """
    stored = _encoder_of(read_checkpoint(Path(path)), network)
    _refuse_other_attention(stored.library, network)
    wanted: dict[str, Tensor] = network.state_dict()
    tensors, notes = _adapted(stored.tensors, network)
    match, fitting = _match_keys(stored, tensors, wanted, notes)
    _refuse_what_does_not_fit(match, path, wanted, allow_missing)
    _refuse_what_is_not_finite(fitting, path)
    network.load_state_dict(fitting, strict=False)
    return match


def _match_keys(
    stored: _Encoder, tensors: Tensors, wanted: Mapping[str, Tensor], notes: tuple[str, ...]
) -> tuple[KeyMatch, Tensors]:
    """How the tensors of a file fit those that a network wants, and the tensors that do."""
    fitting: Tensors = {}
    absent: list[str] = []
    mismatched: list[str] = []
    for name, tensor in wanted.items():
        found = tensors.get(name)
        if found is None:
            if name.rpartition(".")[2] != COUNTER:
                absent.append(name)
        elif found.shape == tensor.shape:
            fitting[name] = found
        else:
            mismatched.append(
                f"{name} ({_shape(found)} in the file, {_shape(tensor)} in the encoder)"
            )
    others = [name for name in tensors if name not in wanted]
    ignored = [name for name in others if name.partition(".")[0] in OTHER_NETWORKS]
    unexpected = [name for name in others if name.partition(".")[0] not in OTHER_NETWORKS]
    left_out = (*stored.ignored, *ignored)
    match = KeyMatch(
        stored.layout,
        len(fitting),
        tuple(absent),
        tuple(mismatched),
        tuple(unexpected),
        left_out,
        notes,
    )
    return match, fitting


def has_small_stem(path: str | Path) -> bool:
    """Whether a file holds a ResNet whose first convolution is 3x3, as for small images."""
    tensors, _, _ = _unwrapped(read_checkpoint(Path(path)))
    first = tensors.get("conv1.weight", tensors.get("0.weight"))
    return first is not None and first.dim() == 4 and first.shape[-1] == 3


def _unwrapped(file: StoredTensors) -> tuple[Tensors, tuple[str, ...], Wrapper | None]:
    """The encoder's tensors by its own names, the names of all others, and the library that put them together."""
    tensors = {without_wrapping(name): tensor for name, tensor in file.tensors.items()}
    wrapper = find_wrapper(tensors)
    if wrapper is None:
        return tensors, (), None
    own: Tensors = {}
    ignored: list[str] = []
    for name, tensor in tensors.items():
        if name.startswith(wrapper.prefix):
            own[name.removeprefix(wrapper.prefix)] = tensor
        else:
            ignored.append(name)
    return own, tuple(ignored), wrapper


def _encoder_of(file: StoredTensors, network: nn.Module) -> _Encoder:
    """The tensors of the encoder in a file, by the network's names as far as they are known."""
    tensors, ignored, wrapper = _unwrapped(file)
    parts = [wrapper.title] if wrapper is not None else []
    naming = find_naming(tensors)
    if naming is not None:
        tensors = naming.rename(tensors, network)
        parts.append(naming.title)
    title = " with ".join(parts) or "names as in timm and torchvision"
    taken = wrapper.taken if wrapper is not None else ""
    if file.other_entries:
        taken = f"the entry {file.entry!r}, not {', '.join(map(repr, file.other_entries))}"
    layout = f"{title}, {taken}" if taken else title
    return _Encoder(tensors, ignored, layout, parts[0] if parts else "")


def _adapted(tensors: Tensors, network: nn.Module) -> tuple[Tensors, tuple[str, ...]]:
    """Position embeddings of another number of patches resampled, the first convolution summed for grey images.

    Returns:
        The tensors, and what was done to them.
    """
    wanted = network.state_dict()
    notes: list[str] = []
    if "pos_embed" in tensors and "pos_embed" in wanted:
        stored, own = tensors["pos_embed"].shape, wanted["pos_embed"].shape
        if stored != own:
            tensors = converted_by_timm(tensors, network)
            notes.append(f"position embeddings are resampled from {stored[1]} to {own[1]}")
    convolutions = (name for name, tensor in wanted.items() if tensor.dim() == 4)
    first = next(convolutions, "")
    found = tensors.get(first)
    is_colour = found is not None and found.dim() == 4 and found.shape[1] == 3
    if found is not None and is_colour and wanted[first].shape[1] == 1:
        tensors = {**tensors, first: found.sum(dim=1, keepdim=True)}
        notes.append(f"{first} is summed over its 3 channels for grey images")
    return tensors, tuple(notes)


def _refuse_other_attention(library: str, network: Any) -> None:
    """MoCo v3's small transformer has heads of another width, which no shape of a tensor tells."""
    blocks = getattr(network, "blocks", None)
    if library == "MoCo v3" and blocks is not None and getattr(network, "embed_dim", 0) == 384:
        if blocks[0].attn.num_heads != 12:
            raise LikewiseError(
                f"MoCo v3's ViT-S has 12 attention heads, and timm's has {blocks[0].attn.num_heads}: its weights have "
                f"the same shapes there and would give other features. Choose MoCo v3's ViT-B with --encoder "
                f"timm/vit_base_patch16_224, or its ResNet-50."
            )


def _refuse_what_does_not_fit(
    match: KeyMatch, path: str | Path, wanted: Tensors, allow_missing: bool
) -> None:
    own_parts = {name.partition(".")[0] for name in wanted}
    of_another = [name for name in match.unexpected if name.partition(".")[0] in own_parts]
    if match.complete and not of_another:
        return
    other_network = 2 * match.matched < len(wanted)
    if allow_missing and not other_network:
        return
    remedy = "Name the encoder that the weights were made for with --encoder, and its first layers with --stem"
    if not other_network:
        remedy += ", or let what is missing start at random: --allow-missing"
    raise LikewiseError(f"{path} does not fit this encoder. {match}. {remedy}.")


def _refuse_what_is_not_finite(tensors: Tensors, path: str | Path) -> None:
    bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if bad:
        names = first_of(bad, MAX_NAMES)
        raise LikewiseError(
            f"{path} holds NaN or infinite values in {names}: the run that saved it had diverged, or the file is "
            f"damaged. Take an earlier checkpoint of that run."
        )


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single value"
