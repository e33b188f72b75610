"""Compiled views against the operations that define them, and what happens where they cannot be compiled."""

import ctypes
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from compiled import skip_without_compiled_code
from sampled_params import natural, whole_images

from likewise.data.batch import Pixels
from likewise.randomness import BatchRNG
from likewise.views.image import batched
from likewise.views.image.view_params import ViewParams
from likewise.views.native import library
from likewise.views.native import views as native
from likewise.views.policies import centre, simclr
from likewise.views.view_policy import ViewPolicy

EVERYTHING = replace(simclr(), jitter=0.9, grey=0.3, blur=0.6, solarize=0.4)
PLAIN = ViewPolicy(jitter=1)
SINGLY = {
    "nothing but the crop": PLAIN,
    "brightness": replace(PLAIN, brightness=0.8),
    "contrast": replace(PLAIN, contrast=0.8),
    "saturation": replace(PLAIN, saturation=0.8),
    "hue": replace(PLAIN, hue=0.5),
    "grey": replace(PLAIN, grey=0.5),
    "blur": replace(PLAIN, blur=0.5),
    "solarize": replace(PLAIN, solarize=0.5),
    "mirrored": replace(PLAIN, flip=1),
    "tiny crops": replace(PLAIN, crop_area=(0.0005, 0.002)),
    "everything": EVERYTHING,
    "everything on tiny crops": replace(EVERYTHING, crop_area=(0.0005, 0.002)),
}
SHAPES = {  # channels, height, width, size
    "28 grey": (1, 28, 28, 28),
    "32": (3, 32, 32, 32),
    "shrunk": (3, 75, 75, 32),
    "enlarged": (3, 20, 20, 45),
    "shrunk to an odd size": (3, 61, 61, 37),
    "taller than wide": (3, 70, 40, 33),
    "wider than tall, enlarged": (1, 18, 30, 41),
    "a line": (3, 1, 9, 5),
    "four channels": (4, 40, 40, 24),
    "to two pixels": (3, 9, 9, 2),
}


@pytest.fixture(autouse=True)
def _compiled(monkeypatch) -> None:
    monkeypatch.setenv("LIKEWISE_NATIVE", "1")
    skip_without_compiled_code()


def noise(rows: int, channels: int, height: int, width: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(rows)
    return torch.randint(
        0, 256, (rows, channels, height, width), generator=random, dtype=torch.uint8
    )


def sample_params(policy: ViewPolicy, images: torch.Tensor, key: int = 0) -> ViewParams:
    aspect = torch.rand(len(images), generator=torch.Generator().manual_seed(1)) + 0.5
    return policy.sample_params(Pixels(images, aspect), BatchRNG((key,), len(images)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("what", SINGLY)
def test_compiled_views_equal_those_of_pytorch(what: str, shape: str) -> None:
    channels, height, width, size = SHAPES[shape]
    policy, images = SINGLY[what], noise(24, channels, height, width)
    if channels == 4:  # there PyTorch's operations change the channels
        policy = replace(policy, jitter=0, grey=0)
    params = sample_params(policy, images)
    assert (
        native.make(images, params, size) - batched.make(images, params, size)
    ).abs().max() < 1e-4


def test_a_change_may_come_more_than_once() -> None:
    images = natural(4, 3)
    order = torch.tensor([[1, 0, 1, 3], [1, 1, -1, 1], [-1, 2, 1, 1], [3, 3, 0, 0]])
    params = whole_images(4, factors=torch.tensor([1.3, 1.6, 0.4, 0.2]).repeat(4, 1), order=order)
    assert (native.make(images, params, 24) - batched.make(images, params, 24)).abs().max() < 1e-4


@pytest.mark.parametrize(("height", "width"), [(300, 300), (256, 320), (120, 120)])
def test_large_compiled_views_equal_those_of_pytorch(height: int, width: int) -> None:
    """Places are float32, which tells a 1/30,000 of a pixel there: in noise, where neighbours differ most, it shows."""
    images = torch.cat([noise(4, 3, height, width), natural(4, 3, 320)[..., :height, :width]])
    params = sample_params(EVERYTHING, images)
    difference = (native.make(images, params, 224) - batched.make(images, params, 224)).abs()
    assert difference[:4].max() < 0.1 / 255 and difference[4:].max() < 0.02 / 255


def test_the_evaluation_view_equals_that_of_pytorch() -> None:
    pixels = Pixels(noise(5, 3, 40, 40), torch.tensor([0.5, 0.8, 1, 1.4, 3]))
    box = centre(32, share=0.9)(pixels).box
    expected = batched.make(pixels.images, ViewParams(box), 32)
    assert (centre(32, share=0.9)(pixels).pixels - expected).abs().max() < 1e-4


def test_a_batch_of_one_and_of_none() -> None:
    images = noise(9, 3, 32, 32)
    params = sample_params(EVERYTHING, images)
    one = ViewParams(
        params.box[4:5],
        type(params.colour)(*(part[4:5] for part in params.colour if part is not None)),
    )
    assert torch.equal(native.make(images[4:5], one, 32), native.make(images, params, 32)[4:5])
    assert native.make(images[:0], sample_params(EVERYTHING, images[:0]), 32).shape == (
        0,
        3,
        32,
        32,
    )


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    images = noise(300, 3, 40, 40)
    params, before = sample_params(EVERYTHING, images), torch.get_num_threads()
    torch.set_num_threads(1)
    alone = native.make(images, params, 32)
    try:
        torch.set_num_threads(threads)
        assert alone.numel() // native.WORTH_A_THREAD >= threads, "too small to be shared out"
        assert torch.equal(native.make(images, params, 32), alone)
    finally:
        torch.set_num_threads(before)


def test_images_may_lie_in_memory_anyhow() -> None:
    images = noise(8, 3, 30, 30)
    params = sample_params(EVERYTHING, images)
    expected = native.make(images, sample_params(EVERYTHING, images), 24)
    assert torch.equal(
        native.make(images.contiguous(memory_format=torch.channels_last), params, 24), expected
    )
    assert torch.equal(native.make(images.repeat(1, 1, 1, 2)[..., :30], params, 24), expected)


def test_a_plan_for_another_batch_is_refused() -> None:
    images = noise(4, 3, 16, 16)
    with pytest.raises(ValueError, match=r"4 .*box.* 3 "):
        native.make(images, whole_images(3), 16)


@pytest.mark.parametrize(
    "images", [noise(2, 3, 8, 8).float(), noise(2, 3, 8, 8).to("meta")], ids=["float", "device"]
)
def test_only_bytes_in_memory_are_made_by_compiled_code(images: torch.Tensor) -> None:
    assert native.can_make(noise(2, 3, 8, 8)) and not native.can_make(images)


def test_tiny_floats_stay_what_they_are() -> None:
    """A library built with -ffast-math would round them to nought in the whole process."""
    native.make(noise(2, 3, 16, 16), whole_images(2), 16)
    assert torch.tensor(1e-40).mul(1.0).item() > 0


def test_without_a_compiler_views_are_the_same_and_one_line_says_why(
    tmp_path: Path, monkeypatch, caplog
) -> None:
    expected = some_views()
    in_a_new_process = lru_cache(maxsize=1)(library._loaded.__wrapped__)
    monkeypatch.setattr(library, "_loaded", in_a_new_process)
    monkeypatch.setenv("CXX", "/nonexistent")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    caplog.set_level(logging.INFO, logger="likewise.views")
    for _ in range(2):
        assert (some_views() - expected).abs().max() < 1e-4
    assert len(caplog.messages) == 1
    assert "CXX names /nonexistent, which is not there" in caplog.messages[0]
    assert not (tmp_path / "cache").exists()


def some_views() -> torch.Tensor:
    return simclr()(Pixels(noise(4, 3, 16, 16), torch.ones(4)), BatchRNG((0,), 4)).pixels


@pytest.fixture
def quickly_compiled(monkeypatch) -> None:
    """The compiler does not optimise: what it makes is slow, but there in a third of the time."""
    monkeypatch.setattr(library, "FLAGS", [*library.FLAGS, "-O0"])


@pytest.fixture
def load(tmp_path: Path, monkeypatch, caplog, quickly_compiled) -> Callable[[], ctypes.CDLL | str]:
    """The compiled code or why there is none, as a new process with an empty cache folder finds it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    caplog.set_level(logging.INFO, logger="likewise.views")
    return library._loaded.__wrapped__


def test_what_was_compiled_is_found_again_and_compiled_anew_where_it_is_torn(
    load, tmp_path: Path
) -> None:
    assert isinstance(load(), ctypes.CDLL)
    folder = tmp_path / "likewise"
    kept = next(folder.glob("*.so"))
    built = kept.stat().st_mtime_ns
    assert isinstance(load(), ctypes.CDLL) and kept.stat().st_mtime_ns == built
    whole = kept.read_bytes()
    kept.unlink()  # what is loaded here must stay as it is
    kept.write_bytes(whole[: len(whole) // 2])
    assert isinstance(load(), ctypes.CDLL) and len(kept.read_bytes()) == len(whole)
    names = [kept.name, f"{kept.stem}.sha256", f"{kept.stem}.lock"]
    assert sorted(file.name for file in folder.iterdir()) == sorted(names)


def test_other_flags_or_another_compiler_do_not_find_it(monkeypatch) -> None:
    compiler = library._compiler()
    key = library._key(compiler)
    assert library._key(compiler) == key != library._key([*compiler, "-Os"])
    monkeypatch.setattr(library, "_processor", lambda: "another")
    assert library._key(compiler) != key


def test_a_compiler_that_fails_is_quoted(load, tmp_path: Path, monkeypatch, caplog) -> None:
    failing = tmp_path / "c++"
    failing.write_text("#!/bin/sh\necho 'views.cpp:1:1: error: no such language' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("CXX", f"{failing} -Os")
    assert load() == f"{failing} failed: views.cpp:1:1: error: no such language"
    assert len(caplog.messages) == 1 and "no such language" in caplog.messages[0]
    assert [file.suffix for file in (tmp_path / "likewise").iterdir()] == [".lock"]


def test_what_another_process_compiled_meanwhile_is_not_compiled_again(tmp_path: Path) -> None:
    built = tmp_path / "views.so"
    built.write_bytes(b"by another")
    built.with_suffix(".sha256").write_text(library._digest(built))
    library._build(["/nonexistent/compiler"], built)
    assert built.read_bytes() == b"by another"


def test_a_folder_that_cannot_be_written_is_named(load, tmp_path: Path) -> None:
    (tmp_path / "likewise").write_text("not a folder")
    assert str(tmp_path / "likewise") in load()


def test_it_can_be_turned_off(monkeypatch) -> None:
    monkeypatch.setenv("LIKEWISE_NATIVE", "0")
    assert library.library() is None and "LIKEWISE_NATIVE=0" in library.why_not()
    monkeypatch.setenv("LIKEWISE_NATIVE", "1")
    assert library.library() is not None and library.why_not() == ""


def test_a_long_compilation_is_logged_with_the_folder(
    tmp_path: Path, monkeypatch, caplog, quickly_compiled
) -> None:
    monkeypatch.setattr(library, "SLOW", 0.0)
    library._build(library._compiler(), tmp_path / "views.so")
    assert len(caplog.messages) == 1 and str(tmp_path) in caplog.messages[0]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_crops_that_are_cut_already_are_taken_as_they_are(channels, layout):
    images = torch.randint(0, 256, (5, channels, 19, 19), dtype=torch.uint8).contiguous(
        memory_format=layout
    )
    box = torch.eye(2, 3).repeat(5, 1, 1)
    box[::2, 0, 0] = -1
    params = ViewParams(box, is_cut=True)
    expected = images.float() / 255
    expected[::2] = expected[::2].flip(3)
    torch.testing.assert_close(native.make(images, params, 19), expected)
    torch.testing.assert_close(batched.make(images, params, 19), expected)
    torch.testing.assert_close(
        native.make(images[1:4:2], ViewParams(box[1:4:2], is_cut=True), 19), expected[1:4:2]
    )
