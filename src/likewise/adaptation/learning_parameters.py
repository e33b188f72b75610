"""An adaptation applied to an encoder: what takes gradients, at which rate, and which statistics stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from likewise.adaptation.adaptation import Adaptation
from likewise.adaptation.lora import add_lora
from likewise.counts import amount
from likewise.encoders import Encoder
from likewise.errors import LikewiseError


def apply_adaptation(encoder: Encoder, adaptation: Adaptation) -> None:
    """Freeze, or wrap by LoRA, the parameters that an adaptation leaves unchanged. `merge_lora` ends LoRA.

    Raises:
        LikewiseError: the encoder has no blocks, or fewer than are to learn.
    """
    if adaptation.kind == "lora":
        alpha = adaptation.rank if adaptation.alpha is None else adaptation.alpha
        add_lora(encoder, adaptation.rank, alpha)
        return
    if adaptation.kind == "full":
        return
    encoder.requires_grad_(False)
    if adaptation.kind == "last":
        _unfreeze_last(encoder, adaptation.blocks)


def blocks_of(encoder: Encoder) -> Sequence[nn.Module]:
    """A transformer's blocks or a convolutional network's stages, in order.

    Raises:
        LikewiseError: the network has neither.
    """
    network = getattr(encoder, "network", encoder)
    blocks = getattr(network, "blocks", None)
    if isinstance(blocks, nn.Sequential | nn.ModuleList):
        return list(blocks)
    try:
        return encoder.stages()
    except LikewiseError:
        raise LikewiseError(
            f"{type(network).__name__} has no blocks or stages, so its last ones are not known. Choose the adaptation "
            f"lora or full."
        ) from None


def _unfreeze_last(encoder: Encoder, count: int) -> None:
    """Let the last blocks learn, and what follows them, such as a final normalisation."""
    blocks = [block for block in blocks_of(encoder) if next(block.parameters(), None) is not None]
    if count > len(blocks):
        raise LikewiseError(
            f"last:{count} was given, but this encoder has {amount(len(blocks), 'block')}. "
            f"Choose last:1 to last:{len(blocks)}."
        )
    first = next(blocks[-count].parameters())
    # Networks register their parts in the order in which they run them.
    learns = False
    for parameter in encoder.parameters():
        learns = learns or parameter is first
        parameter.requires_grad_(learns)


def learning_rate_scales(encoder: Encoder, layer_decay: float) -> Mapping[str, float]:
    """The learning rate of each parameter over the classifier's, by name; empty without decay.

    Layers are those of timm's ``group_matcher``, or the blocks of a network that has none.
    """
    if layer_decay == 1:
        return {}
    network = getattr(encoder, "network", encoder)
    scales = _scales_by_timm(network, layer_decay) if hasattr(network, "group_matcher") else {}
    if not scales:
        blocks = blocks_of(encoder)
        for number, block in enumerate(blocks):
            for parameter in block.parameters():
                scales[id(parameter)] = layer_decay ** (len(blocks) - number)
    return {name: scales.get(id(each), 1.0) for name, each in encoder.named_parameters()}


def _scales_by_timm(network: nn.Module, layer_decay: float) -> dict[int, float]:
    """The factor of each parameter, by its id; the last layer is one below the classifier."""
    # Here, because timm takes a second to import; it exports this without saying so.
    from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]

    scales: dict[int, float] = {}
    for group in param_groups_layer_decay(network, layer_decay=layer_decay):
        for parameter in group["params"]:
            scales[id(parameter)] = group["lr_scale"] * layer_decay
    return scales
