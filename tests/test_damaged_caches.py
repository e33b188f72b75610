"""What is kept from one run to the next is computed again where a disk has changed it."""

from __future__ import annotations

import pytest
import torch

from data.servers import serve
from data.test_remote import assert_same
from data.test_webdataset import examples, write_tar
from data.videos import click, levels, write_video
from likewise.advice import features
from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.data.sources import shard_cache
from likewise.data.sources.open import open_manifest
from likewise.data.sources.shard_cache import ShardCache
from likewise.data.video.clip_cache import decode_videos
from likewise.data.video.video_decoding import ClipShape
from likewise.encoders import build_encoder, choose_encoder
from likewise.errors import LikewiseError
from likewise.vectors import Vectors
from likewise.vectors.parts import Part
from likewise.vectors.search import VectorIndex


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


SPOILT = {
    "a bit": flipped,
    "cut short": lambda content: content[:-9],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", SPOILT)
def test_features_that_were_changed_are_computed_again(tmp_path, damage):
    settings = choose_encoder("conv4-half", 16, (0.5,) * 3, (0.5,) * 3)
    encoder = build_encoder(settings).eval()
    images = torch.randint(
        0, 256, (6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    stored = InMemoryImages(Pixels(images, torch.ones(6)))
    first = features.cached_features(encoder, settings, stored, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(SPOILT[damage](whole))
    assert torch.equal(features.cached_features(encoder, settings, stored, cache=tmp_path), first)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", SPOILT)
def test_what_is_kept_of_a_remote_archive_is_read_again(tmp_path, damage):
    write_tar(tmp_path / "set" / "shard-0.tar", examples(4))
    cache = ShardCache(tmp_path / "cache", 10**9)
    with serve(tmp_path / "set") as server:
        first = open_manifest(f"{server.url}/shard-0.tar", cache=cache)
        (path,) = (tmp_path / "cache" / "index").iterdir()
        whole = path.read_bytes()
        path.write_bytes(SPOILT[damage](whole))
        assert_same(open_manifest(f"{server.url}/shard-0.tar", cache=cache), first)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", SPOILT)
def test_a_copy_of_a_shard_that_was_changed_is_fetched_again(tmp_path, damage, monkeypatch):
    write_tar(tmp_path / "set" / "shard-0.tar", examples(4))
    cache = ShardCache(tmp_path / "cache", 10**9)
    with serve(tmp_path / "set") as server:
        manifest = open_manifest(f"{server.url}/shard-0.tar", cache=cache)
        pixels = [manifest.pixels.read(row).pixels.tolist() for row in range(4)]
        (path,) = (tmp_path / "cache").glob("*.tar")
        whole = path.read_bytes()
        path.write_bytes(SPOILT[damage](whole))
        monkeypatch.setattr(shard_cache, "_LOOKED_AT", set())  # as in a new process
        assert [manifest.pixels.read(row).pixels.tolist() for row in range(4)] == pixels
    assert path.read_bytes() == whole


@pytest.fixture
def videos(tmp_path):
    """Two videos of two classes, one with sound."""
    for name in ("one", "two"):
        (tmp_path / "videos" / name).mkdir(parents=True)
    write_video(tmp_path / "videos/one/a.mp4", levels(8), sound=click(1.0, 0.5), rate=8)
    write_video(tmp_path / "videos/two/b.mp4", levels(8), rate=8)
    return tmp_path / "videos"


@pytest.mark.parametrize("name", ["found.json", "frames.npy", "sound.npy"])
@pytest.mark.parametrize("damage", ["cut short", "empty", "zeros"])
def test_decoded_clips_that_were_cut_short_are_decoded_again(tmp_path, videos, name, damage):
    manifest, shape = open_manifest(videos), ClipShape(16, 4, 8)
    first = decode_videos(manifest, shape, tmp_path / "clips").clips
    frames = first.frames.clone()
    path = next((tmp_path / "clips").rglob(name))
    content = path.read_bytes()
    path.unlink()  # what is mapped stays readable
    path.write_bytes(SPOILT[damage](content[:80]) if damage == "zeros" else SPOILT[damage](content))
    assert torch.equal(decode_videos(manifest, shape, tmp_path / "clips").clips.frames, frames)


@pytest.fixture
def parts(tmp_path):
    """Vectors in two parts."""
    for number in range(2):
        vectors = torch.arange(640.0).view(40, 16).add(number).sin()
        made = Vectors(
            [f"{number}-{row}.png" for row in range(40)],
            ["a"] * 40,
            vectors,
            None,
            "abc",
            {"x.png": "empty"},
        )
        part = Part(number, 2, "of this set")
        made.write(tmp_path / part.name(0), part.as_metadata())
    return tmp_path


def found_in(folder):
    index = VectorIndex(folder)
    blocks = list(index.blocks_with_ids())
    vectors = torch.cat([block for _, block in blocks])
    return (
        [name for ids, _ in blocks for name in ids],
        vectors.tolist(),
        index.encoder,
        dict(index.skipped),
    )


def test_a_part_of_vectors_that_was_changed_is_noticed_or_gives_what_it_held(parts):
    path = sorted(parts.iterdir())[1]
    whole, expected, noticed = path.read_bytes(), found_in(parts), 0
    footer = len(whole) - int.from_bytes(whole[-8:-4], "little") - 8
    for position in [*range(0, footer, 61), *range(footer, len(whole), 5)]:
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            assert found_in(parts) == expected, position
        except LikewiseError:
            noticed += 1
    assert noticed > 100
