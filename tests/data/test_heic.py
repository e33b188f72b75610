"""HEIC wherever an image may stand: read with pillow-heif, else named with what to install."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import likewise as lw
from data.pictures import photo_folder, picture
from likewise.data.columns.masks import Masks
from likewise.data.packing.packed_example import read_example
from likewise.data.sources.mask_folder import mask_folder
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError

heif = pytest.importorskip("pillow_heif")


@pytest.fixture
def heic() -> bytes:
    heif.register_heif_opener()
    out = io.BytesIO()
    picture().resize((64, 48)).save(out, "HEIF", quality=95)
    return out.getvalue()


@pytest.fixture
def without_library(monkeypatch):
    def missing():
        raise ImportError('HEIC needs pillow-heif: pip install "likewise[heif]"')

    monkeypatch.setattr("likewise.data.decoding.enable_heif", missing)


def folder(tmp_path, heic):
    photo_folder(tmp_path / "photos", "a/0.png")
    (tmp_path / "photos" / "a" / "1.heic").write_bytes(heic)
    return tmp_path / "photos"


def archive(tmp_path, heic):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, content in (("0.png", png()), ("1.heic", heic)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return tmp_path / "a.tar"


def png() -> bytes:
    out = io.BytesIO()
    picture().save(out, "PNG")
    return out.getvalue()


def parquet(tmp_path, heic):
    pq.write_table(pa.table({"image": [png(), heic]}), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


SOURCES = {
    "folder": folder,
    "tar": archive,
    "Parquet": parquet,
    "DataFrame": lambda tmp_path, heic: pd.DataFrame({"image": [png(), heic]}),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_it_is_read_and_packed(tmp_path, heic, kind):
    source = SOURCES[kind](tmp_path, heic)
    manifest = open_manifest(source)
    pixels = manifest.pixels.read(1).pixels
    assert (
        np.abs(pixels.astype(int) - np.asarray(picture().resize((64, 48))).astype(int)).mean() < 10
    )
    assert read_example(manifest, 1).ending in {"heic", "heif"}
    for to in ("wds", "parquet"):
        made = lw.pack(source, tmp_path / to, to=to)
        assert (made.images, made.left_out) == (2, {})
        np.testing.assert_array_equal(open_manifest(tmp_path / to).pixels.read(1).pixels, pixels)


@pytest.mark.parametrize("kind", SOURCES)
def test_without_the_library_it_is_named_with_what_to_install(
    tmp_path, heic, kind, without_library
):
    source = SOURCES[kind](tmp_path, heic)
    assert ["likewise[heif]" in entry.reason for entry in open_manifest(source).skipped] == [True]
    assert "likewise[heif]" in " ".join(
        lw.pack(source, tmp_path / "out", max_bad=1).left_out.values()
    )


def test_it_is_no_mask(tmp_path, heic):
    (tmp_path / "0.png").write_bytes(heic)
    with pytest.raises(LikewiseError, match=r"0\.png.*HEIC.*PNG"):
        Masks([tmp_path / "0.png"]).read(0)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "0.png")
    (tmp_path / "1.heic").write_bytes(heic)
    with pytest.raises(LikewiseError, match=r"1\.heic.*PNG"):
        mask_folder(tmp_path, ["0.jpg", "1.jpg"])
    assert mask_folder(tmp_path, ["0.jpg", "2.jpg"]).known().tolist() == [0]
