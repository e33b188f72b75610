"""A GPU's kernels for views against the operations that define them.

On a machine with a GPU the kernels are compiled. Everywhere else the same cases run through Triton's interpreter, which
must be chosen before Triton is imported, and so has a process of its own.
"""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from sampled_params import natural, synthetic, whole_images

from likewise.data.batch import Pixels
from likewise.randomness import BatchRNG, batch_rng
from likewise.views import view_policy
from likewise.views.fused import operations as fused_operations
from likewise.views.fused import views as fused
from likewise.views.fused.packing import CUTOUT, ORDER, Packed, pack
from likewise.views.fused.sampling import sampled_operations
from likewise.views.image import batched
from likewise.views.image.crop import filter_taps
from likewise.views.image.random_ops import (
    OPERATIONS,
    amounts,
    chained,
    cut_out,
    operate,
    operation_ranges,
    operations_of,
)
from likewise.views.image.view_params import CutoutParams, RandAugmentParams, ViewParams
from likewise.views.policies import centre, comatch_strong, rand_augment, simclr
from likewise.views.view_policy import ViewPolicy
from losses.kernels import (
    DEVICE,
    INTERPRETED,
    compiled_for_a_gpu_that_is_not_here,
    needs_triton,
    on_kernels,
)

on_cuda = pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")

EVERYTHING = replace(simclr(), jitter=0.9, grey=0.3, blur=0.6, solarize=0.4, cutout=0.4)
CLOSE = 1e-4
"""A fortieth of one of 255 levels: the matrix units that blur are given float32 in three parts."""

SHAPES = {  # channels, height, width, size
    "28 grey": (1, 28, 28, 28),
    "32": (3, 32, 32, 32),
    "shrunk to an odd size": (3, 61, 61, 37),
    "taller than wide": (3, 30, 75, 20),
    "a line": (3, 1, 9, 5),
    "four channels": (4, 40, 40, 24),
    "to two pixels": (3, 9, 9, 2),
}
SINGLY = {
    "crop": ViewPolicy(),
    "brightness": ViewPolicy(jitter=1, brightness=0.8),
    "contrast": ViewPolicy(jitter=1, contrast=0.8),
    "saturation": ViewPolicy(jitter=1, saturation=0.8),
    "hue": ViewPolicy(jitter=1, hue=0.5),
    "grey": ViewPolicy(grey=0.5),
    "blur": ViewPolicy(blur=0.5),
    "solarize": ViewPolicy(solarize=0.5),
    "cutout": ViewPolicy(cutout=0.6),
    "tiny crops": ViewPolicy(crop_area=(0.0005, 0.002)),
}


def noise(rows: int, channels: int, height: int, width: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(rows)
    return torch.randint(
        0, 256, (rows, channels, height, width), generator=random, dtype=torch.uint8
    )


def sampled(policy: ViewPolicy, images: torch.Tensor) -> ViewParams:
    aspect = torch.rand(len(images), generator=torch.Generator().manual_seed(1)) + 0.5
    return policy.sample_params(Pixels(images, aspect), BatchRNG((0,), len(images)))


def defined(images: torch.Tensor, params: ViewParams, size: int) -> torch.Tensor:
    """By the operations of PyTorch, on the CPU."""
    views = batched.make(images, params, size)
    if params.cutout is not None:
        cut_out(views, params.cutout.centre, params.cutout.side)
    return views


def kernels(images: torch.Tensor, params: ViewParams, size: int) -> torch.Tensor:
    """By the kernels, from images as they lie in memory."""
    packed = pack(params).to(torch.device(DEVICE))
    return fused.make(images.to(DEVICE), packed, size).cpu()


@pytest.fixture(params=["whole", "in tiles"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Views of 20 pixels are made as few of up to 64 are, or as many larger ones."""
    if request.param == "in tiles":
        for name in ("WHOLE", "TILE"):
            monkeypatch.setattr(fused, name, 16)
        monkeypatch.setattr(fused_operations, "WHOLE", 16)
        monkeypatch.setattr(fused, "KNOWS_STRIDES", 1)
        monkeypatch.setattr(fused_operations, "BLOCK", 128)  # of 400 pixels
    return request.param


@on_kernels
@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_make_the_views_of_pytorch(shape: str) -> None:
    channels, height, width, size = SHAPES[shape]
    images = noise(2 if INTERPRETED else 64, channels, height, width)
    params = sampled(EVERYTHING, images)
    assert (kernels(images, params, size) - defined(images, params, size)).abs().max() < CLOSE


@on_kernels
@pytest.mark.parametrize("what", SINGLY)
def test_kernels_make_each_change_as_pytorch_does(what: str) -> None:
    images = torch.cat([synthetic(12, 3), noise(4, 3, 12, 12)])
    params = sampled(SINGLY[what], images)
    assert (kernels(images, params, 16) - defined(images, params, 16)).abs().max() < CLOSE


@on_kernels
def test_kernels_make_views_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "WHOLE", 16)
    images = noise(2 if INTERPRETED else 64, 3, 75, 50)
    params = sampled(replace(EVERYTHING, solarize=1.0), images)
    assert params.colour is not None and params.colour.blurred.any()
    assert (kernels(images, params, 37) - defined(images, params, 37)).abs().max() < CLOSE


def dense(index: torch.Tensor, weights: torch.Tensor, pixels: int) -> torch.Tensor:
    """Taps [B, size, taps] as the weight of each pixel of an image's axis: [B, size, pixels]."""
    return torch.zeros(*index.shape[:2], pixels).scatter_add_(2, index, weights)


@on_kernels
@pytest.mark.parametrize(("height", "width"), [(61, 74), (200, 1), (9, 40)])
def test_kernels_make_the_taps_of_pytorch_from_pixels_inside_the_image(
    height: int, width: int
) -> None:
    size, slots = 37, math.ceil(2 * max(height, width) / 37)
    box = sampled(simclr(), noise(6, 3, 1, 1)).box
    # The whole image, and one that rounding has made larger.
    box[0] = torch.eye(2, 3)
    box[1] = torch.eye(2, 3) * (1 + 1e-6)
    firsts = torch.zeros(6, 2, size + 1, dtype=torch.int32, device=DEVICE)
    weights = torch.zeros(6, 2, slots, size, device=DEVICE)
    fused.launch(
        "taps_kernel",
        (6,),
        4,
        (box.to(DEVICE), firsts, weights),
        (size, height, width),
        SIDE=64,
        TAPS=slots,
        SHRINKS=True,
    )
    for axis, pixels in enumerate((width, height)):
        first, count = firsts[:, axis, :size, None].cpu(), firsts[:, axis, size, None, None].cpu()
        assert (first >= 0).all() and (first + count <= pixels).all() and (count <= slots).all()
        tap = torch.arange(slots)
        found = weights[:, axis].mT.cpu() * (tap < count) * (255 if axis else 1)
        index = (first + tap).clamp(max=pixels - 1).long()
        expected = filter_taps(box[:, axis, axis], box[:, axis, 2], pixels, size)
        torch.testing.assert_close(
            dense(index, found, pixels), dense(*expected, pixels), atol=1e-5, rtol=0
        )


def test_the_pixel_beside_the_only_one_of_an_axis_is_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launched = {}

    def note(name: str, grid: object, warps: int, tensors: object, numbers: tuple, **flags) -> None:
        launched[name] = (*numbers, *flags.items())

    monkeypatch.setattr(fused, "launch", note)
    for rows in (2, fused.KNOWS_STRIDES):
        fused.make(noise(rows, 3, 1, 9), Packed(torch.eye(2, 3).repeat(rows, 1, 1)), 16)
        _, _, height, width, _, _, _, down, across, _, *flags = launched["view_kernel"]
        assert (height, width, down, across) == (1, 9, 0, 1)
        assert dict(flags)["STRIDE_H"] == 0


@on_kernels
def test_kernels_make_changes_in_any_order(way: str) -> None:
    images, order = natural(24, 3, 20), torch.tensor(list(itertools.permutations(range(4))))
    factors = torch.tensor([1.3, 1.6, 0.4, 0.2]).repeat(24, 1)
    order[::5, 1] = -1
    rows = slice(None, None, 5 if INTERPRETED and way == "in tiles" else 1)
    images = images[rows]
    params = whole_images(len(order[rows]), factors=factors[rows], order=order[rows])
    assert (kernels(images, params, 20) - defined(images, params, 20)).abs().max() < CLOSE


@on_kernels
def test_kernels_read_any_layout(way: str) -> None:
    images = noise(3, 3, 20, 20)
    params = sampled(EVERYTHING, images[1:2])
    expected = kernels(images[1:2], params, 20)
    last = images.to(memory_format=torch.channels_last)[1:2]
    assert torch.equal(kernels(last, params, 20), expected)


@on_kernels
@pytest.mark.parametrize(
    ("way", "channels"),
    [
        ("whole", 3),
        ("whole", 4),
        ("in tiles", 3),
        pytest.param("in tiles", 4, marks=pytest.mark.slow),
    ],
    indirect=["way"],
)
def test_kernels_normalise_for_an_encoder_in_the_same_pass(channels: int, way: str) -> None:
    images = noise(2 if INTERPRETED else 4, channels, 20, 20)
    params = sampled(EVERYTHING, images)
    mean, std = torch.linspace(0.3, 0.6, channels), torch.linspace(0.2, 0.3, channels)
    packed = pack(params).to(torch.device(DEVICE))
    encoder = fused.EncoderInput(mean, std, torch.float16)
    found = fused.make(images.to(DEVICE), packed, 20, encoder)
    assert found.dtype == torch.float16
    assert found.is_contiguous(memory_format=torch.channels_last)
    expected = (defined(images, params, 20) - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(found.cpu().float(), expected, atol=1e-3, rtol=2**-11)


@on_kernels
def test_kernels_scale_channels_that_have_no_colour() -> None:
    images = noise(2, 5, 14, 14)
    params = sampled(simclr(), images)
    assert params.colour is not None and params.colour.channel_factors is not None
    assert (kernels(images, params, 16) - defined(images, params, 16)).abs().max() < CLOSE


@on_kernels
def test_kernels_make_the_evaluation_view_and_that_of_no_image() -> None:
    params = ViewParams(
        centre(16, share=0.9)(Pixels(noise(2, 3, 20, 20), torch.tensor([0.5, 3.0]))).box
    )
    assert (
        kernels(noise(2, 3, 20, 20), params, 16) - defined(noise(2, 3, 20, 20), params, 16)
    ).abs().max() < CLOSE
    none = noise(2, 3, 20, 20)[:0]
    assert kernels(none, ViewParams(params.box[:0]), 16).shape == (0, 3, 16, 16)


OF_CHANNELS = [*((name, 3) for name in OPERATIONS), ("contrast", 1), ("equalize", 1), ("rotate", 1)]
IN_TILES = (
    "identity",
    "autocontrast",
    "equalize",
    "brightness",
    "sharpness",
    "posterize",
    "rotate",
)
"""Operations of which each is made in its own way; in tiles the others are compared by `make test-all` alone."""


@on_kernels
@pytest.mark.parametrize(
    ("way", "name", "channels"),
    [
        *(("whole", *case) for case in OF_CHANNELS),
        *(("in tiles", name, 3) for name in IN_TILES),
        ("in tiles", "contrast", 1),
        *(
            pytest.param("in tiles", name, 3, marks=pytest.mark.slow)
            for name in OPERATIONS
            if name not in IN_TILES
        ),
        pytest.param("in tiles", "equalize", 1, marks=pytest.mark.slow),
        pytest.param("in tiles", "rotate", 1, marks=pytest.mark.slow),
    ],
    indirect=["way"],
)
def test_kernels_make_the_operations_of_randaugment(name: str, channels: int, way: str) -> None:
    images = natural(4, channels, 20)
    params = rand_augment(1).sample_params(Pixels(images, torch.ones(4)), BatchRNG((2,), 4))
    kind, amount = torch.full((4, 1), list(OPERATIONS).index(name)), torch.zeros(4, 1)
    amount[:, 0] = amounts(
        kind[:, 0], torch.tensor([0.0, 0.4, 0.7, 1.0]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    )
    if name == "brightness":  # one of two, the other of which does nothing
        kind, amount = (torch.cat([part, torch.zeros_like(part)], dim=1) for part in (kind, amount))
    operations = RandAugmentParams(kind, amount)
    cutout = CutoutParams(torch.tensor([[0.1, 0.9], [0.5, 0.4], [1.0, 0.3], [0.2, 0.2]]), 0.3)
    packed = pack(params._replace(cutout=cutout)).to(torch.device(DEVICE))
    views = batched.make(images, params, 20)
    expected = views.clone()
    box = chained(params.box, operate(expected, operations))
    cut_out(expected, cutout.centre, cutout.side)
    found, found_box = fused_operations.operate(views.to(DEVICE), packed, operations)
    off = (found.cpu() - expected).abs()
    torch.testing.assert_close(found_box.cpu(), box)
    # Rounding may put a value at the border of two levels into the other one.
    assert (off > CLOSE).float().mean() < (0.01 if name in ("equalize", "posterize") else 1e-9)


@on_kernels
@pytest.mark.parametrize("chance", [1.0, 0.6])
def test_kernels_sample_the_operations_of_pytorch(chance: float) -> None:
    rng, ranges = BatchRNG((4, "view"), 300), operation_ranges(3, (0.1, 0.9))
    lines = rng.lines(ranges)
    found = sampled_operations(lines.to(DEVICE), 3, chance)
    drawn = [part.view(-1, 3) for part in lines.split(3)]
    for part, expected in zip(found, operations_of(drawn, chance), strict=True):
        assert part.dtype == expected.dtype and torch.equal(part.cpu(), expected)


NONE_FITS = ViewPolicy(crop_area=(0.9, 1.0), crop_ratio=(2.0, 3.0), flip=0.2, contrast=0.3)
"""At most of its boxes: none of ten tries."""


A_PART = {"total": 200, "first": 3, "stride": 2}
"""Of a batch whose other images other ranks have."""


@on_kernels
@pytest.mark.parametrize(
    ("policy", "channels", "part"),
    [
        (EVERYTHING, 3, {}),
        (EVERYTHING, 3, A_PART),
        (NONE_FITS, 3, A_PART),
        (ViewPolicy(), 3, A_PART),
        (EVERYTHING, 1, A_PART),
        (EVERYTHING, 4, A_PART),
        *(
            pytest.param(policy, channels, part, marks=pytest.mark.slow)
            for policy in (NONE_FITS, ViewPolicy())
            for channels, part in ((1, {}), (1, A_PART), (3, {}), (4, {}), (4, A_PART))
        ),
        *(pytest.param(EVERYTHING, channels, {}, marks=pytest.mark.slow) for channels in (1, 4)),
    ],
)
def test_kernels_sample_the_parameters_of_pytorch(
    policy: ViewPolicy, channels: int, part: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.zeros(70, channels, 1, 1, dtype=torch.uint8)
    pixels = Pixels(images, torch.rand(70, generator=torch.Generator().manual_seed(0)) * 2 + 0.2)
    expected = pack(policy.sample_params(pixels, BatchRNG((1, "view"), 70, **part)))
    for module in (view_policy, batch_rng):  # numbers and parameters by kernels
        monkeypatch.setattr(module, "runs_on", lambda device: True)
    there = pixels.map(lambda tensor: tensor.to(DEVICE))
    params = policy.sample_params(there, BatchRNG((1, "view"), 70, **part))
    found = pack(params)
    of_clips = pack(params.repeated(2))
    assert torch.equal(of_clips.rows[1::2], found.rows) and of_clips.blurs == found.blurs
    torch.testing.assert_close(found.box.cpu(), expected.box)
    boxes = policy.sample_boxes(BatchRNG((1, "view"), 70, **part), there.aspect)
    assert torch.equal(boxes, found.box)
    for what in ("coloured", "solarizes", "scaled"):
        assert getattr(found, what) == getattr(expected, what), what
    assert found.cutout_side == expected.cutout_side
    found, expected = found.rows.cpu(), expected.rows
    if not policy.cutout:
        found, expected = (rows[:, :CUTOUT] for rows in (found, expected))
    # An operation that is left out may stand anywhere.
    order = slice(ORDER, ORDER + 4)
    for found_row, expected_row in zip(found[:, order], expected[:, order], strict=True):
        assert torch.equal(found_row[found_row >= 0], expected_row[expected_row >= 0])
    found[:, order] = expected[:, order]
    assert torch.equal(found, expected)


@on_cuda
@pytest.mark.parametrize("policy", [EVERYTHING, comatch_strong(), centre()])
@pytest.mark.parametrize("size", [32, 96])
def test_a_policy_shows_the_same_views_on_a_gpu(policy: ViewPolicy, size: int) -> None:
    pixels, rng = Pixels(natural(40, 3, size), torch.rand(40) + 0.5), BatchRNG((1, "view"), 40)
    here = policy(pixels, rng)
    there = policy(pixels.map(lambda part: part.cuda()), BatchRNG((1, "view"), 40))
    assert there.pixels.is_cuda and there.box.is_cuda
    torch.testing.assert_close(there.box.cpu(), here.box)
    # An operation that looks at levels, such as posterize, may turn rounding into a level.
    off = (there.pixels.cpu() - here.pixels).abs()
    assert off.mean() < 1e-4 and (off > 1e-3).float().mean() < 1e-3


@on_cuda
def test_a_policy_is_a_transform_of_images_on_a_gpu() -> None:
    images = noise(3, 3, 40, 50)
    torch.manual_seed(0)
    here = simclr(size=32)(images)
    torch.manual_seed(0)
    there = simclr(size=32)(images.cuda())
    assert there.is_cuda and (there.cpu() - here).abs().max() < CLOSE


COMPILING = """
from likewise.views.fused import sampling

sampling.kernels = compiled
drawn, aspect = torch.rand(37, 8), torch.ones(8)
box, colour = sampling.BoxChances(0.75, 1.33, 0.5), sampling.ColourChances(15, 0.8, 0.2, 0.5, 0.2)
sampling.sampled(drawn, aspect, box, colour)
sampling.sampled(drawn, aspect, box)
sampling.sampled_operations(drawn, 2, 0.5)
"""


@needs_triton
@pytest.mark.slow
def test_the_sampling_compiles_for_a_gpu_that_is_not_here() -> None:
    assert compiled_for_a_gpu_that_is_not_here(COMPILING) == 3


OPERATIONS_COMPILING = """
from likewise.views.fused import operations, views
from likewise.views.fused.packing import Packed
from likewise.views.image.view_params import RandAugmentParams

views.kernels = compiled
packed = Packed(torch.eye(2, 3).repeat(2, 1, 1))
steps = RandAugmentParams(torch.ones(2, 1).long(), torch.ones(2, 1))
for channels in (3, 1):
    operations.operate(torch.rand(2, channels, 224, 224), packed, steps)
"""


@needs_triton
@pytest.mark.slow
def test_operations_on_large_views_compile_for_a_gpu_that_is_not_here() -> None:
    assert compiled_for_a_gpu_that_is_not_here(OPERATIONS_COMPILING) == 4


VIEWS_COMPILING = """
from likewise.views.fused import views
from likewise.views.fused.packing import Packed

views.kernels = compiled
packed = Packed(torch.eye(2, 3).repeat(64, 1, 1), torch.zeros(64, 13), True, blurs=True)
images = torch.zeros(64, 3, 32, 32, dtype=torch.uint8)
for size in (32, 96):
    views.make(images, packed, size)
"""


@needs_triton
@pytest.mark.slow
def test_blurred_views_compile_for_a_gpu_that_is_not_here() -> None:
    assert compiled_for_a_gpu_that_is_not_here(VIEWS_COMPILING) == 1 + 5
