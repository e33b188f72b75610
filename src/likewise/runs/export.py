"""A run's encoder in the formats that other tools read. A file that does not compute the same is removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from likewise.encoders import Encoder, EncoderSettings
from likewise.encoders.from_timm import TimmEncoder
from likewise.errors import LikewiseError, did_you_mean
from likewise.run_folder import RunFolder

Format = Literal["safetensors", "timm", "onnx"]

TOLERANCE = 1e-3
"""Largest difference to the encoder's own features that an exported graph may show, relative to their size."""


ENDINGS = {"safetensors": ".safetensors", "timm": ".safetensors", "onnx": ".onnx"}
"""The ending of each format's file."""

FILES = {"timm": "timm.safetensors", "onnx": "encoder.onnx"}
"""The name of a format's file in a run's folder; safetensors are the run's own weights."""


def export_encoder(
    run: RunFolder, encoder: Encoder, settings: EncoderSettings, to: Format, out: str | Path | None = None
) -> Path:
    """Write the encoder in a format and return the file.

    Args:
        run: where it goes unless ``out`` is given.
        encoder: in eval mode.
        settings: how it was built.
        to: ``safetensors``, everything, normalisation included, under our names; ``timm``, the backbone's weights as
            ``timm.create_model(name, num_classes=0, checkpoint_path=...)`` loads them; ``onnx``, a graph from float
            pixels in [0, 1] to features, for any batch size.
        out: the file.

    Raises:
        LikewiseError: the format does not fit this encoder, a package is missing, or the file is there already.
    """
    if to not in ENDINGS:
        raise LikewiseError(f"There is no format {to!r}. {did_you_mean(to, ENDINGS)} Give the file by out=.")
    own = run.path / FILES[to] if to in FILES else run.weights
    target = Path(out) if out else own
    if target.suffix in ENDINGS.values() and target.suffix != ENDINGS[to]:
        raise LikewiseError(
            f"{target} ends in {target.suffix}, but {to} writes {ENDINGS[to]}. Give the format too, for instance "
            f"--to {next(name for name, ending in ENDINGS.items() if ending == target.suffix)}."
        )
    if not target.parent.is_dir():
        raise LikewiseError(f"The folder {target.parent} does not exist. Make it first, or choose another --out.")
    if to == "safetensors":
        if target != run.weights:
            _refuse_existing(target)
            shutil.copyfile(run.weights, target)
        return target
    _refuse_existing(target)
    (_write_timm if to == "timm" else _write_onnx)(encoder, settings, target)
    return target


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise LikewiseError(f"{target} exists. Choose another file with --out, or remove it first.")


def _write_timm(encoder: Encoder, settings: EncoderSettings, target: Path) -> None:
    if not isinstance(encoder, TimmEncoder):
        raise LikewiseError(f"{settings.name} is not a timm network. Export it --to safetensors or --to onnx.")
    if settings.small_stem:
        raise LikewiseError(
            f"{settings.name} was trained with the 3x3 stem for small images, which timm.create_model does not build: "
            f"it would load wrongly there. Export it --to onnx, or train with --stem standard."
        )
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.network.state_dict().items()}, target
    )


def _write_onnx(encoder: Encoder, settings: EncoderSettings, target: Path) -> None:
    try:
        import onnxruntime  # type: ignore[import-not-found]
        import onnxscript  # type: ignore[import-not-found]  # noqa: F401  # PyTorch's exporter needs it, and says so less plainly
    except ImportError as error:
        raise LikewiseError(f"--to onnx needs {error.name}: pip install 'likewise[onnx]'.") from error
    frames = (settings.frames,) if settings.frames > 1 else ()
    pixels = torch.rand(2, *frames, encoder.channels, settings.image_size, settings.image_size)
    batch = torch.export.Dim("batch", min=1)
    torch.onnx.export(
        encoder, (pixels,), str(target), dynamo=True, external_data=False, verbose=False,
        input_names=["pixels"], output_names=["features"], dynamic_shapes=({0: batch},),
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    more = torch.rand(3, *pixels.shape[1:])
    exported = torch.from_numpy(session.run(None, {"pixels": more.numpy()})[0])
    _refuse_difference(encoder, more, exported, target)


@torch.no_grad()
def _refuse_difference(encoder: Encoder, pixels: Tensor, exported: Tensor, target: Path) -> None:
    """Remove an exported file that does not compute what the encoder computes."""
    own = encoder(pixels)
    difference = float((own - exported).abs().max() / own.abs().max().clamp(min=1e-6))
    if difference > TOLERANCE:
        target.unlink()
        raise LikewiseError(
            f"The exported graph differs from the encoder by {difference:.2g} of its largest feature, so {target} was "
            f"removed. Update onnx, onnxruntime and torch together."
        )
