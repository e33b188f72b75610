"""Files that would act when they are unpickled do not, wherever likewise reads them."""

from __future__ import annotations

import io
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import likewise as lw
from data.pictures import picture
from likewise.data.label_budget import LabelBudget
from likewise.encoders.checkpoints.read_checkpoint import read_checkpoint

SETTINGS = {
    "encoder": "conv4-half",
    "batch_size": 8,
    "steps": 1,
    "num_evals": 0,
    "device": "cpu",
    "loggers": (),
}
IMAGES = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)


class Act:
    """Makes a file where it is unpickled."""

    def __init__(self, mark) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, "w")


@pytest.fixture
def mark(tmp_path):
    """What is made if code in a file is run; a test that makes it fails."""
    mark = tmp_path / "acted"
    pickle.loads(pickle.dumps(Act(mark))).close()
    assert mark.exists(), "the attack itself must work"
    mark.unlink()
    yield mark
    assert not mark.exists()


def attacked_objects(mark):
    listed = np.empty(24, dtype=object)
    listed[:] = [Act(mark) for _ in range(24)]
    return listed


@pytest.mark.parametrize("ending", ["pt", "pth", "ckpt", "bin", "safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_weights(mark, tmp_path, ending, zipped):
    file = tmp_path / f"weights.{ending}"
    content = {"state_dict": {"conv1.weight": torch.zeros(1)}, "act": Act(mark)}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(lw.LikewiseError, match=file.name):
        read_checkpoint(file)
    with pytest.raises(lw.LikewiseError):
        lw.train(IMAGES, method="simclr", pretrained=str(file), out=tmp_path / "run", **SETTINGS)


@pytest.mark.parametrize("ending", ["npy", "npz", "pt", "pth"])
def test_images_and_labels_in_arrays(mark, tmp_path, ending):
    file, objects = tmp_path / f"data.{ending}", attacked_objects(mark)
    if ending == "npy":
        np.save(file, objects, allow_pickle=True)
    elif ending == "npz":
        np.savez(file, images=IMAGES, labels=objects)
    else:
        torch.save({"images": torch.from_numpy(IMAGES), "labels": objects}, file)
    for act in (
        lw.doctor,
        lambda data: lw.train(data, method="simclr", out=tmp_path / "run", **SETTINGS),
    ):
        with pytest.raises(lw.LikewiseError, match=file.name):
            act(str(file))


def test_rows_of_a_label_budget(mark, tmp_path):
    np.save(tmp_path / "rows.npy", attacked_objects(mark), allow_pickle=True)
    budget = LabelBudget.parse(str(tmp_path / "rows.npy"))
    with pytest.raises(lw.LikewiseError, match=r"rows\.npy"):
        budget.apply(torch.zeros(24, dtype=torch.int64), [str(i) for i in range(24)])


def test_extension_types_of_arrow(mark, tmp_path):
    stream = io.BytesIO()
    picture().save(stream, "PNG")
    pickled = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Act(mark)),
    }
    fields = [pa.field("image", pa.binary()), pa.field("label", pa.int64(), metadata=pickled)]
    pq.write_table(
        pa.table([[stream.getvalue()] * 2, [0, 1]], schema=pa.schema(fields)),
        tmp_path / "x.parquet",
    )
    lw.doctor(str(tmp_path / "x.parquet"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a"
    return lw.train(
        (IMAGES, np.arange(24) % 2), method="supcon", out=folder, **SETTINGS
    ).folder.path


@pytest.mark.parametrize(
    "name", ["checkpoints/last.ckpt", "encoder.safetensors", "classifier.safetensors"]
)
def test_files_of_a_run(mark, tmp_path, run, name):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for file in (folder / name, *folder.glob(f"{name}*.previous"), *folder.glob("checkpoints/*")):
        torch.save({"learner": {}, "act": Act(mark)}, file)
    labelled = (IMAGES, np.arange(24) % 2)
    again = {**SETTINGS, "steps": 1, "method": "supcon", "out": folder}
    for act in (
        lambda: lw.train(labelled, resume=True, **again),
        lambda: lw.load(folder).nets,
        lambda: lw.load(folder).predict(IMAGES),
        lambda: lw.load(folder).embed(IMAGES),
    ):
        try:
            act()
        except lw.LikewiseError as error:
            assert "weights_only=False" not in str(error)
