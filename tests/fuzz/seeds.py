"""Small whole inputs of every kind that the readers open; the fuzzer damages one file of one of them at a time."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from data.pictures import picture

SIDE = 24
CLASSES = ("cat", "dog")


class Seed(NamedTuple):
    """One input."""

    name: str
    files: dict[str, bytes]
    """contents by path"""
    opened: str = "."
    """the path that is given as data"""
    labels: str | None = None
    """the file that is given as labels"""
    captions: str | None = None
    """the file that is given as captions"""
    hurt: tuple[str, ...] = ()
    """the files that may be damaged; none: any"""


def all_seeds() -> list[Seed]:
    """Every input, the same each time."""
    return [*_folders(), *_tables_of_labels(), _tar(), _parquet(), *_arrays(), _idx(), *_videos()]


def strangers() -> list[bytes]:
    """Contents that belong to no input: parts of them are put into files."""
    forms = {"PNG": "RGB", "JPEG": "RGB", "GIF": "P", "TIFF": "L", "WEBP": "RGB", "BMP": "RGB"}
    pictures = [_encoded(99, form, mode) for form, mode in forms.items()]
    return [
        *pictures,
        _tar(90).files["train-0.tar"],
        *_parquet(90).files.values(),
        b"image_path,label\n9.png,bird\n",
    ]


def _encoded(number: int, form: str, mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    picture(number, SIDE, SIDE, mode).save(stream, form, **options)
    return stream.getvalue()


def _deep(number: int, form: str, kind: str) -> bytes:
    """Pixels of more than 8 bits."""
    values = np.random.default_rng(number).integers(0, 60000, (SIDE, SIDE)).astype(kind)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, form)
    return stream.getvalue()


def _folder(name: str, ending: str, contents: list[bytes]) -> Seed:
    files = {f"{CLASSES[i % 2]}/{i}.{ending}": content for i, content in enumerate(contents)}
    return Seed(f"folder of {name}", files)


def _folders() -> Iterator[Seed]:
    kinds = {
        "PNG": ("png", "PNG", {}),
        "JPEG": ("jpg", "JPEG", {"quality": 90}),
        "progressive JPEG": ("jpg", "JPEG", {"progressive": True}),
        "GIF": ("gif", "GIF", {}),
        "TIFF": ("tif", "TIFF", {}),
        "compressed TIFF": ("tif", "TIFF", {"compression": "tiff_lzw"}),
        "WebP": ("webp", "WEBP", {"lossless": True}),
        "BMP": ("bmp", "BMP", {}),
        "PPM": ("ppm", "PPM", {}),
        "TGA": ("tga", "TGA", {}),
        "JPEG 2000": ("jp2", "JPEG2000", {}),
    }
    for name, (ending, form, options) in kinds.items():
        yield _folder(name, ending, [_encoded(i, form, **options) for i in range(4)])
    yield _folder("PNG with a palette", "png", [_encoded(i, "PNG", "P") for i in range(4)])
    yield _folder("PNG with alpha", "png", [_encoded(i, "PNG", "RGBA") for i in range(4)])
    yield _folder("JPEG with EXIF", "jpg", [_encoded(i, "JPEG", exif=_turned()) for i in range(4)])
    yield _folder("16-bit PNG", "png", [_deep(i, "PNG", "uint16") for i in range(4)])
    yield _folder("16-bit TIFF", "tif", [_deep(i, "TIFF", "uint16") for i in range(4)])
    yield _folder("float TIFF", "tif", [_deep(i, "TIFF", "float32") for i in range(4)])
    yield _folder("TIFF of bands", "tif", [_bands(i) for i in range(4)])
    yield _folder("DICOM", "dcm", [_dicom(i) for i in range(4)])


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6  # Orientation: a quarter turn
    return exif


def _bands(number: int) -> bytes:
    import tifffile

    stream = io.BytesIO()
    values = np.random.default_rng(number).integers(0, 4000, (SIDE, SIDE, 6), dtype=np.uint16)
    tifffile.imwrite(stream, values, planarconfig="contig", photometric="minisblack")
    return stream.getvalue()


def _dicom(number: int) -> bytes:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
    record = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    record.SOPClassUID = SecondaryCaptureImageStorage
    record.Rows = record.Columns = SIDE
    record.SamplesPerPixel, record.PhotometricInterpretation = 1, "MONOCHROME2"
    record.BitsAllocated = record.BitsStored = 16
    record.HighBit, record.PixelRepresentation = 15, 0
    record.PixelData = (
        np.random.default_rng(number).integers(0, 4000, (SIDE, SIDE), dtype=np.uint16).tobytes()
    )
    stream = io.BytesIO()
    record.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _pngs() -> dict[str, bytes]:
    return {f"{i}.png": _encoded(i, "PNG") for i in range(6)}


def _tables_of_labels() -> Iterator[Seed]:
    lines = [f"{i}.png,{CLASSES[i % 2]}" for i in range(6)]
    text = "\n".join(["image_path,label", *lines]) + "\n"
    semicolons = text.replace(",", ";")
    quoted = "\r\n".join(["image_path,label", *(f'"{i}.png","{CLASSES[i % 2]}"' for i in range(6))])
    captions = "\n".join(
        ["image_path,caption", *(f'{i}.png,"a, {CLASSES[i % 2]}"' for i in range(6))]
    )
    for name, content in {
        "UTF-8": text.encode(),
        "UTF-16": text.encode("utf-16"),
        "semicolons": semicolons.encode("utf-8-sig"),
        "quotes": quoted.encode(),
    }.items():
        hurt = ("labels.csv",)
        yield Seed(
            f"label file in {name}", {**_pngs(), "labels.csv": content}, "labels.csv", hurt=hurt
        )
        yield Seed(
            f"labels beside a folder in {name}",
            {**_pngs(), "labels.csv": content},
            ".",
            "labels.csv",
            hurt=hurt,
        )
    written = {**_pngs(), "captions.csv": captions.encode()}
    yield Seed("caption file", written, "captions.csv", hurt=("captions.csv",))
    yield Seed(
        "captions beside a folder", written, ".", captions="captions.csv", hurt=("captions.csv",)
    )


def _tar(first: int = 0) -> Seed:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for i in range(6):
            members = {
                "png": _encoded(first + i, "PNG"),
                "cls": str(i % 2).encode(),
                "json": json.dumps({"caption": f"number {i}"}).encode(),
            }
            for ending, content in members.items():
                entry = tarfile.TarInfo(f"{i:04}.{ending}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return Seed("tar archive", {"train-0.tar": stream.getvalue()}, "train-0.tar")


def _parquet(first: int = 0) -> Seed:
    def rows(numbers: range) -> bytes:
        images = [{"bytes": _encoded(first + i, "PNG"), "path": f"{i}.png"} for i in numbers]
        captions = [[f"number {i}"] for i in numbers]
        table = pa.table({"image": images, "label": [i % 2 for i in numbers], "captions": captions})
        stream = io.BytesIO()
        pq.write_table(table, stream, row_group_size=3, compression="snappy")
        return stream.getvalue()

    return Seed(
        "Parquet files",
        {"train-0.parquet": rows(range(6)), "train-1.parquet": rows(range(6, 12))},
        ".",
    )


def _arrays() -> Iterator[Seed]:
    images = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8)
    labels = np.arange(6) % 2
    stream = io.BytesIO()
    np.save(stream, images)
    yield Seed("NumPy array", {"images.npy": stream.getvalue()}, "images.npy")
    for name, save in {
        "NumPy arrays": np.savez,
        "compressed NumPy arrays": np.savez_compressed,
    }.items():
        stream = io.BytesIO()
        save(stream, images=images, labels=labels)
        yield Seed(name, {"images.npz": stream.getvalue()}, "images.npz")
    stream = io.BytesIO()
    torch.save(
        {
            "images": torch.from_numpy(images).permute(0, 3, 1, 2),
            "labels": torch.from_numpy(labels),
        },
        stream,
    )
    yield Seed("tensors", {"images.pt": stream.getvalue()}, "images.pt")


def _idx() -> Seed:
    """Read by `likewise.data.sources.idx` alone."""
    values = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE), dtype=np.uint8)
    header = b"\0\0\x08\x03" + np.array(values.shape, ">i4").tobytes()
    return Seed(
        "IDX", {"images.idx.gz": gzip.compress(header + values.tobytes(), mtime=0)}, "images.idx.gz"
    )


def _videos() -> Iterator[Seed]:
    import av

    contents = []
    for number in range(2):
        stream = io.BytesIO()
        with av.open(stream, "w", format="mp4") as container:
            track = container.add_stream("mpeg4", rate=8)
            track.width = track.height = 2 * SIDE
            for _ in range(8):
                frame = np.asarray(picture(number, 2 * SIDE, 2 * SIDE))
                container.mux(track.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(track.encode())
        contents.append(stream.getvalue())
    yield _folder("videos", "mp4", contents)


def write(seed: Seed, files: dict[str, bytes], folder: Path) -> None:
    """The files of a seed, below a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
