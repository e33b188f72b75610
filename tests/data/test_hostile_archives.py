"""Archives and images that would lead elsewhere or fill the memory."""

import io
import struct
import tarfile
import zlib

import pytest

import likewise as lw
from data.pictures import picture
from likewise.data.sources.open import open_manifest


def png(number: int) -> bytes:
    stream = io.BytesIO()
    picture(number).save(stream, "PNG")
    return stream.getvalue()


def add(archive, name, content=b"", kind=tarfile.REGTYPE, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, target, len(content)
    archive.addfile(entry, io.BytesIO(content))


@pytest.fixture
def hostile(tmp_path):
    """An archive that lies beside a file of somebody else's."""
    (tmp_path / "secret.png").write_bytes(png(9))
    folder = tmp_path / "shards"
    folder.mkdir()
    with tarfile.open(folder / "a.tar", "w") as archive:
        add(archive, "../up.png", png(0))
        add(archive, "/absolute.png", png(1))
        add(archive, "good.png", png(2))
        add(archive, "link.png", kind=tarfile.SYMTYPE, target=str(tmp_path / "secret.png"))
        add(archive, "hard.png", kind=tarfile.LNKTYPE, target="../secret.png")
        add(archive, "device.png", kind=tarfile.CHRTYPE)
        add(archive, "pipe.png", kind=tarfile.FIFOTYPE)
    return folder / "a.tar"


def test_members_lead_nowhere(hostile, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    found = open_manifest(hostile)
    shown = [found.pixels.read(row).pixels.tobytes() for row in range(len(found))]
    assert shown == [picture(number).tobytes() for number in (0, 1, 2)]
    skipped = {entry.id.rpartition("/")[2] for entry in found.skipped}
    assert skipped == {"link.png", "hard.png", "device.png", "pipe.png"}
    assert sorted(tmp_path.rglob("*")) == before


def test_members_of_packed_archives_stay_below_their_folder(hostile, tmp_path):
    lw.pack(str(hostile), str(tmp_path / "packed"), max_bad=1.0)
    names = [
        name
        for file in (tmp_path / "packed").glob("*.tar")
        for name in tarfile.open(file).getnames()
    ]
    assert len([name for name in names if name.endswith(".png")]) == 3
    assert not [name for name in names if name.startswith("/") or ".." in name.split("/")]


def test_a_png_that_becomes_gigabytes_is_named(tmp_path):
    (tmp_path / "good.png").write_bytes(png(0))
    row = zlib.compress(bytes(60_001 * 64))
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", row), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks
    )
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert [entry.id for entry in open_manifest(tmp_path).skipped] == ["bomb.png"]
