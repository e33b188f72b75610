from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

import likewise as lw
from data.captioned import captioned_parquet
from data.pictures import cut_short, photo_folder, save
from data.s3 import s3_faults, s3_server
from data.servers import serve
from data.test_webdataset import examples, write_tar
from likewise.data.loader import Loader
from likewise.data.open_images import open_images
from likewise.data.packing import packer
from likewise.data.packing.shard_writers import SUFFIX
from likewise.data.sharded_pixels import LOOKED_AT
from likewise.data.sources import remote_parquet
from likewise.data.sources.open import open_manifest
from likewise.data.sources.shard_cache import ShardCache, as_typed, bytes_of
from likewise.errors import EnvironmentIOError, LikewiseError

pytestmark = pytest.mark.usefixtures("quick_attempts")


@pytest.fixture
def shards(tmp_path):
    """Three archives of four images each, served."""
    for number in range(3):
        write_tar(tmp_path / "set" / f"shard-{number}.tar", examples(4, first=4 * number))
    with serve(tmp_path / "set") as server:
        yield server


@pytest.fixture(scope="module")
def bucket():
    with s3_server() as files:
        yield files


def assert_same(remote, local):
    """Two manifests list the same examples, with the same pixels."""
    assert list(remote.ids) == list(local.ids)
    assert remote.labels.tolist() == local.labels.tolist()
    assert remote.class_names == local.class_names
    assert remote.splits.tolist() == local.splits.tolist()
    np.testing.assert_array_equal(remote.pixels.headers.sizes, local.pixels.headers.sizes)
    np.testing.assert_array_equal(remote.pixels.headers.modes, local.pixels.headers.modes)
    rows = torch.arange(len(local))
    assert torch.equal(open_images(remote).read(rows).images, open_images(local).read(rows).images)


def test_archives_at_urls_are_those_on_disk(shards, cache):
    remote = open_manifest(f"{shards.url}/shard-{{0..2}}.tar", cache=cache)
    assert_same(remote, open_manifest(shards.folder))
    turned = open_manifest([f"{shards.url}/shard-1.tar", f"{shards.url}/shard-0.tar"], cache=cache)
    assert turned.ids[0] == "shard-1.tar/004"


def test_what_is_in_an_archive_is_kept(shards, cache):
    pattern = f"{shards.url}/shard-{{0..2}}.tar"
    first = open_manifest(pattern, cache=cache)
    for copy in cache.folder.glob("*.tar"):
        copy.unlink()
    shards.requested.clear()
    again = open_manifest(pattern, cache=cache)
    assert set(shards.requested) <= {"manifest.json"}
    assert_same(again, first)
    assert set(shards.requested) - {"manifest.json"} == {
        f"shard-{number}.tar" for number in range(3)
    }


def test_a_bucket_is_read_by_stars_by_braces_and_as_a_folder(shards, cache, bucket):
    for path in shards.folder.glob("*.tar"):
        bucket.put(str(path), f"bucket/set/{path.name}")
    local = open_manifest(shards.folder)
    assert_same(open_manifest("s3://bucket/set/*.tar", cache=cache), local)
    assert list(open_manifest("s3://bucket/set/shard-{0,2}.tar", cache=cache).ids) == [
        name for name in local.ids if "-1" not in name
    ]
    assert_same(open_manifest("s3://bucket/set", cache=cache), local)
    with pytest.raises(LikewiseError, match=r"s3://bucket/set/shard-3\.tar"):
        open_manifest("s3://bucket/set/shard-{0..3}.tar", cache=cache)
    with pytest.raises(LikewiseError, match="s3://bucket/none/"):
        open_manifest("s3://bucket/none/*.tar", cache=cache)


@pytest.mark.parametrize("is_large", [False, True])
def test_parquet_files_at_urls_are_those_on_disk(tmp_path, cache, monkeypatch, is_large):
    for number in range(2):
        captioned_parquet(tmp_path / "set" / f"train-{number}.parquet", ["a", "b", "c"])
    if is_large:
        monkeypatch.setattr(remote_parquet, "LOOK_LIMIT", 1)
    with serve(tmp_path / "set") as server:
        remote = open_manifest(f"{server.url}/train-{{0,1}}.parquet", cache=cache)
        assert_same(remote, open_manifest(tmp_path / "set"))
        server.ranges = False
        if is_large:
            with pytest.raises(LikewiseError, match=r"train-0\.parquet"):
                open_manifest(f"{server.url}/train-{{0,1}}.parquet", cache=cache)


@pytest.mark.parametrize("fault", ["busy", "cut"])
def test_faults_that_pass_change_nothing(shards, cache, fault):
    getattr(shards, fault)["shard-1.tar"] = 3
    remote = open_manifest(f"{shards.url}/shard-{{0..2}}.tar", cache=cache)
    assert_same(remote, open_manifest(shards.folder))
    assert not getattr(shards, fault)["shard-1.tar"]


@pytest.mark.parametrize("fault", ["busy", "cut"])
def test_faults_that_stay_name_the_file(shards, cache, fault):
    getattr(shards, fault)["shard-1.tar"] = 10**6
    with pytest.raises(EnvironmentIOError, match=r"shard-1\.tar"):
        open_manifest(f"{shards.url}/shard-{{0..2}}.tar", cache=cache)
    assert not [
        path
        for path in cache.folder.rglob("*shard-1*")
        if path.is_file() and path.suffix != ".lock"
    ]


def test_every_missing_file_is_named_before_anything_is_fetched(shards, cache):
    with pytest.raises(LikewiseError, match=r"shard-3\.tar.*shard-4\.tar"):
        open_manifest(f"{shards.url}/shard-{{0..4}}.tar", cache=cache)
    assert not shards.requested["shard-0.tar"]


def test_a_file_that_vanishes_later_is_named(shards, cache):
    remote = open_manifest(f"{shards.url}/shard-{{0..2}}.tar", cache=cache)
    for copy in cache.folder.glob("*.tar"):
        copy.unlink()
    (shards.folder / "shard-2.tar").unlink()
    with pytest.raises(LikewiseError, match=r"shard-2\.tar"):
        remote.pixels.read(11)


def test_a_file_that_has_become_shorter_is_never_taken_for_whole(shards, cache):
    remote = open_manifest(f"{shards.url}/shard-{{0..2}}.tar", cache=cache)
    for copy in cache.folder.glob("*.tar"):
        copy.unlink()
    path = shards.folder / "shard-2.tar"
    path.write_bytes(path.read_bytes()[:-1024])
    with pytest.raises(EnvironmentIOError, match=r"shard-2\.tar"):
        remote.pixels.read(11)
    assert not list(cache.folder.glob("*shard-2*"))


def test_the_cache_keeps_to_its_size_and_drops_what_was_used_longest_ago(shards, tmp_path):
    size = (shards.folder / "shard-0.tar").stat().st_size
    cache = ShardCache(tmp_path / "small", 2 * size)
    remote = open_manifest(f"{shards.url}/shard-{{0..2}}.tar", cache=cache)
    for row in (0, 4, 1, 8):  # archives 0, 1, 0, 2
        remote.pixels.read(row)
        assert sum(path.stat().st_size for path in cache.folder.glob("*.tar")) <= 2 * size
    assert sorted(path.name[-11:] for path in cache.folder.glob("*.tar")) == [
        "shard-0.tar",
        "shard-2.tar",
    ]
    with pytest.raises(LikewiseError, match=f"--cache-size {as_typed(size)}"):
        open_manifest(f"{shards.url}/shard-0.tar", cache=ShardCache(tmp_path / "tiny", size - 1))
    assert bytes_of(as_typed(size)) >= size


@pytest.fixture
def packed(tmp_path, bucket, monkeypatch):
    """A folder that was packed, and its shards in a bucket, under a name of its own."""
    monkeypatch.setattr(packer, "MEGABYTE", 1000)
    names = [f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(12)]
    lw.pack(photo_folder(tmp_path / "photos", *names), tmp_path / "packed", shard_size=1)
    for path in (tmp_path / "packed").iterdir():
        bucket.put(str(path), f"bucket/{tmp_path.name}/{path.name}")
    return tmp_path / "packed", f"s3://bucket/{tmp_path.name}"


def test_a_packed_set_is_what_its_manifest_says(packed, cache, bucket):
    folder, url = packed
    shards = sorted(path.name for path in folder.glob("*.tar"))
    assert_same(open_manifest(url, cache=cache), open_manifest(folder))
    bucket.rm(f"{url}/{shards[1]}")
    for pattern in (url, f"{url}/*.tar"):
        with pytest.raises(LikewiseError, match=shards[1]):
            open_manifest(pattern, cache=cache)


@pytest.mark.parametrize(
    "spoil",
    [lambda content: content[:-512], lambda content: content[:2000] + b"?" + content[2001:]],
)
def test_a_shard_that_is_not_as_its_manifest_says_is_never_used(packed, cache, bucket, spoil):
    folder, url = packed
    name = sorted(path.name for path in folder.glob("*.tar"))[1]
    bucket.pipe_file(f"{url}/{name}", spoil((folder / name).read_bytes()))
    with pytest.raises(LikewiseError, match=name):
        for row in range(24):
            open_manifest(url, cache=cache).pixels.read(row)
    assert not list(cache.folder.glob(f"*{name}*"))


@pytest.fixture
def large_images(tmp_path):
    """Photographs that are larger than what is said of them, one of which cannot be read; packed by a format."""

    def packed(to):
        for number in range(12):
            save(tmp_path / "photos" / "cat" / f"{number}.png", number, 256, 256)
        cut_short(tmp_path / "photos" / "cat" / "5.png")
        lw.pack(tmp_path / "photos", tmp_path / "packed", to=to, shard_size=1, max_bad=0.2)
        return tmp_path / "packed"

    return packed


@pytest.mark.parametrize("to", ["wds", "parquet"])
def test_a_packed_set_is_known_before_its_images_are_fetched(large_images, cache, to):
    folder = large_images(to)
    size = sum(path.stat().st_size for path in folder.glob(f"*{SUFFIX[to]}"))
    with serve(folder) as server:
        remote = open_manifest(f"{server.url}/train-{{000000..000002}}{SUFFIX[to]}", cache=cache)
        assert sum(server.sent.values()) < size / 8
        assert not remote.notes
        assert_same(remote, open_manifest(folder))


@pytest.mark.parametrize("fault", ["busy", "cut", "flipped"])
def test_an_index_is_fetched_again_after_a_fault(packed, cache, fault):
    folder, _ = packed
    with serve(folder) as server:
        getattr(server, fault)["train-000001.tar.index.json"] = 2
        url = f"{server.url}/train-{{000000..000007}}.tar"
        remote = open_manifest(url, cache=cache)
        assert not [name for name in server.requested if name.endswith(".tar")]
        assert_same(remote, open_manifest(folder))


def test_an_index_that_is_not_that_of_its_manifest_is_refused_and_without_it_the_shard_is_read(
    packed, cache, bucket
):
    _, url = packed
    name = "train-000001.tar.index.json"
    content = bucket.cat_file(f"{url}/{name}")
    bucket.pipe_file(f"{url}/{name}", content.replace(b"dog", b"cat"))
    with pytest.raises(LikewiseError, match=name):
        open_manifest(url, cache=cache)
    bucket.rm(f"{url}/{name}")
    remote = open_manifest(url, cache=cache)
    assert len(remote) == 24
    (note,) = remote.notes
    assert "1 archive " in note and "likewise pack" in note


def wrong_index(content, **changes):
    """An index with other fields, and with other places of its images."""
    place = changes.pop("place", None)
    found = json.loads(content) | changes
    if place is not None:
        found["examples"] = [[*e[:2], place, *e[3:]] for e in found["examples"]]
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"place": 10**12},
        {"place": -1},
        {"place": "a"},
        {"usable": [0, 0, 1]},
        {"usable": [0], "modes": ["RGB"], "sizes": [[8, 8]]},
        {"modes": ["RGB"]},
        {"sizes": "x"},
        {"examples": [[1], [2], [3]]},
        {"format": 99},
    ],
)
def test_an_index_that_no_shard_can_have_is_refused_by_name(packed, cache, changes):
    folder, _ = packed
    file = folder / "train-000001.tar.index.json"
    content = wrong_index(file.read_bytes(), **changes)
    file.write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][1]["index_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with serve(folder) as server, pytest.raises(LikewiseError, match=r"train-000001\.tar"):
        open_manifest(f"{server.url}/train-{{000000..000002}}.tar", cache=cache)
    assert not list(cache.folder.glob("*.tar"))


@pytest.mark.parametrize("field", ["bytes", "sha256", "images", "index_sha256"])
def test_a_manifest_of_shards_that_cannot_be_used_is_refused(packed, cache, field):
    folder, _ = packed
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0][field] = ["?"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with serve(folder) as server, pytest.raises(LikewiseError, match=rf"manifest\.json.*{field}"):
        open_manifest(f"{server.url}/train-{{000000..000002}}.tar", cache=cache)


def test_what_may_not_be_read_next_to_shards_is_not_missed(packed, cache):
    folder, _ = packed
    with serve(folder) as server:
        # So S3 answers for what is missing in a folder that may not be listed.
        server.denied = {"manifest.json"}
        url = f"{server.url}/train-{{000000..000007}}.tar"
        assert_same(open_manifest(url, cache=cache), open_manifest(folder))
        server.denied = {"train-000001.tar.index.json"}
        assert_same(open_manifest(url, cache=cache), open_manifest(folder))
        server.denied = {"train-000001.tar"}
        with pytest.raises(EnvironmentIOError, match=r"train-000001\.tar"):
            open_manifest(url, cache=cache)


def test_stars_pass_over_indices(packed, cache):
    folder, url = packed
    assert_same(open_manifest(f"{url}/train-*", cache=cache), open_manifest(f"{folder}/train-*"))


def test_bytes_before_step_0_of_a_server_that_fails(packed, tmp_path, cache, monkeypatch):
    folder, url = packed
    monkeypatch.setattr("likewise.data.open_images.MEMORY_LIMIT", 0)
    asked = []

    def noted(self, first, last):
        asked.append(server.sent.copy())
        yield from batches(self, first, last)

    batches = Loader.batches
    monkeypatch.setattr(Loader, "batches", noted)
    given = {"encoder": "conv4-half", "num_evals": 0, "device": "cpu", "loggers": ()}
    with s3_faults() as server:
        server.busy["train-000002.tar"] = server.cut["train-000001.tar"] = 1
        server.delay = 0.01
        lw.train(
            url,
            method="simclr",
            labels="none",
            out=tmp_path / "run",
            steps=1,
            batch_size=4,
            num_workers=0,
            cache_dir=str(cache.folder),
            test_fraction=0.2,
            **given,
        )
        assert not server.busy["train-000002.tar"] and not server.cut["train-000001.tar"]
    shards = sorted(path.name for path in folder.glob("*.tar"))
    assert len(shards) > LOOKED_AT
    before = [name for name in asked[0] if name in shards]
    # Looked at for the statistics of channels.
    assert len(before) <= LOOKED_AT
    assert sum(asked[0].values()) < sum(path.stat().st_size for path in folder.glob("*.tar"))


def test_nothing_is_fetched_offline(shards, cache, monkeypatch):
    monkeypatch.setenv("LIKEWISE_OFFLINE", "1")
    with pytest.raises(LikewiseError, match="LIKEWISE_OFFLINE"):
        open_manifest(f"{shards.url}/shard-0.tar", cache=cache)
    assert not shards.requested


def test_sizes_are_typed_with_units():
    assert [bytes_of(text) for text in ("500", "1.5 kB", "20GB", "2T")] == [
        500,
        1500,
        20 * 10**9,
        2 * 10**12,
    ]
    for text in ("0", "-1GB", "20 pounds", ""):
        with pytest.raises(LikewiseError, match="cache size"):
            bytes_of(text)


def test_braces_name_local_files_too(shards):
    manifest = open_manifest(f"{shards.folder}/shard-{{0,2}}.tar")
    assert len(manifest) == 8
    with pytest.raises(LikewiseError, match=r"shard-3\.tar"):
        open_manifest(f"{shards.folder}/shard-{{0..3}}.tar")
