"""A user's own augmentation: made in the loader's workers, the same after a stop and on two devices."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from likewise.data.batch import Batch, Pixels
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader, Support
from likewise.encoders import build_encoder, choose_encoder
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Progress, with_view_size
from likewise.methods.user_views import view_notes, view_streams, with_views
from likewise.randomness import BatchRNG, generator
from likewise.runs.settings import from_json, to_json
from likewise.views import ViewPolicy, identity
from likewise.views.from_callable import CallableViews, RequestedViews

SIZE, COUNT = 16, 24
TORCHVISION = v2.Compose(
    [v2.RandomResizedCrop(SIZE, scale=(0.3, 1.0)), v2.RandomHorizontalFlip(), v2.ColorJitter(0.4)]
)


def of_pil(image):
    """A function on a PIL image, with Python's randomness."""
    assert isinstance(image, Image.Image)
    return image.rotate(random.uniform(-30, 30)).resize((SIZE, SIZE))


def of_tensor(image):
    """A function on uint8 [C, H, W], with NumPy's randomness."""
    assert image.dtype == torch.uint8
    return (image[:, :SIZE, :SIZE].float() / 255 * np.random.uniform(0.5, 1)).clamp(0, 1)


def pixels(count=COUNT, channels=3, side=SIZE):
    images = torch.randint(
        0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator(3)
    )
    return Pixels(images, torch.ones(count))


def made(transform, key=0, **changes):
    given = pixels(**changes)
    return CallableViews(transform, size=SIZE)(
        given, BatchRNG((key, "view"), len(given.images))
    ).pixels


@pytest.mark.parametrize(
    "transform", [TORCHVISION, of_pil, of_tensor], ids=["torchvision", "PIL", "tensor"]
)
def test_views_are_a_function_of_the_key(transform):
    before = random.getstate(), torch.get_rng_state()
    views = made(transform)
    assert views.shape == (COUNT, 3, SIZE, SIZE) and views.dtype == torch.float32
    assert 0 <= views.min() and views.max() <= 1
    assert torch.equal(views, made(transform))
    assert not torch.equal(views, made(transform, key=1))
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(
    ("transform", "takes"), [(of_pil, "pil"), (of_tensor, "tensor"), (TORCHVISION, "pil")]
)
def test_what_a_callable_takes_is_found_once(transform, takes):
    views = CallableViews(lambda image: calls.append(image) or transform(image), size=SIZE)
    calls = []
    views(pixels(4), BatchRNG((0, "view"), 4))
    tried = len(calls) - 4
    assert views.takes == takes and tried == {"pil": 1, "tensor": 2}[takes]
    views(pixels(4), BatchRNG((0, "view"), 4))
    assert len(calls) == tried + 8


def test_a_callable_that_takes_nothing_is_refused():
    with pytest.raises(LikewiseError, match=r"AttributeError.*no_such.*AttributeError"):
        made(lambda image: image.no_such_method())


def test_albumentations_is_given_arrays():
    albumentations = pytest.importorskip("albumentations", reason="albumentations is not installed")
    compose = albumentations.Compose(
        [albumentations.RandomCrop(SIZE, SIZE), albumentations.HorizontalFlip(p=0.5)]
    )
    views = made(compose, side=24)
    assert torch.equal(views, made(compose, side=24)) and not torch.equal(
        views, made(compose, key=1, side=24)
    )


@pytest.mark.parametrize("channels", [1, 2, 13])
def test_images_of_any_channels_reach_the_callable(channels):
    assert made(of_tensor, channels=channels).shape == (COUNT, channels, SIZE, SIZE)
    assert made(v2.RandomHorizontalFlip(), channels=channels).shape == (COUNT, channels, SIZE, SIZE)


@pytest.mark.parametrize(
    ("transform", "named"),
    [
        (
            v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.1] * 3)]),
            "Normalize",
        ),
        (v2.Resize((8, 8)), r"image_size=8"),
        (v2.Resize((SIZE, 8)), r"\(3, 16, 8\)"),
        (v2.Grayscale(), r"\(1, 16, 16\)"),
        (lambda image: None, "NoneType"),
    ],
    ids=["normalised", "another size", "oblong", "channels", "nothing"],
)
def test_what_is_no_view_is_refused(transform, named):
    compose = (
        transform
        if not isinstance(transform, v2.Compose)
        else v2.Compose([v2.ToImage(), *transform.transforms])
    )
    with pytest.raises(LikewiseError, match=named):
        made(compose)
    with pytest.raises(LikewiseError, match="callable"):
        CallableViews("flip")


def test_an_oblong_image_has_its_shape_back():
    squares = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    wide, high = Pixels(squares, torch.tensor([2.0, 0.5])).unsqueezed()
    assert wide.shape == (3, 16, 32) and high.shape == (3, 32, 16)


@pytest.mark.parametrize("views", [None, RequestedViews()], ids=["in a step", "in a dry run"])
def test_clips_are_refused_before_a_loader_makes_views_of_them(views):
    clips = Pixels(torch.zeros(2, 4, 3, SIZE, SIZE, dtype=torch.uint8), torch.ones(2), views=views)
    with pytest.raises(LikewiseError, match="views="):
        CallableViews(of_tensor, size=SIZE)(clips, BatchRNG((0, "view"), 2))


def test_a_method_with_several_kinds_of_views_wants_names():
    simclr = with_views(METHODS["simclr"](), of_pil)
    assert isinstance(simclr.views, CallableViews)
    comatch = METHODS["comatch"]()
    with pytest.raises(LikewiseError, match="strong_views"):
        with_views(comatch, of_pil)
    with pytest.raises(LikewiseError, match="weak_views"):
        with_views(comatch, {"weak": of_pil})
    both = with_views(comatch, {"weak_views": identity(), "strong_views": of_pil})
    assert both.weak_views == identity() and isinstance(both.strong_views, CallableViews)
    assert isinstance(both.other_views, ViewPolicy)


def test_what_needs_rgb_is_noted_once():
    comatch = METHODS["comatch"]()
    assert view_notes(comatch, 3) == view_notes(comatch, 1) == []
    assert len(view_notes(METHODS["byol"](), 13)) == 1
    assert "13" in view_notes(METHODS["byol"](), 13)[0]
    assert view_notes(with_views(METHODS["simclr"](), of_pil), 13) == []


def test_a_stored_method_knows_what_made_its_views():
    rule = with_view_size(with_views(METHODS["simclr"](), of_pil), SIZE)
    stored = to_json(rule)
    assert stored["views"]["source"].endswith(":of_pil") and stored["views"]["size"] == SIZE
    again = from_json(METHODS["simclr"], stored)
    assert to_json(again) == stored
    with pytest.raises(LikewiseError, match="of_pil"):
        again.views(pixels(2), BatchRNG((0, "view"), 2))
    assert from_json(METHODS["simclr"], to_json(METHODS["simclr"]())) == METHODS["simclr"]()


def setup(name="suncet", transform=of_pil, **options):
    rule = with_view_size(with_views(METHODS[name](), transform), SIZE)
    nets = rule.build(build_encoder(choose_encoder("conv4", SIZE, (0.5,) * 3, (0.2,) * 3)), 2)
    support = Support(2, 4) if rule.support else None
    loader = Loader(InMemoryImages(pixels()), torch.arange(COUNT) % 2, 8, 5, support, **options)
    streams = view_streams(rule, nets, loader, Progress(0, 4, 5))
    return rule, nets, replace(loader, view_streams=streams)


def test_a_dry_run_finds_what_the_method_asks_for_and_leaves_its_networks():
    rule, nets, loader = setup()
    weights = {name: value.clone() for name, value in nets.state_dict().items()}
    streams = view_streams(rule, nets, loader, Progress(0, 4, 5))
    assert sorted((stream.name, stream.of_support) for stream in streams) == [
        ("first view", False), ("second view", False), ("support", True),
    ]  # fmt: skip
    assert all(torch.equal(value, weights[name]) for name, value in nets.state_dict().items())
    assert view_streams(METHODS["simclr"](), nets, loader, Progress(0, 4, 5)) == []


def test_squares_are_made_only_where_a_policy_reads_them():
    _, _, loader = setup()
    assert not any(stream.has_squares for stream in loader.view_streams)
    _, _, loader = setup("isd", {"student_views": of_pil, "teacher_views": identity()})
    assert [stream.has_squares for stream in loader.view_streams] == [True]


def test_what_the_loader_makes_is_what_the_method_would_make():
    rule, nets, loader = setup()
    batch, progress = loader.batch(2), Progress(2, 4, 5)
    assert set(batch.pixels.views) == {"first view", "second view"} and set(
        batch.support.pixels.views
    ) == {"support"}
    plain = replace(loader, view_streams=()).batch(2)
    assert plain.pixels.views is None
    nets.eval()
    for name, rows in rule.embed(nets, batch, progress).items():
        assert torch.equal(rows, rule.embed(nets, plain, progress)[name])


def test_workers_and_ranks_make_the_same_views():
    _, _, loader = setup()
    one = [batch.pixels.views["first view"] for batch in loader.batches(0, 3)]
    two = [batch.pixels.views["first view"] for batch in replace(loader, workers=2).batches(0, 3)]
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    halves = [
        replace(loader, rank=rank, world_size=2).batch(1).pixels.views["first view"]
        for rank in range(2)
    ]
    assert torch.equal(torch.cat(halves), one[1])
    assert not torch.equal(one[0], one[1])


def test_a_microbatch_has_its_own_views():
    _, _, loader = setup()
    batch = loader.batch(0)
    parts: list[Batch] = batch.microbatches(2)
    assert torch.equal(parts[1].pixels.views["first view"], batch.pixels.views["first view"][1::2])
