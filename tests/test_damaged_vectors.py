"""A file of vectors that a disk has changed is refused, or gives the vectors that it held."""

import pytest
import torch

from likewise.errors import LikewiseError
from likewise.vectors import Vectors, read_vectors


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "vectors.parquet"
    ids, vectors = [f"{number}.png" for number in range(40)], torch.arange(640.0).view(40, 16).sin()
    Vectors(ids, ["a", "b"] * 20, vectors, None, "abc", {"x.png": "it is empty"}).save(path)
    return path


def test_a_changed_byte_of_a_vector_is_found(file):
    whole = file.read_bytes()
    value = read_vectors(file).vectors[20].numpy().tobytes()[:16]
    position = whole.index(value)
    for offset in range(16):
        changed = bytearray(whole)
        changed[position + offset] ^= 1
        file.write_bytes(changed)
        with pytest.raises(LikewiseError, match="vectors"):
            read_vectors(file)


def test_no_changed_byte_makes_a_traceback(file):
    whole = file.read_bytes()
    for position in range(0, len(whole), 13):
        changed = bytearray(whole)
        changed[position] ^= 4
        file.write_bytes(changed)
        try:
            assert len(read_vectors(file).ids) == 40
        except LikewiseError:
            continue


@pytest.mark.parametrize("length", [0, 3, 100, -1])
def test_a_file_that_is_cut_short_is_refused(length, file):
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(LikewiseError, match="embed"):
        read_vectors(file)
