"""Views on a GPU: the kernels' own time, a whole call with its draws, other cuts, and the peers.

Aims: two views of 50,000 images of 32 pixels in 3 ms, of 512 in 0.15 ms, and 224 pixels at 60 % of the memory's speed.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gpu.section import (
    Clock,
    Result,
    Section,
    copy_speed,
    graph_milliseconds,
    milliseconds,
    take_turns,
)
from likewise.data.batch import Pixels
from likewise.randomness import BatchRNG
from likewise.training.host_threads import one_thread_for_gpu
from likewise.views.fused import views as fused
from likewise.views.fused.packing import Packed, pack
from likewise.views.image.view_params import ViewParams
from likewise.views.policies import fixmatch_strong, simclr, simclr_small
from likewise.views.view_policy import ViewPolicy

LIMIT = 60.0
COMPARED = 64
"""views that are compared with those of the CPU"""


def images_of(count: int, side: int, device: torch.device, channels_last: bool = False) -> Tensor:
    """Noise: uint8 [B, 3, S, S]. Its content does not change the speed."""
    random = torch.Generator(device).manual_seed(0)
    images = torch.randint(
        0, 256, (count, 3, side, side), dtype=torch.uint8, device=device, generator=random
    )
    return images.to(memory_format=torch.channels_last) if channels_last else images


def sampled(policy: ViewPolicy, count: int, key: int) -> ViewParams:
    """Drawn on the CPU."""
    pixels = Pixels(torch.empty(count, 3, 1, 1, dtype=torch.uint8), torch.ones(count))
    return policy.sample_params(pixels, BatchRNG((key,), count))


def two_packed(policy: ViewPolicy, count: int, device: torch.device) -> list[Packed]:
    """The parameters of two views."""
    return [pack(sampled(policy, count, key)).to(device) for key in range(2)]


def bytes_moved(packed: Packed, images: Tensor, views: Tensor) -> float:
    """Each pixel of a box read once, and each of the view written once."""
    box = packed.box
    share = (box[:, 0, 0].abs() * box[:, 1, 1].abs()).mean().item()
    return share * images.numel() + views.numel() * views.element_size()


def kernels(
    policy: ViewPolicy,
    count: int,
    stored: int,
    size: int,
    device: torch.device,
    stored_last: bool = False,
) -> Result:
    """The device's time for two views, and its share of the copy's speed."""
    images = images_of(count, stored, device, stored_last)
    both = two_packed(policy, count, device)

    def work() -> list[Tensor]:
        return [fused.make(images, packed, size) for packed in both]

    views = work()
    spent = graph_milliseconds(work, calls=2 if count > 10_000 else 10)
    moved = sum(bytes_moved(packed, images, view) for packed, view in zip(both, views, strict=True))
    return {"ms": spent, "GB moved": moved / 1e9, "GB/s": moved / spent / 1e6}


@contextmanager
def set_to(**values: Any) -> Iterator[None]:
    """Constants of `fused` for a while."""
    before = {name: getattr(fused, name) for name in values}
    for name, value in values.items():
        setattr(fused, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(fused, name, value)


def agreement(policy: ViewPolicy, size: int, device: torch.device) -> Result:
    """How far a policy's views and boxes are from those of the CPU, of random images."""
    policy = replace(policy, size=size)
    aspect = torch.rand(COMPARED, generator=torch.Generator().manual_seed(0)) + 0.5
    there = Pixels(images_of(COMPARED, size + 5, device), aspect.to(device))
    found = policy(there, BatchRNG((3,), COMPARED))
    expected = policy(there.map(lambda part: part.cpu()), BatchRNG((3,), COMPARED))
    off = (found.pixels.cpu() - expected.pixels).abs()
    return {
        "greatest, of 255 levels": 255 * off.max().item(),
        "views with a pixel a level off": int((off.amax(dim=(1, 2, 3)) > 1 / 255).sum()),
        "boxes": (found.box.cpu() - expected.box).abs().max().item(),
        "finite": bool(found.pixels.isfinite().all()),
    }


def whole_call(policy: ViewPolicy, count: int, size: int, device: torch.device) -> Result:
    """Two views as a training step asks for them: draws, their copy, the kernels."""
    pixels = Pixels(images_of(count, size, device), torch.ones(count, device=device))
    step = iter(range(10**9))

    def work() -> None:
        number = next(step)
        for name in ("first", "second"):
            policy(pixels, BatchRNG((number, name), count))

    with one_thread_for_gpu(device):  # as in training
        return {"ms": milliseconds(work, 10), "host ms": host_milliseconds(work)}


def host_milliseconds(work: Callable[[], object], calls: int = 10) -> float:
    """How long the host is busy with one call, while the device has less to do than it."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return 1e3 * (time.perf_counter() - start) / calls


def host_parts(policy: ViewPolicy, count: int, size: int, device: torch.device) -> Result:
    """Milliseconds that the host spends on each part of one view."""
    pixels = Pixels(images_of(count, size, device), torch.ones(count, device=device))
    step = iter(range(10**9))
    params = policy.sample_params(pixels, BatchRNG((0,), count))
    packed = pack(params).to(device)
    work = {
        "random numbers": lambda: BatchRNG((next(step),), count).uniform(columns=36),
        "parameters, numbers included": lambda: policy.sample_params(
            pixels, BatchRNG((next(step),), count)
        ),
        "kernel": lambda: fused.make(pixels.images, packed, size),
    }
    with one_thread_for_gpu(device):
        return {name: host_milliseconds(part, 50) for name, part in work.items()}


def cuts(policy: ViewPolicy, device: torch.device, clock: Clock) -> Result:
    """Other numbers of warps and another place for the blur, 50,000 images of 32 pixels and 512 of 224."""
    found: Result = {}
    for warps in (2, 4, 8):
        for within in (0, 32):
            clock.check()
            with set_to(WARPS={**fused.WARPS, 32: warps}, BLURS_WHOLE=within):
                found[f"32 px, {warps} warps, blur within to {within}"] = kernels(
                    policy, 50_000, 32, 32, device
                )["ms"]
    for warps in (4, 8):
        for tile in (16, 32):
            clock.check()
            with set_to(TILE_WARPS=warps, TILE=tile):
                found[f"224 px, {warps} warps, tiles of {tile}"] = kernels(
                    policy, 512, 256, 224, device
                )["ms"]
    for blur_warps in (2, 8):
        clock.check()
        with set_to(BLUR_WARPS=blur_warps):
            found[f"224 px, {blur_warps} warps blur"] = kernels(policy, 512, 256, 224, device)["ms"]
    return found


def kornia_views(count: int, size: int, device: torch.device) -> Callable[[], object] | None:
    """Two SimCLR views by kornia, batched, each image by its own draws."""
    if importlib.util.find_spec("kornia") is None:
        return None
    from kornia import augmentation  # pyright: ignore[reportMissingImports]

    images = images_of(count, size, device).float().div_(255)
    pipeline = augmentation.AugmentationSequential(
        augmentation.RandomResizedCrop((size, size), scale=(0.08, 1.0)),
        augmentation.RandomHorizontalFlip(),
        augmentation.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        augmentation.RandomGrayscale(p=0.2),
        augmentation.RandomGaussianBlur((fused.kernel_size(size),) * 2, (0.1, 2.0), p=0.5),
        same_on_batch=False,
    ).to(device)
    return lambda: [pipeline(images) for _ in range(2)]


def torchvision_views(count: int, size: int, device: torch.device) -> Callable[[], object] | None:
    """Two SimCLR views by torchvision v2, image by image, as its draws are for a whole batch."""
    if importlib.util.find_spec("torchvision") is None:
        return None
    from torchvision.transforms import v2

    images = images_of(count, size, device)
    jitter = v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8)
    blur = v2.RandomApply([v2.GaussianBlur(fused.kernel_size(size), (0.1, 2.0))], p=0.5)
    pipeline = v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            jitter,
            v2.RandomGrayscale(p=0.2),
            blur,
        ]
    )
    return lambda: [torch.stack([pipeline(image) for image in images]) for _ in range(2)]


def peers(device: torch.device, clock: Clock) -> Result:
    """Views a second of each library, two views of SimCLR with the blur, draws included, in this run."""
    found: Result = {}
    for size, count in ((32, 4096), (224, 256)):
        clock.check()
        pixels = Pixels(images_of(count, size, device), torch.ones(count, device=device))
        policy = replace(simclr(), size=size)
        ours = milliseconds(lambda pixels=pixels, policy=policy, count=count: [
            policy(pixels, BatchRNG((0, key), count)) for key in range(2)
        ], 5)  # fmt: skip
        found[f"likewise, {size} px"] = 2 * count / ours * 1e3
        for name, maker, share in (
            ("kornia", kornia_views, 1),
            ("torchvision v2", torchvision_views, 64),
        ):
            try:
                work = maker(count // share, size, device)
                if work is not None:
                    found[f"{name}, {size} px"] = (
                        2 * (count // share) / milliseconds(work, 3, 1) * 1e3
                    )
            except Exception as reason:
                found[f"{name}, {size} px"] = repr(reason)[:200]
    return found


def run(device: torch.device, clock: Clock) -> None:
    """What is right first, then the most important times."""
    strong, everything = fixmatch_strong(), replace(simclr(), solarize=0.3, blur=0.7, cutout=0.3)
    plain, blurred = simclr_small(), simclr()
    sizes = (32, 64, 96, 224)
    work: dict[str, Callable[[], Any]] = {
        **{f"agreement, {size} px": partial(agreement, everything, size, device) for size in sizes},
        "agreement, FixMatch's strong view, 32 px": partial(agreement, strong, 32, device),
        "whole call, 512 of 32 px": partial(whole_call, plain, 512, 32, device),
        "host, 512 of 32 px, ms a view": partial(host_parts, plain, 512, 32, device),
        "copy, GB/s": lambda: copy_speed(device) / 1e9,
        "512 of 224 px from 256, blur": partial(kernels, blurred, 512, 256, 224, device),
        "512 of 224 px from 256, no blur": partial(kernels, plain, 512, 256, 224, device),
        "50,000 of 32 px, no blur": partial(kernels, plain, 50_000, 32, 32, device),
        "50,000 of 32 px, blur": partial(kernels, blurred, 50_000, 32, 32, device),
        "512 of 32 px, no blur": partial(kernels, plain, 512, 32, 32, device),
        "512 of 32 px, blur": partial(kernels, blurred, 512, 32, 32, device),
        "whole call, 512 of 32 px, FixMatch's strong view": partial(
            whole_call, strong, 512, 32, device
        ),
        "whole call, 50,000 of 32 px": partial(whole_call, plain, 50_000, 32, device),
        "peers, views a second": partial(peers, device, clock),
        "512 of 224 px from 256, stored channels last": partial(
            kernels, plain, 512, 256, 224, device, stored_last=True
        ),
        "512 of 96 px": partial(kernels, plain, 512, 96, 96, device),
        "other cuts, ms": partial(cuts, blurred, device, clock),
    }
    take_turns("views", work, clock)


SECTION = Section(run, LIMIT)
