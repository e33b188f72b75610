"""A run's encoder, or its classifier, in formats that other tools read; each is verified by loading it back."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from likewise.atomic_write import disk_error, refused_by_disk, write_bytes
from likewise.classification import Classifier
from likewise.encoders import Encoder, build_encoder
from likewise.errors import LikewiseError, did_you_mean
from likewise.run_folder import RunFolder
from likewise.runs.export_timm import require_timm, write_hub, write_timm
from likewise.runs.exported import CARD, Compute, Exported, stored_tensors

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
        raise LikewiseError(
            f"There is no format {to!r}. {did_you_mean(to, NAMES)} Give the file by out=."
        )
    target = Path(out) if out else folder / NAMES[to].format(part=exported.part)
    own = to == "safetensors" and exported.part == "encoder"
    if own and target == folder / NAMES[to].format(part="encoder"):
        if exported.card:
            write_bytes(folder / CARD, exported.card.encode())
        return target  # a run's own weights
    _check_target(target, to)
    if to in ("timm", "hub"):
        require_timm(exported)
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
    ending = Path(NAMES[to]).suffix
    others = [name for name, file in NAMES.items() if Path(file).suffix == target.suffix]
    if target.suffix and others and to not in others:
        raise LikewiseError(
            f"{target} ends in {target.suffix}, but --to {to} writes {ending or 'a folder'}. Give another --out, or "
            f"--to {others[0]}."
        )
    if not target.parent.is_dir():
        raise LikewiseError(
            f"The folder {target.parent} does not exist. Make it first, or choose another --out."
        )
    if RunFolder(target).config.exists():
        raise LikewiseError(f"{target} is the folder of a run. Choose another --out.")
    if target.exists():
        raise LikewiseError(f"{target} exists. Choose another with --out, or remove it first.")


def _write_safetensors(exported: Exported, target: Path) -> Compute:
    tensors = stored_tensors(exported.network)
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


def _write_torchscript(exported: Exported, target: Path) -> Compute:
    with warnings.catch_warnings():
        # PyTorch advises torch.export, whose files need PyTorch's Python; TorchScript is what C++ and phones read.
        warnings.simplefilter("ignore")
        graph = torch.jit.trace(exported.network, exported.pixels(2))
        whole = io.BytesIO()  # PyTorch's own writer ends the process where the disk is full
        torch.jit.save(graph, whole, _extra_files=exported.metadata)
        write_bytes(target, whole.getbuffer())
        loaded: Compute = torch.jit.load(str(target))
    return loaded


def _write_onnx(exported: Exported, target: Path) -> Compute:
    try:
        import onnx  # type: ignore[import-not-found]
        import onnxruntime  # type: ignore[import-not-found]
        import onnxscript  # type: ignore[import-not-found]  # noqa: F401  # PyTorch's exporter needs it, and says so less plainly
    except ImportError as error:
        raise LikewiseError(
            f"--to onnx needs {error.name}: pip install 'likewise[onnx]'."
        ) from error
    batch = torch.export.Dim("batch", min=1)
    torch.onnx.export(
        exported.network,
        (exported.pixels(2),),
        str(target),
        input_names=["pixels"],
        output_names=[exported.output],
        dynamic_shapes=({0: batch},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    graph = onnx.load(str(target))
    onnx.helper.set_model_props(graph, exported.metadata)
    onnx.save(graph, str(target))
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    return lambda pixels: torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])


WRITERS: dict[str, Callable[[Exported, Path], Compute]] = {
    "safetensors": _write_safetensors,
    "timm": write_timm,
    "hub": write_hub,
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
    largest = own.abs().max().clamp(min=1e-6)
    difference = float((own - compute(pixels)).abs().max() / largest)
    if not difference <= TOLERANCE:
        _remove(target)
        raise LikewiseError(
            f"What was exported differs from the {exported.part} by {difference:.2g} of its largest value, so {target} "
            f"was removed. Update the packages that read it together with torch."
        )
