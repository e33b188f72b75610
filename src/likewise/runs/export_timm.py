"""A run's network in timm's formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from likewise.classification import Classifier
from likewise.encoders.from_timm import TimmEncoder
from likewise.errors import LikewiseError
from likewise.runs.exported import CARD, Compute, Exported, stored_tensors


def require_timm(exported: Exported) -> None:
    """Refuse an encoder that ``timm.create_model`` cannot build.

    Raises:
        LikewiseError: it is no network of timm, or has another stem.
    """
    settings = exported.settings
    if not isinstance(exported.encoder, TimmEncoder):
        raise LikewiseError(
            f"{settings.name} is not a timm network. Export it --to onnx or --to torchscript."
        )
    if settings.small_stem:
        raise LikewiseError(
            f"{settings.name} was trained with the 3x3 stem for small images, which timm.create_model does not build: "
            f"it would load wrongly there. Export it --to onnx, or train with --stem standard."
        )
    if settings.intermediates:
        raise LikewiseError(
            f"This encoder joins the features of {settings.name} with its last {settings.intermediates} intermediate "
            f"maps, which timm.create_model does not build. Export it --to onnx or --to torchscript."
        )


def _timm_network(exported: Exported) -> Any:
    """The timm network with the head, if there is one, as its classifier; divided by the temperature."""
    import timm  # timm takes a second to import, which most commands do without

    encoder, network = exported.encoder, exported.network
    assert isinstance(encoder, TimmEncoder)
    if not isinstance(network, Classifier):
        return encoder.network
    whole: Any = timm.create_model(
        encoder.name.split(".")[0],
        num_classes=len(network.class_names),
        **_timm_arguments(exported),
    )
    head: Any = whole.get_classifier()
    if not isinstance(head, nn.Linear) or head.in_features != encoder.width:
        raise LikewiseError(
            f"{exported.settings.name} ends in no single linear layer in timm, so the head cannot replace it. "
            f"Export it --to onnx or --to torchscript."
        )
    missing = whole.load_state_dict(encoder.network.state_dict(), strict=False)
    name = next(name for name, module in whole.named_modules() if module is head)
    if missing.unexpected_keys or set(missing.missing_keys) != {f"{name}.weight", f"{name}.bias"}:
        raise LikewiseError(
            f"timm builds {exported.settings.name} with other layers when it has a classifier."
        )
    with torch.no_grad():
        head.weight.copy_(network.head.weight / network.temperature)  # type: ignore[operator]
        head.bias.copy_(network.head.bias / network.temperature)  # type: ignore[operator]
    return whole.eval()


def _timm_arguments(exported: Exported) -> dict[str, Any]:
    """What ``timm.create_model`` needs besides the name and the number of classes."""
    encoder = exported.encoder
    assert isinstance(encoder, TimmEncoder)
    arguments: dict[str, Any] = {"in_chans": exported.settings.channels}
    if hasattr(encoder.network, "patch_embed"):  # a transformer, built for one size
        arguments["img_size"] = exported.settings.image_size
    return arguments


def write_timm(exported: Exported, target: Path) -> Compute:
    """Weights as ``timm.create_model(name, checkpoint_path=...)`` loads them."""
    import timm

    network = _timm_network(exported)
    save_file(stored_tensors(network), target, exported.metadata)
    encoder = exported.encoder
    assert isinstance(encoder, TimmEncoder)
    again = timm.create_model(
        encoder.name.split(".")[0], num_classes=network.num_classes, checkpoint_path=str(target),
        **_timm_arguments(exported),
    ).eval()  # fmt: skip
    return lambda pixels: again(encoder.normalise(pixels))


def write_hub(exported: Exported, target: Path) -> Compute:
    """A folder as timm writes it for a hub."""
    import timm
    from timm.models import save_for_hf

    network, settings, encoder = _timm_network(exported), exported.settings, exported.encoder
    input_config = {
        "input_size": (settings.channels, settings.image_size, settings.image_size),
        "mean": settings.mean,
        "std": settings.std,
        "crop_pct": 1.0,
    }
    config: dict[str, Any] = {
        "pretrained_cfg": input_config,
        "model_args": _timm_arguments(exported),
    }
    if isinstance(exported.network, Classifier):
        config["label_names"] = list(exported.network.class_names)
        config["temperature"] = 1.0  # the weights are divided by it
    save_for_hf(network, str(target), model_config=config, safe_serialization=True)
    if exported.card:
        (target / CARD).write_text(exported.card, encoding="utf-8")
    again = timm.create_model(f"local-dir:{target}", pretrained=True).eval()
    return lambda pixels: again(encoder.normalise(pixels))
