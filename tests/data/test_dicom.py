"""DICOM files, made with pydicom: units, photometric interpretation, and what is no single picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from likewise.data.decode_file import UnreadableImage, decode
from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest

pydicom = pytest.importorskip("pydicom")
from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid  # noqa: E402

VALUES = np.arange(24 * 16, dtype=np.int16).reshape(24, 16) * 10


def write(path, values, photometric="MONOCHROME2", slope=1, intercept=0, bits=16, **more):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = (
        values.shape[:2] if values.ndim == 2 or values.shape[-1] == 3 else values.shape[1:]
    )
    data.SamplesPerPixel = 3 if values.ndim == 3 and values.shape[-1] == 3 else 1
    data.PhotometricInterpretation = photometric
    data.BitsAllocated, data.BitsStored, data.HighBit = values.dtype.itemsize * 8, bits, bits - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    else:
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
    for name, value in more.items():
        setattr(data, name, value)
    data.PixelData = values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def test_rescale_slope_and_intercept_give_units(tmp_path):
    read = decode(write(tmp_path / "a.dcm", VALUES, slope=0.5, intercept=-1024), "a")
    np.testing.assert_allclose(read.pixels, VALUES * 0.5 - 1024)
    assert read.aspect == 16 / 24


def test_low_values_that_are_white_are_turned_round_alike_in_every_file(tmp_path):
    unsigned = VALUES.astype(np.uint16)
    read = decode(write(tmp_path / "a.dcm", unsigned, "MONOCHROME1", bits=12), "a").pixels
    np.testing.assert_array_equal(read, 4095 - unsigned.astype(float))


def test_a_folder_of_slices_has_one_scale(tmp_path):
    for number in range(4):
        write(
            tmp_path / "ab"[number % 2] / f"{number}.dcm", VALUES // (number + 1), intercept=-1000
        )
    manifest = open_manifest(tmp_path)
    assert manifest.class_names == ("a", "b") and manifest.pixel_range == (
        -1000,
        VALUES.max() - 1000,
    )
    assert manifest.pixels.headers.sizes.tolist() == [[16, 24]] * 4
    images = open_images(manifest, size=24)
    assert images.channels == 1
    highest = images.read(torch.arange(4)).images.flatten(1).max(dim=1).values.tolist()
    assert sorted(highest, reverse=True)[0] == 255 and sorted(highest)[0] < 70


def test_colours_come_out_as_rgb(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    manifest = open_manifest(write(tmp_path / "a.dcm", colours, "RGB", bits=8).parent)
    assert manifest.pixel_range is None and manifest.pixels.headers.modes.tolist() == ["RGB"]
    np.testing.assert_array_equal(manifest.pixels.read(0).pixels, colours)


def test_what_is_no_single_picture_is_left_out_with_the_reason(tmp_path):
    write(tmp_path / "a.dcm", VALUES)
    write(tmp_path / "many.dcm", np.stack([VALUES, VALUES]), NumberOfFrames=2)
    (tmp_path / "none.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 20)
    manifest = open_manifest(tmp_path)
    assert list(manifest.ids) == ["a.dcm"]
    reasons = {entry.id: entry.reason for entry in manifest.skipped}
    assert set(reasons) == {"many.dcm", "none.dcm"} and "2 frames" in reasons["many.dcm"]
    with pytest.raises(UnreadableImage, match="2 frames"):
        decode(tmp_path / "many.dcm", "many")
