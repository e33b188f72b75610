"""Data for an advice: small, real and quick to encode."""

import pytest
import torch

from likewise.advice import features
from likewise.data.sources.named_sets import named_set


@pytest.fixture(scope="session")
def clothes():
    """uint8 [120, 28, 28] photographs of clothes in three classes, and their labels."""
    found = named_set("fashion-mnist-mini").split("train")
    rows = torch.cat([(found.labels == label).nonzero().flatten()[:40] for label in (0, 1, 8)])
    images = torch.stack([torch.from_numpy(found.pixels.read(int(row)).pixels) for row in rows])
    return images.numpy(), torch.arange(3).repeat_interleave(40)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Features are cached in a folder of the tests."""
    monkeypatch.setattr(
        features, "default_cache", lambda: tmp_path_factory.getbasetemp() / "features"
    )
