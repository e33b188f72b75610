"""A file of weights that was changed is refused, whatever was changed in it."""

import pytest
import torch

from likewise.errors import DamagedFile
from likewise.tensor_files import hash_of, load_tensors, save_tensors

TENSORS = {
    "a.weight": torch.arange(6.0).view(2, 3),
    "b": torch.tensor(3),
    "c": torch.ones(4, dtype=torch.float16),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_tensors(path, TENSORS)
    return path


def test_what_is_stored_comes_back_the_same_bytes_each_time(file):
    first = file.read_bytes()
    loaded = load_tensors(file)
    assert loaded.keys() == TENSORS.keys()
    assert all(torch.equal(loaded[name], TENSORS[name]) for name in TENSORS)
    save_tensors(file, TENSORS)
    assert file.read_bytes() == first


def test_tied_weights_and_parts_of_one_tensor_are_stored_under_each_name(tmp_path):
    whole = torch.arange(6.0).view(2, 3)
    tensors = {
        "a": whole,
        "b": whole,
        "first row": whole[0],
        "turned": whole.t(),
        "none": whole[:0],
    }
    save_tensors(tmp_path / "a.safetensors", tensors)
    loaded = load_tensors(tmp_path / "a.safetensors")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_no_change_of_a_byte_gives_other_weights(file):
    whole = file.read_bytes()
    for position in range(len(whole)):
        for bit in (0x01, 0x20):
            file.write_bytes(
                whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :]
            )
            try:
                loaded = load_tensors(file)
            except DamagedFile:
                continue
            assert hash_of(loaded) == hash_of(TENSORS), position


@pytest.mark.parametrize("length", [0, 4, 60, -1])
def test_a_file_that_is_cut_short_is_refused_by_name(length, file):
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(DamagedFile, match="encoder"):
        load_tensors(file)


def test_a_file_that_is_gone_is_refused_by_name(file):
    file.unlink()
    with pytest.raises(DamagedFile, match="encoder"):
        load_tensors(file)


def test_the_hash_knows_names_types_and_shapes():
    others = [
        {**TENSORS, "a.weight": TENSORS["a.weight"].view(3, 2)},
        {**TENSORS, "c": TENSORS["c"].bfloat16()},
        {("d" if name == "b" else name): tensor for name, tensor in TENSORS.items()},
    ]
    assert len({hash_of(each) for each in [TENSORS, *others]}) == 4
