"""What tests of shards at URLs share."""

import pytest

from likewise.data.sources import attempts
from likewise.data.sources.shard_cache import ShardCache


@pytest.fixture
def quick_attempts(monkeypatch):
    """A server that fails is asked again at once."""
    monkeypatch.setattr(attempts, "FIRST_WAIT", 0.01)


@pytest.fixture
def cache(tmp_path):
    """Of shards, large enough for all."""
    return ShardCache(tmp_path / "cache", 10**9)
