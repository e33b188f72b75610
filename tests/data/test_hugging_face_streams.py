"""Streams of the library datasets: their files are read as shards; others say how to write them."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import likewise as lw
from data.pictures import picture
from data.servers import serve
from data.test_remote import assert_same
from data.test_webdataset import examples, write_tar
from likewise.data import loader
from likewise.data.sources.open import open_manifest
from likewise.data.sources.shard_cache import ShardCache
from likewise.errors import LikewiseError
from likewise.training.loop import Interrupted

datasets = pytest.importorskip("datasets")
pytest.importorskip("datasets.distributed")

FEATURES = datasets.Features(
    {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
)


def png(number):
    out = io.BytesIO()
    picture(number).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three Parquet files of eight training images, one of eight test images."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hugging-face")
    (tmp_path / "set").mkdir()
    for number, name in enumerate(["train-0", "train-1", "train-2", "test-0"]):
        cells = [{"bytes": png(8 * number + i), "path": None} for i in range(8)]
        dataset = datasets.Dataset.from_dict(
            {"image": cells, "label": [i % 2 for i in range(8)]}, features=FEATURES
        )
        dataset.to_parquet(tmp_path / "set" / f"{name}.parquet")
    return tmp_path / "set"


def streamed(files, **options):
    return datasets.load_dataset("parquet", data_files=files, streaming=True, **options)


def test_a_stream_is_its_files(folder, tmp_path):
    stream = streamed({"train": f"{folder}/train-*.parquet", "test": f"{folder}/test-*.parquet"})
    both, train = open_manifest(stream), open_manifest(f"{folder}/train-*.parquet")
    assert_same(both.split("train"), train)
    assert_same(both.split("test"), open_manifest(f"{folder}/test-0.parquet"))
    shuffled = stream["train"].shuffle(seed=3, buffer_size=10)
    for same in (stream["train"], shuffled, stream["train"].with_format("torch")):
        assert_same(open_manifest(same), train)
    part = open_manifest(stream["train"].shard(3, 1))
    assert len(part) == 8 and set(part.splits) == {"train"}
    assert set(open_manifest(stream["test"]).splits) == {"train"}


def test_a_stream_over_http_is_copied_shard_by_shard(folder, tmp_path):
    with serve(folder) as server:
        urls = [f"{server.url}/train-{number}.parquet" for number in range(3)]
        stream = streamed(urls, split="train")
        cache = ShardCache(tmp_path / "cache", 10**9)
        assert_same(open_manifest(stream, cache=cache), open_manifest(urls, cache=cache))
    assert len(list((tmp_path / "cache").glob("*.parquet"))) == 3


def test_a_run_on_a_stream_resumes_in_the_middle_of_an_epoch(folder, tmp_path, monkeypatch):
    # So that images are read from the shards at each step.
    monkeypatch.setattr("likewise.data.open_images.MEMORY_LIMIT", 0)
    stream = streamed(f"{folder}/train-*.parquet", split="train").shuffle(seed=1)
    seen, batches = [], loader.Loader.batches

    def noted(self, first, last):
        for step, batch in zip(range(first, last), batches(self, first, last), strict=True):
            seen.append((step, tuple(batch.indices.tolist())))
            yield batch

    monkeypatch.setattr(loader.Loader, "batches", noted)

    def train(out, **options):
        given = {
            "method": "simclr",
            "encoder": "conv4-half",
            "labels": "none",
            "batch_size": 4,
            "num_evals": 0,
        }
        given |= {"loggers": (), "shuffle_buffer": 4, "num_workers": 0, "save_every": 2}
        lw.train(
            stream,
            out=str(tmp_path / out),
            test_data=f"{folder}/test-0.parquet",
            **given,
            **options,
        )
        return (tmp_path / out / "encoder.safetensors").read_bytes()

    weights = train("whole", steps=6)
    whole = list(seen)
    seen.clear()
    with monkeypatch.context() as patch:
        patch.setattr(
            loader.Loader, "batches", lambda self, first, last: _stopped(noted(self, first, last))
        )
        with pytest.raises(Interrupted):
            train("stopped", steps=6)
    seen.clear()
    assert train("stopped", steps=6, resume=True) == weights
    assert 0 < len(seen) < 6 and seen == whole[-len(seen) :]


def _stopped(batches):
    for count, batch in enumerate(batches):
        if count == 3:
            raise KeyboardInterrupt
        yield batch


def test_class_names_of_the_stream_are_used_where_the_files_have_numbers(folder):
    table = pq.read_table(folder / "train-0.parquet")
    numbers = table.set_column(1, "label", pa.array([2, 0] * 4)).replace_schema_metadata(None)
    pq.write_table(numbers, folder / "numbers.parquet")
    for name, labels in (("numbers", [2, 0] * 4), ("train-0", [0, 1] * 4)):
        kind = datasets.ClassLabel(names=["owl", "emu", "ant"])
        manifest = open_manifest(
            streamed(f"{folder}/{name}.parquet", split="train").cast_column("label", kind)
        )
        assert manifest.class_names == ("owl", "emu", "ant") and manifest.labels.tolist() == labels


def test_archives_may_be_streamed_too(tmp_path, folder):
    write_tar(tmp_path / "a.tar", examples(4))
    stream = datasets.load_dataset(
        "webdataset", data_files=str(tmp_path / "a.tar"), split="train", streaming=True
    )
    assert_same(open_manifest(stream), open_manifest(tmp_path / "a.tar"))


CHANGED = {
    "map()": lambda stream: stream.map(lambda row: {"label": 1 - row["label"]}, features=FEATURES),
    "filter()": lambda stream: stream.filter(lambda row: row["label"] == 1),
    "take()": lambda stream: stream.take(5),
    "skip()": lambda stream: stream.skip(5),
    "select_columns()": lambda stream: stream.select_columns(["image"]),
    "process": lambda stream: datasets.distributed.split_dataset_by_node(
        stream, rank=0, world_size=2
    ),
    "files": lambda stream: datasets.IterableDataset.from_generator(
        lambda: iter([{"image": picture(0)}])
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_what_has_no_positions_says_how_to_write_it(folder, change):
    stream = CHANGED[change](streamed(f"{folder}/train-*.parquet", split="train"))
    with pytest.raises(LikewiseError, match=r"to_parquet") as refused:
        open_manifest(stream)
    assert change in str(refused.value)


@pytest.mark.parametrize("option", [{"filters": [("label", "==", 0)]}, {"columns": ["image"]}])
def test_a_stream_that_leaves_out_rows_or_columns_of_its_files_is_refused(folder, option):
    with pytest.raises(LikewiseError, match="to_parquet"):
        open_manifest(streamed(f"{folder}/train-0.parquet", split="train", **option))


def test_a_changed_stream_that_was_written_is_read(folder, tmp_path):
    changed = CHANGED["map()"](streamed(f"{folder}/train-*.parquet", split="train"))
    changed.to_parquet(tmp_path / "stream.parquet")
    manifest = open_manifest(tmp_path / "stream.parquet")
    assert manifest.class_names == ("cat", "dog") and manifest.labels.tolist() == [1, 0] * 12


def test_a_stream_of_other_files_is_refused(folder, tmp_path):
    rows = [{"image": str(i), "label": i} for i in range(3)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    stream = datasets.load_dataset(
        "json", data_files=str(tmp_path / "a.jsonl"), streaming=True, split="train"
    )
    with pytest.raises(LikewiseError, match="to_parquet"):
        open_manifest(stream)
