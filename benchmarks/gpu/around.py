"""What stands around a step: decoding, the start of a run whose network was compiled before, FSDP2 with one GPU."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from lightning_fabric import Fabric
from PIL import Image
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from gpu import step
from gpu.section import Clock, Result, Section, not_measured, take_turns
from likewise.data.images import InMemoryImages
from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest
from likewise.encoders.from_timm import TimmEncoder
from likewise.methods.simclr import SimCLR
from likewise.training import LoopSettings, train
from likewise.training.fully_sharded import sharding_strategy, whole_tensor

QUALITY = 75
"""of the JPEG files"""


@dataclass(frozen=True)
class Sizes:
    """Of what is done; small ones try the section on a CPU."""

    files: int = 60_000
    distinct: int = 2000
    side: int = 32
    width: int = 384
    """of the transformer's rows, and 64 of it a head"""
    blocks: int = 12
    batch: int = 256
    steps: int = 20
    compiled: step.Sizes = field(default_factory=step.Sizes)
    """of the step whose encoder is compiled"""


def jpeg_files(sizes: Sizes, target: Path) -> float:
    """Write a Parquet file of small JPEG files of noise, with as many bytes as CIFAR-10's; gives the mean of these."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (sizes.distinct, 8, 8, 3), np.uint8)
    encoded = []
    for pixels in coarse:
        file = io.BytesIO()
        image = Image.fromarray(pixels).resize((sizes.side, sizes.side), Image.Resampling.BICUBIC)
        image.save(file, "JPEG", quality=QUALITY)
        encoded.append({"bytes": file.getvalue()})
    rows = [encoded[row % sizes.distinct] for row in range(sizes.files)]
    labels = np.arange(sizes.files) % step.CLASSES
    parquet.write_table(pa.table({"image": rows, "label": labels}), target)
    return float(np.mean([len(each["bytes"]) for each in rows]))


def decoding(sizes: Sizes) -> Result:
    """Seconds from the file to pixels in memory, as a run's data are opened, on all cores."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.parquet"
        size = jpeg_files(sizes, file)
        start = time.perf_counter()
        manifest = open_manifest(file)
        listed = time.perf_counter()
        images = open_images(manifest, sizes.side)
        end = time.perf_counter()
    assert isinstance(images, InMemoryImages)
    return {
        "files": len(images),
        "bytes a file": round(size),
        "cores": len(os.sched_getaffinity(0)),
        "listing (s)": round(listed - start, 2),
        "decoding (s)": round(end - listed, 2),
        "seconds": round(end - start, 2),
    }


def started_again(device: torch.device, sizes: Sizes) -> Result:
    """Warm-up and capture of a compiled step, by what the process of the section "step" left in the cache."""
    cache = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR", ""))
    if not str(cache) or not any(cache.glob("*/*")):
        return not_measured('nothing is compiled yet: the section "step" comes first')
    start = time.perf_counter()
    found = step.graph_alone(device, sizes.compiled, compile=True)
    return {**found, "seconds": round(time.perf_counter() - start, 1)}


def fully_sharded(device: torch.device, sizes: Sizes) -> Result:
    """A transformer trained with FSDP2 in one process, beside the same without: milliseconds, and how far apart.

    How far apart is relative to how far training went: a bias in front of batch normalisation has no gradient but
    rounding, and by itself differs as a whole.
    """
    found: Result = {}
    weights: dict[str, dict[str, Tensor]] = {}
    for name in ("plain", "sharded"):
        strategy = sharding_strategy(1) if name == "sharded" else "auto"
        fabric = Fabric(accelerator=device.type, strategy=strategy, devices=1)
        fabric.launch()
        watch, method = step.Watch(), SimCLR()
        torch.manual_seed(0)
        network = VisionTransformer(
            sizes.side, 4, num_classes=0, embed_dim=sizes.width, depth=sizes.blocks,
            num_heads=sizes.width // 64,
        )  # fmt: skip
        nets = method.build(TimmEncoder(network, "vit", (0.5,) * 3, (0.25,) * 3), step.CLASSES)
        start = {key: each.clone() for key, each in nets.state_dict().items()}
        of_loader = step.Sizes(images=4 * sizes.batch, batch=sizes.batch, side=sizes.side)
        loader = step.loader_for(method, torch.device("cpu"), of_loader)
        plan = LoopSettings(step.UNCOUNTED + sizes.steps, cuda_graph="off")
        train(fabric, method, nets, loader, step.RECIPE, plan, callbacks=[watch])
        found[f"{name} (ms)"] = watch.found["ms a step"]
        weights[name] = {key: whole_tensor(each).cpu() for key, each in nets.state_dict().items()}
    apart = distance(weights["plain"], weights["sharded"])
    found["difference"] = apart / distance(weights["plain"], start)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return found


def distance(these: dict[str, Tensor], those: dict[str, Tensor]) -> float:
    """The norm of the difference of all weights."""
    squares = [
        (one - those[key]).square().sum() for key, one in these.items() if one.is_floating_point()
    ]
    return float(torch.stack(squares).sum().sqrt())


def run(device: torch.device, clock: Clock, sizes: Sizes | None = None) -> None:
    """Decoding first, before CUDA starts: it forks."""
    sizes = sizes or Sizes()
    work: dict[str, Callable[[], Result]] = {
        f"decoding of {sizes.files:,} JPEG files": lambda: decoding(sizes),
        "start with the compile cache": lambda: started_again(device, sizes),
        "FSDP2": lambda: fully_sharded(device, sizes),
    }
    take_turns("around", work, clock)


SECTION = Section(run, 25.0)
