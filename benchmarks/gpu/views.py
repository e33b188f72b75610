"""Views on a GPU: the kernels' own time, a whole call with its draws, other cuts, and the peers.

Aims: two views of 50,000 images of 32 pixels in 3 ms, of 512 in 0.15 ms, and 224 pixels at 60 % of the memory's speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
    not_measured,
    take_turns,
)
from likewise.data.batch import Batch, Pixels
from likewise.methods import Progress
from likewise.randomness import BatchRNG, Uniform
from likewise.training.host_threads import one_thread_for_gpu
from likewise.training.step_numbers import FixedProgress, StepNumbers
from likewise.views.fused import views as fused
from likewise.views.fused.packing import Packed, pack
from likewise.views.image.view_params import ViewParams
from likewise.views.policies import fixmatch_strong, simclr, simclr_small
from likewise.views.view_policy import ViewPolicy

LIMIT = 48.0


@dataclass(frozen=True)
class Sizes:
    """Of what is made; small ones try the section without a GPU."""

    few: int = 512
    """images of a batch"""
    many: int = 50_000
    """of an epoch"""
    compared: int = 64
    """views that are compared with those of the CPU"""
    sides: tuple[int, ...] = (32, 64, 96, 224)
    """of views that are compared"""
    small: int = 32
    middle: int = 96
    large: int = 224
    stored: int = 256
    """of images from which large views are cut"""
    of_peers: tuple[int, int] = (4096, 256)
    """images of a turn of small and of large views, for batched libraries"""
    copied: int = 2**30
    """bytes"""


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


def normalisation(policy: ViewPolicy, count: int, size: int, device: torch.device) -> Result:
    """The device's time for two views as an encoder takes them, by the kernels alone and by PyTorch after them."""
    images = images_of(count, size, device)
    both = two_packed(policy, count, device)
    mean, std = torch.tensor([0.49, 0.48, 0.45]), torch.tensor([0.25, 0.24, 0.26])
    encoder = fused.EncoderInput(mean.to(device), std.to(device))
    shape = (1, 3, 1, 1)

    def in_the_pass() -> list[Tensor]:
        return [fused.make(images, packed, size, encoder) for packed in both]

    def afterwards() -> list[Tensor]:
        views = [fused.make(images, packed, size) for packed in both]
        normalised = [(view - encoder.mean.view(shape)) / encoder.std.view(shape) for view in views]
        form = torch.channels_last
        return [view.to(encoder.dtype, memory_format=form) for view in normalised]

    off = (in_the_pass()[0].float() - afterwards()[0].float()).abs().max().item()
    calls = 2 if count > 10_000 else 10
    return {
        "in the same pass, ms": graph_milliseconds(in_the_pass, calls=calls),
        "afterwards, ms": graph_milliseconds(afterwards, calls=calls),
        "greatest difference": off,
    }


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


def agreement(policy: ViewPolicy, size: int, device: torch.device, count: int) -> Result:
    """How far a policy's views and boxes are from those of the CPU, of random images."""
    policy = replace(policy, size=size)
    aspect = torch.rand(count, generator=torch.Generator().manual_seed(0)) + 0.5
    there = Pixels(images_of(count, size + 5, device), aspect.to(device))
    found = policy(there, BatchRNG((3,), count))
    expected = policy(there.map(lambda part: part.cpu()), BatchRNG((3,), count))
    off = (found.pixels.cpu() - expected.pixels).abs()
    return {
        "greatest, of 255 levels": 255 * off.max().item(),
        "views with a pixel a level off": int((off.amax(dim=(1, 2, 3)) > 1 / 255).sum()),
        "boxes": (found.box.cpu() - expected.box).abs().max().item(),
        "finite": bool(found.pixels.isfinite().all()),
    }


def whole_call(policy: ViewPolicy, count: int, size: int, device: torch.device) -> Result:
    """Two views as an eager step asks for them: the copy of their keys, draws, kernels."""
    pixels = Pixels(images_of(count, size, device), torch.ones(count, device=device))
    step = iter(range(10**9))

    def work() -> None:
        number = next(step)
        for name in ("first", "second"):
            policy(pixels, BatchRNG((number, name), count))

    with one_thread_for_gpu(device):  # as in training
        return {"ms": milliseconds(work, 10), "host ms": host_milliseconds(work)}


def in_a_graph(policy: ViewPolicy, count: int, size: int, device: torch.device) -> Result:
    """The device's time for two views and their draws, as a captured step makes them by keys in its memory."""
    pixels = Pixels(images_of(count, size, device), torch.ones(count, device=device))
    rows = torch.arange(count, device=device)
    progress = FixedProgress(StepNumbers(device), Progress(0, 1))

    def work() -> None:
        for name in ("first", "second"):
            policy(pixels, progress.rng(name, Batch(pixels, rows, rows)))

    return {"ms": graph_milliseconds(work, calls=2 if count > 10_000 else 10)}


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
        "random numbers": lambda: (
            BatchRNG((next(step),), count).on(device).lines([Uniform(columns=36)])
        ),
        "parameters, numbers included": lambda: policy.sample_params(
            pixels, BatchRNG((next(step),), count)
        ),
        "kernel": lambda: fused.make(pixels.images, packed, size),
    }
    with one_thread_for_gpu(device):
        return {name: host_milliseconds(part, 50) for name, part in work.items()}


def cuts(policy: ViewPolicy, device: torch.device, clock: Clock, sizes: Sizes) -> Result:
    """Other numbers of warps and of registers, an epoch of small images and a batch of large ones."""
    found: Result = {}
    small = (policy, sizes.many, sizes.small, sizes.small, device)
    large = (policy, sizes.few, sizes.stored, sizes.large, device)
    for warps in (4, 8):
        for registers in (72, 96, 128):
            clock.check()
            with set_to(WARPS={**fused.WARPS, 32: warps}, BLUR_REGISTERS=registers):
                name = f"{sizes.small} px, {warps} warps, {registers} registers"
                found[name] = kernels(*small)["ms"]
    for warps in (4, 8):
        for tile in (16, 32):
            clock.check()
            with set_to(TILE_WARPS=warps, TILE=tile):
                found[f"{sizes.large} px, {warps} warps, tiles of {tile}"] = kernels(*large)["ms"]
    for blur_warps in (2, 8):
        clock.check()
        with set_to(BLUR_WARPS=blur_warps):
            found[f"{sizes.large} px, {blur_warps} warps blur"] = kernels(*large)["ms"]
    return found


def kornia_views(count: int, size: int, device: torch.device) -> Callable[[], object]:
    """Two SimCLR views by kornia, batched, each image by its own draws."""
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


def torchvision_views(count: int, size: int, device: torch.device) -> Callable[[], object]:
    """Two SimCLR views by torchvision v2, image by image, as its draws are for a whole batch."""
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


def peers(device: torch.device, clock: Clock, sizes: Sizes) -> Result:
    """Views a second of each library, two views of SimCLR with the blur, draws included, in this run."""
    found: Result = {}
    for size, count in zip((sizes.small, sizes.large), sizes.of_peers, strict=True):
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
            found[f"{name}, {size} px"] = speed_of(maker, max(count // share, 2), size, device)
    return found


def speed_of(
    maker: Callable[..., Callable[[], object]], count: int, size: int, device: torch.device
) -> float | Result:
    """Views a second of another library; why not, where it is missing or fails."""
    try:
        return 2 * count / milliseconds(maker(count, size, device), 3, 1) * 1e3
    except ImportError as reason:
        return not_measured(reason)
    except Exception as reason:  # what others do stops nothing of ours
        return {"ended": repr(reason)[:200]}


def run(device: torch.device, clock: Clock, sizes: Sizes | None = None) -> None:
    """What is right first, then the most important times."""
    sizes = sizes or Sizes()
    few, many = sizes.few, sizes.many
    small, large, stored = sizes.small, sizes.large, sizes.stored
    strong, everything = fixmatch_strong(), replace(simclr(), solarize=0.3, blur=0.7, cutout=0.3)
    plain, blurred = simclr_small(), simclr()
    of_large = f"{few:,} of {large} px from {stored}"
    alike = partial(agreement, device=device, count=sizes.compared)
    work: dict[str, Callable[[], Any]] = {
        **{f"agreement, {side} px": partial(alike, everything, side) for side in sizes.sides},
        f"agreement, FixMatch's strong view, {small} px": partial(alike, strong, small),
        f"in a graph, {few:,} of {small} px": partial(in_a_graph, plain, few, small, device),
        f"in a graph, {many:,} of {small} px": partial(in_a_graph, plain, many, small, device),
        f"in a graph, {few:,} of {small} px, FixMatch's strong view": partial(
            in_a_graph, strong, few, small, device
        ),
        f"whole call, {few:,} of {small} px": partial(whole_call, plain, few, small, device),
        f"host, {few:,} of {small} px, ms a view": partial(host_parts, plain, few, small, device),
        "copy, GB/s": lambda: copy_speed(device, sizes.copied) / 1e9,
        f"{of_large}, blur": partial(kernels, blurred, few, stored, large, device),
        f"{of_large}, no blur": partial(kernels, plain, few, stored, large, device),
        f"{many:,} of {small} px, no blur": partial(kernels, plain, many, small, small, device),
        f"{many:,} of {small} px, blur": partial(kernels, blurred, many, small, small, device),
        f"{few:,} of {small} px, no blur": partial(kernels, plain, few, small, small, device),
        f"{few:,} of {small} px, blur": partial(kernels, blurred, few, small, small, device),
        f"normalised, {few:,} of {small} px": partial(normalisation, plain, few, small, device),
        f"normalised, {many:,} of {small} px": partial(normalisation, plain, many, small, device),
        f"normalised, {few:,} of {large} px": partial(normalisation, plain, few, large, device),
        f"whole call, {few:,} of {small} px, FixMatch's strong view": partial(
            whole_call, strong, few, small, device
        ),
        f"whole call, {many:,} of {small} px": partial(whole_call, plain, many, small, device),
        "peers, views a second": partial(peers, device, clock, sizes),
        f"{of_large}, stored channels last": partial(
            kernels, plain, few, stored, large, device, stored_last=True
        ),
        f"{few:,} of {sizes.middle} px": partial(
            kernels, plain, few, sizes.middle, sizes.middle, device
        ),
        "other cuts, ms": partial(cuts, blurred, device, clock, sizes),
    }
    take_turns("views", work, clock)


SECTION = Section(run, LIMIT)
