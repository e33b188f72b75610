from __future__ import annotations

import gzip
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from likewise.data.sources import named_sets
from likewise.data.sources.idx import read_idx
from likewise.data.sources.open import open_manifest
from likewise.errors import EnvironmentIOError, LikewiseError

full_set = pytest.mark.skipif(
    not named_sets.FASHION_FOLDER.is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)


def test_the_bundled_set_is_balanced():
    manifest = open_manifest("fashion-mnist-mini")
    assert torch.bincount(manifest.split("train").labels).tolist() == [1000] * 10
    assert torch.bincount(manifest.split("test").labels).tolist() == [200] * 10
    assert manifest.class_names[9] == "Ankle boot"
    assert manifest.pixels.array.shape == (12000, 28, 28)
    assert len(set(manifest.ids)) == 12000


@full_set
def test_the_bundled_set_is_what_its_tool_draws():
    made = runpy.run_path(str(Path(__file__).parents[2] / "tools/make_fashion_mnist_mini.py"))
    with np.load(made["TARGET"]) as bundled:
        for name, drawn in made["draw"]().items():
            np.testing.assert_array_equal(bundled[name], drawn, err_msg=name)


@full_set
def test_ids_of_the_bundled_set_are_those_of_the_full_one():
    full, mini = open_manifest("fashion-mnist"), open_manifest("fashion-mnist-mini")
    assert torch.bincount(full.labels).tolist() == [7000] * 10
    place = {name: i for i, name in enumerate(full.ids)}
    for i in (0, 5000, 11999):
        j = place[mini.ids[i]]
        assert full.labels[j] == mini.labels[i]
        np.testing.assert_array_equal(full.pixels.array[j], mini.pixels.array[i])


def test_idx_files_are_read(tmp_path):
    file = tmp_path / "a.gz"
    file.write_bytes(gzip.compress(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(6))))
    assert read_idx(file).tolist() == [[0, 1, 2], [3, 4, 5]]
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(LikewiseError, match="whole"):
        read_idx(file)


def test_offline_without_the_files_is_one_message(tmp_path, monkeypatch):
    def offline(*args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(named_sets, "FASHION_FOLDER", tmp_path / "none")
    monkeypatch.setattr(named_sets, "DOWNLOADS", tmp_path)
    monkeypatch.setattr("torchvision.datasets.FashionMNIST", offline)
    with pytest.raises(EnvironmentIOError, match="fashion-mnist-mini"):
        open_manifest("fashion-mnist")
