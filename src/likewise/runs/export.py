"""A run's encoder, or its classifier, in formats that other tools read; each is verified by loading it back."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from likewise.atomic_write import disk_error, refused_by_disk, write_bytes
from likewise.classification import Classifier
from likewise.encoders import Encoder, EncoderSettings, build_encoder
from likewise.encoders.from_timm import TimmEncoder
from likewise.errors import LikewiseError, did_you_mean
from likewise.run_folder import RunFolder

Format = Literal["safetensors", "timm", "hub", "onnx", "torchscript"]

TOLERANCE = 1e-3
"""Largest difference that what was exported may show, relative to the largest feature or logit."""

NAMES = {
    "safetensors": "{part}.safetensors",
    "timm": "timm-{part}.safetensors",
    "hub": "hub-{part}",
    "onnx": "{part}.onnx",
    "torchscript": "{part}.pt",
}
"""The file of each format in a run's folder, where part is encoder or classifier; hub is a folder."""

CARD = RunFolder("").card.name
"""The model card of a folder for a hub, and of a run's own weights; other formats hold it as metadata."""


@dataclass(frozen=True)
class Exported:
    """What is exported: an encoder, or a classifier with its names and temperature."""

    network: Encoder | Classifier
    """in eval mode, on the CPU"""
    settings: EncoderSettings
    """of the encoder"""
    card: str = ""
    """the model card, Markdown; empty where there is none"""

    @property
    def encoder(self) -> Encoder:
        """The encoder, alone or the classifier's."""
        return self.network.encoder if isinstance(self.network, Classifier) else self.network

    @property
    def part(self) -> str:
        """The word for it in names of files."""
        return "classifier" if isinstance(self.network, Classifier) else "encoder"

    @property
    def output(self) -> str:
        """What the network gives."""
        return "logits" if isinstance(self.network, Classifier) else "features"

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata stored with the weights, as text: class names as a JSON list, and numbers."""
        stored = {"image_size": str(self.settings.image_size)}
        if isinstance(self.network, Classifier):
            stored["class_names"] = json.dumps(self.network.class_names)
            stored["temperature"] = str(float(self.network.temperature))
        if self.card:
            stored["model_card"] = self.card
        return stored

    def pixels(self, batch: int) -> Tensor:
        """Random input, float [B, C, S, S] or [B, T, C, S, S] in [0, 1]."""
        frames = (self.settings.frames,) if self.settings.frames > 1 else ()
        size = self.settings.image_size
        random = torch.Generator().manual_seed(0)
        return torch.rand(batch, *frames, self.settings.channels, size, size, generator=random)


def export(exported: Exported, folder: Path, to: Format, out: str | Path | None = None) -> Path:
    """Write a network in a format, load it back, and compare what the two compute.

    Args:
        exported: an encoder, or a classifier, whose logits are divided by its temperature in every format.
        folder: where it goes unless ``out`` is given.
        to: ``safetensors``, all weights under our names; ``timm``, as ``timm.create_model(name, num_classes=...,
            checkpoint_path=...)`` loads them; ``hub``, a folder with ``config.json`` and weights as timm writes for a
            hub, which ``timm.create_model("local-dir:FOLDER", pretrained=True)`` opens; ``onnx`` and ``torchscript``,
            a graph from float pixels in [0, 1] for any batch size. Networks of timm take pixels from which the mean is
            subtracted and which are divided by the standard deviation.
        out: the file, or for ``hub`` the folder.

    Returns:
        The file or folder.

    Raises:
        LikewiseError: the format does not fit this network, a package is missing, the file is there already, or what
            was loaded back computes something else, in which case it is removed.
    """
    if to not in get_args(Format):
        raise LikewiseError(f"There is no format {to!r}. {did_you_mean(to, NAMES)} Give the file by out=.")
    target = Path(out) if out else folder / NAMES[to].format(part=exported.part)
    own = to == "safetensors" and exported.part == "encoder"
    if own and target == folder / NAMES[to].format(part="encoder"):
        if exported.card:
            write_bytes(folder / CARD, exported.card.encode())
        return target  # a run's own weights
    _check_target(target, to)
    if to in ("timm", "hub"):
        _require_timm(exported)
    try:
        compute = WRITERS[to](exported, target)
    except (OSError, RuntimeError, SafetensorError) as error:
        refusal = refused_by_disk(error)
        if refusal is None:
            raise
        _remove(target)
        raise disk_error(target, refusal) from error
    _refuse_difference(exported, compute, target)
    return target


def _check_target(target: Path, to: str) -> None:
    endings = {name: Path(file).suffix for name, file in NAMES.items()}
    if target.suffix in endings.values() and target.suffix and target.suffix != endings[to]:
        raise LikewiseError(
            f"{target} ends in {target.suffix}, but --to {to} writes {endings[to] or 'a folder'}. Give another --out, "
            f"or --to {next(name for name, ending in endings.items() if ending == target.suffix)}."
        )
    if not target.parent.is_dir():
        raise LikewiseError(f"The folder {target.parent} does not exist. Make it first, or choose another --out.")
    if target.exists():
        raise LikewiseError(f"{target} exists. Choose another with --out, or remove it first.")


Compute = Callable[[Tensor], Tensor]
"""What was loaded back: float pixels in [0, 1] -> features or logits"""


def _write_safetensors(exported: Exported, target: Path) -> Compute:
    tensors = {name: tensor.contiguous() for name, tensor in exported.network.state_dict().items()}
    settings = json.dumps(exported.settings.to_json())
    save_file(tensors, target, {**exported.metadata, "encoder": settings})
    with safe_open(target, "pt") as file:
        stored = file.metadata()
    again: nn.Module = build_encoder(exported.settings, fetch=False)
    if isinstance(again, Encoder) and isinstance(exported.network, Classifier):
        classes, width = tensors["head.weight"].shape
        names = json.loads(stored["class_names"])
        again = Classifier(again, nn.Linear(width, classes), float(stored["temperature"]), names)
    again.load_state_dict(load_file(target))
    loaded: Compute = again.eval()
    return loaded


def _require_timm(exported: Exported) -> None:
    settings = exported.settings
    if not isinstance(exported.encoder, TimmEncoder):
        raise LikewiseError(f"{settings.name} is not a timm network. Export it --to onnx or --to torchscript.")
    if settings.small_stem:
        raise LikewiseError(
            f"{settings.name} was trained with the 3x3 stem for small images, which timm.create_model does not build: "
            f"it would load wrongly there. Export it --to onnx, or train with --stem standard."
        )


def _timm_network(exported: Exported) -> Any:
    """The timm network with the head, if there is one, as its classifier; divided by the temperature."""
    encoder, network = exported.encoder, exported.network
    assert isinstance(encoder, TimmEncoder)
    if not isinstance(network, Classifier):
        return encoder.network
    whole: Any = timm.create_model(
        encoder.name.split(".")[0], num_classes=len(network.class_names), **_timm_arguments(exported)
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
        raise LikewiseError(f"timm builds {exported.settings.name} with other layers when it has a classifier.")
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


def _write_timm(exported: Exported, target: Path) -> Compute:
    network = _timm_network(exported)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, target, exported.metadata)
    encoder = exported.encoder
    assert isinstance(encoder, TimmEncoder)
    again = timm.create_model(
        encoder.name.split(".")[0], num_classes=network.num_classes, checkpoint_path=str(target),
        **_timm_arguments(exported),
    ).eval()  # fmt: skip
    return lambda pixels: again(encoder.normalise(pixels))


def _write_hub(exported: Exported, target: Path) -> Compute:
    from timm.models import save_for_hf

    network, settings, encoder = _timm_network(exported), exported.settings, exported.encoder
    input_config = {
        "input_size": (settings.channels, settings.image_size, settings.image_size),
        "mean": settings.mean,
        "std": settings.std,
        "crop_pct": 1.0,
    }
    config: dict[str, Any] = {"pretrained_cfg": input_config, "model_args": _timm_arguments(exported)}
    if isinstance(exported.network, Classifier):
        config["label_names"] = list(exported.network.class_names)
        config["temperature"] = 1.0  # the weights are divided by it
    save_for_hf(network, str(target), model_config=config, safe_serialization=True)
    if exported.card:
        (target / CARD).write_text(exported.card, encoding="utf-8")
    again = timm.create_model(f"local-dir:{target}", pretrained=True).eval()
    return lambda pixels: again(encoder.normalise(pixels))


def _write_torchscript(exported: Exported, target: Path) -> Compute:
    with warnings.catch_warnings():
        # PyTorch advises torch.export, whose files need PyTorch's Python; TorchScript is what C++ and phones read.
        warnings.simplefilter("ignore")
        graph = torch.jit.trace(exported.network, exported.pixels(2))
        torch.jit.save(graph, str(target), _extra_files=exported.metadata)
        loaded: Compute = torch.jit.load(str(target))
    return loaded


def _write_onnx(exported: Exported, target: Path) -> Compute:
    try:
        import onnx  # type: ignore[import-not-found]
        import onnxruntime  # type: ignore[import-not-found]
        import onnxscript  # type: ignore[import-not-found]  # noqa: F401  # PyTorch's exporter needs it, and says so less plainly
    except ImportError as error:
        raise LikewiseError(f"--to onnx needs {error.name}: pip install 'likewise[onnx]'.") from error
    batch = torch.export.Dim("batch", min=1)
    torch.onnx.export(
        exported.network, (exported.pixels(2),), str(target), dynamo=True, external_data=False, verbose=False,
        input_names=["pixels"], output_names=[exported.output], dynamic_shapes=({0: batch},),
    )  # fmt: skip
    graph = onnx.load(str(target))
    onnx.helper.set_model_props(graph, exported.metadata)
    onnx.save(graph, str(target))
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    return lambda pixels: torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])


WRITERS: dict[str, Callable[[Exported, Path], Compute]] = {
    "safetensors": _write_safetensors,
    "timm": _write_timm,
    "hub": _write_hub,
    "onnx": _write_onnx,
    "torchscript": _write_torchscript,
}


def _remove(target: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


@torch.no_grad()
def _refuse_difference(exported: Exported, compute: Compute, target: Path) -> None:
    """Remove what does not compute the same as the network, on a batch of another size than it was traced with."""
    pixels = exported.pixels(3)
    own = exported.network(pixels)
    difference = float((own - compute(pixels)).abs().max() / own.abs().max().clamp(min=1e-6))
    if not difference <= TOLERANCE:
        _remove(target)
        raise LikewiseError(
            f"What was exported differs from the {exported.part} by {difference:.2g} of its largest value, so {target} "
            f"was removed. Update the packages that read it together with torch."
        )
