from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from data.pictures import photo_folder
from data.servers import serve
from data.test_webdataset import examples, write_tar
from likewise.data import held_pixels
from likewise.data.loader import Loader, Support
from likewise.data.node_order import NodeOrder
from likewise.data.open_images import open_images
from likewise.data.samplers import shuffled
from likewise.data.shard_shuffle import ShardShuffle
from likewise.data.sources import attempts
from likewise.data.sources.open import open_manifest
from likewise.data.sources.shard_cache import ShardCache
from likewise.errors import LikewiseError

SHARD_OF = np.repeat(np.arange(10), 6)


def test_an_epoch_has_every_image_once_and_a_block_those_of_its_shards():
    order = ShardShuffle(SHARD_OF, 20, seed=3)
    assert order.shards_at_a_time == 3
    for number in (0, 1):
        epoch = order.epoch(number)
        assert sorted(epoch.positions.tolist()) == list(range(60))
        assert sorted(shard for block in epoch.blocks for shard in block) == list(range(10))
        for block, first, end in zip(epoch.blocks, [0, *epoch.ends[:-1]], epoch.ends, strict=True):
            assert set(SHARD_OF[epoch.positions[first:end].numpy()]) == set(block)
    assert order.epoch(0).blocks != order.epoch(1).blocks
    assert torch.equal(
        pickle.loads(pickle.dumps(order)).epoch(0).positions, order.epoch(0).positions
    )


def test_a_buffer_for_all_images_shuffles_as_without_shards():
    order = ShardShuffle(SHARD_OF, 60, seed=3).epoch(2)
    assert torch.equal(order.positions, shuffled(60, 60, 3, 2))


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """Six archives of eight images at URLs, read through a cache of three, and the server."""
    monkeypatch.setattr(attempts, "FIRST_WAIT", 0.01)
    for number in range(6):
        write_tar(tmp_path / "set" / f"{number}.tar", examples(8, first=8 * number))
    size = (tmp_path / "set" / "0.tar").stat().st_size
    with serve(tmp_path / "set") as server:
        manifest = open_manifest(
            f"{server.url}/{{0..5}}.tar", cache=ShardCache(tmp_path / "cache", 3 * size)
        )
        yield manifest, server


def loader_of(manifest, **options):
    images = open_images(manifest, memory_limit=0)
    return Loader(
        images, manifest.labels, **{"batch_size": 8, "seed": 1, "shuffle_buffer": 8, **options}
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_fetches_each_shard_once_and_shows_each_image_once(remote, workers):
    manifest, server = remote
    for copy in manifest.pixels.files.cache.folder.glob("*.tar"):
        copy.unlink()
    server.requested.clear()
    loader = loader_of(manifest, workers=workers)
    batches = list(loader.batches(0, 6))
    assert sorted(torch.cat([batch.indices for batch in batches]).tolist()) == list(range(48))
    assert len(server.requested) == 6
    # The next epoch's first shard may be here already; a block is one step, and workers are several steps behind.
    assert server.requested.total() <= (12 if workers else 7)
    for batch, wanted in zip(batches, map(loader.batch, range(6)), strict=True):
        assert torch.equal(batch.pixels.images, wanted.pixels.images)


def test_a_resumed_epoch_and_two_ranks_see_what_one_process_sees(remote):
    manifest, _ = remote
    whole = [batch.indices for batch in loader_of(manifest).batches(0, 9)]
    resumed = [batch.indices for batch in loader_of(manifest).batches(4, 9)]
    assert torch.equal(torch.cat(whole[4:]), torch.cat(resumed))
    ranks = [loader_of(manifest, rank=rank, world_size=2).batches(0, 9) for rank in (0, 1)]
    for batch, *parts in zip(whole, *ranks, strict=True):
        assert torch.equal(batch, torch.cat([part.indices for part in parts]))


def on_machine(server, folder):
    """The set on a machine with a cache of its own, which has no index to make."""
    cache = ShardCache(folder, 10**9)
    manifest = open_manifest(f"{server.url}/{{0..5}}.tar", cache=cache)
    for copy in folder.glob("*.tar"):
        copy.unlink()
    return manifest


@pytest.mark.parametrize("workers", [0, 1])
def test_machines_read_their_own_shards_and_the_batches_of_one(remote, tmp_path, workers):
    _, server = remote
    one = loader_of(on_machine(server, tmp_path / "one"), num_canonical_nodes=2)
    whole = [batch.indices for batch in one.batches(0, 12)]
    for epoch in (whole[:6], whole[6:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(48))
    machines = [on_machine(server, tmp_path / str(rank)) for rank in range(2)]
    parts, fetched = [], []
    for rank, machine in enumerate(machines):
        loader = loader_of(machine, rank=rank, world_size=2, num_canonical_nodes=2, workers=workers)
        server.requested.clear()
        parts.append([batch.indices for batch in loader.batches(0, 12)])
        fetched.append(set(server.requested))
    assert [len(names) for names in fetched] == [3, 3] and len(fetched[0] | fetched[1]) == 6
    for batch, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(batch, torch.cat([first, second]))
    resumed = loader_of(machines[1], rank=1, world_size=2, num_canonical_nodes=2).batches(8, 12)
    assert torch.equal(torch.cat(parts[1][8:]), torch.cat([batch.indices for batch in resumed]))


@pytest.mark.parametrize(("nodes", "ranks"), [(1, 4), (2, 4), (4, 2), (3, 2), (2, 3)])
def test_parts_of_a_rank_hold_its_slice_of_each_batch(nodes, ranks):
    order = NodeOrder(SHARD_OF, 20, 3, 12, nodes)
    share = 12 // ranks
    for rank in range(ranks):
        shards = {int(n) for part in order.parts_of(rank, ranks) for n in part.shards}
        for step in range(10):
            rows = order.drawn(step)[rank * share : (rank + 1) * share]
            assert set(SHARD_OF[rows.numpy()].tolist()) <= shards
    epochs = [
        torch.cat([order.drawn(step) for step in steps]) for steps in (range(5), range(5, 10))
    ]
    assert all(sorted(epoch.tolist()) == list(range(60)) for epoch in epochs)
    assert not torch.equal(*epochs)


def test_an_uneven_set_shows_no_image_twice_in_an_epoch_and_each_in_some_epoch():
    order = NodeOrder(np.repeat(np.arange(7), [9, 2, 5, 8, 1, 6, 7]), 10, 0, 6, 3)
    seen = set()
    for epoch in range(30):
        rows = torch.cat([order.drawn(step) for step in range(6 * epoch, 6 * epoch + 6)]).tolist()
        assert len(set(rows)) == 36
        seen.update(rows)
    assert seen == set(range(38))


def test_parts_that_cannot_be_made_are_refused(remote, tmp_path):
    manifest, _ = remote
    with pytest.raises(LikewiseError, match="--num-canonical-nodes"):
        loader_of(manifest, num_canonical_nodes=3)
    folder = photo_folder(tmp_path / "photos", *(f"{i}.png" for i in range(16)))
    with pytest.raises(LikewiseError, match="--num-canonical-nodes"):
        loader_of(open_manifest(folder), num_canonical_nodes=2)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_that_goes_ends_the_epoch_with_its_name(remote, workers):
    manifest, server = remote
    for copy in manifest.pixels.files.cache.folder.glob("*.tar"):
        copy.unlink()
    (server.folder / "4.tar").unlink()
    with pytest.raises(LikewiseError, match=r"4\.tar"):
        list(loader_of(manifest, workers=workers).batches(0, 6))


def test_a_labelled_batch_beside_each_batch_needs_no_other_shards(remote, monkeypatch):
    manifest, server = remote
    options = {"support": Support(3, 2), "workers": 1}
    support = [
        batch.support for batch in loader_of(open_manifest(server.folder), **options).batches(0, 6)
    ]
    server.requested.clear()
    batches = list(loader_of(manifest, **options).batches(0, 6))
    assert server.requested.total() <= 6 + 12  # each shard for the labelled images, and in its turn
    for batch, wanted in zip(batches, support, strict=True):
        assert torch.equal(batch.support.indices, wanted.indices)
        assert torch.equal(batch.support.pixels.images, wanted.pixels.images)
    monkeypatch.setattr(held_pixels, "HELD_LIMIT", 100)
    with pytest.raises(LikewiseError, match="--labels"):
        list(loader_of(manifest, **options).batches(0, 6))


def test_a_cache_that_holds_too_few_shards_is_refused(remote):
    manifest, _ = remote
    with pytest.raises(LikewiseError, match=r"--shuffle-buffer 8\b"):
        loader_of(manifest, shuffle_buffer=16)


def test_local_shards_are_shuffled_as_one_unless_a_buffer_is_given(remote):
    _, server = remote
    local = open_manifest(server.folder)
    assert torch.equal(
        loader_of(local, shuffle_buffer=None).batch(2).indices, shuffled(48, 8, 1, 2)
    )
    assert len({int(row) // 8 for row in loader_of(local).batch(2).indices}) == 1
