"""Images with captions by the same verbs: train, evaluate, embed, search, the page; and what is refused."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
import torch

import likewise
from data.captioned import captioned_parquet, png
from data.test_webdataset import write_tar
from likewise.cli import main
from likewise.data.sources.open import open_manifest
from likewise.encoders.shared_space import load_space
from likewise.errors import LikewiseError
from likewise.runs.prepare import prepare
from likewise.runs.settings import TrainSettings
from likewise.vectors import Vectors

WORDS = ("red", "green", "blue", "grey")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Forty images; the captions of three are not there, one is enormous, one in another script. Two classes."""
    captions = [
        [f"a {WORDS[i % 4]} Thing number {i}", f"number {i} of {WORDS[i % 4]}"] for i in range(40)
    ]
    captions[3], captions[7], captions[11] = [], None, ["", "  "]
    captions[5], captions[6] = ["word " * 50_000], ["赤い犬", "🐶 рыжая собака"]
    return captioned_parquet(
        tmp_path_factory.mktemp("data") / "set.parquet", captions, labels=[i % 2 for i in range(40)]
    )


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "a"
    words = f"--method clip --steps 4 --batch-size 8 --image-size 12 --out {out} --method.vocabulary 400"
    main(["train", str(data), *words.split()])
    return out


def test_a_run_keeps_all_that_embedding_a_text_needs(folder):
    run = likewise.load(folder)
    found = run.embed_text(["a red thing", "赤い犬"])
    assert found.vectors.shape == (2, 128)
    torch.testing.assert_close(found.vectors.norm(dim=1), torch.ones(2))
    space, tokenizer = load_space(folder)
    expected = space.of_texts(tokenizer.encode(["a red thing"]).long())[0]
    torch.testing.assert_close(found.vectors[0], expected / expected.norm())
    config = json.loads((folder / "config.json").read_text())
    assert config["method"]["name"] == "clip"


def test_images_without_captions_are_left_out_of_training_and_told(folder):
    told = json.loads((folder / "data.json").read_text())
    assert told["columns"] == {"captions": 37}
    assert any(
        "training images have no captions and were left out" in note for note in told["notes"]
    )


def test_scores_stand_beside_an_untrained_run(folder):
    scores = json.loads((folder / "scores.json").read_text())
    names = {score["name"] for score in scores["trained"]}
    assert {
        "text_to_image_r1",
        "text_to_image_r5",
        "image_to_text_r1",
        "zero_shot_hit1",
        "linear_top1",
    } <= names
    untrained = {score["name"]: score for score in scores["untrained"]}
    assert untrained["text_to_image_r5"]["protocol"]["chance"] == pytest.approx(5 / 8, abs=0.15)
    assert names == set(untrained)


def test_the_page_shows_captions_beside_what_they_found(folder):
    page = (folder / "report.html").read_text()
    assert '<section id="captions"' in page and "text to image, recall at 1" in page
    with np.load(folder / "retrieved.npz") as kept:
        assert all(
            f'aria-label="Results for {caption}"' in page for caption in map(str, kept["captions"])
        )
        assert kept["thumbnails"].shape[1] == kept["cosine"].shape[1] + 1
        found_first = kept["rank"] == 0
        assert (kept["right"][:, 0] == found_first).all()


def test_search_by_words(folder, data, tmp_path, capsys):
    vectors = tmp_path / "vectors.parquet"
    main(["embed", str(folder), str(data), "--out", str(vectors)])
    main(["search", str(folder), "--text", "a red thing", "--in", str(vectors), "--count", "3"])
    said = capsys.readouterr().out
    run = likewise.load(folder)
    embedded = run.embed(data)
    asked = run.embed_text(["a red thing"]).vectors
    best = (embedded.shared @ asked[0]).topk(3)
    for place, cosine in zip(best.indices.tolist(), best.values.tolist(), strict=True):
        assert embedded.ids[place] in said and f"{cosine:.3f}" in said
    found = run.search_text("a red thing", vectors, 3)
    assert [match.id for match in found] == [embedded.ids[i] for i in best.indices.tolist()]


def test_a_file_of_texts_is_embedded_line_by_line(folder, tmp_path):
    import pyarrow.parquet as pq

    texts = tmp_path / "texts.txt"
    texts.write_text("a red thing\n\n赤い犬\n", encoding="utf-8")
    main(["embed", str(folder), str(texts), "--out", str(tmp_path / "t.parquet")])
    table = pq.read_table(tmp_path / "t.parquet")
    assert table["id"].to_pylist() == ["a red thing", "赤い犬"]
    assert table.column_names == ["id", "label", "vector", "shared"]


def test_evaluating_again_gives_the_same_retrieval(folder, data):
    before = json.loads((folder / "scores.json").read_text())
    again = likewise.load(folder).evaluate()
    old = {score["name"]: score["value"] for score in before["trained"]}
    assert {name: again[name] for name in again if "_r" in name} == {
        name: old[name] for name in old if "_r" in name
    }
    elsewhere = likewise.load(folder).evaluate(data)
    assert "text_to_image_r1" in elsewhere


def refused(words, capsys):
    with pytest.raises(SystemExit) as left, contextlib.redirect_stdout(None):
        main([str(word) for word in words])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_captions_that_are_not_there_are_refused_in_one_line(tmp_path, capsys):
    bare = captioned_parquet(tmp_path / "a.parquet", [None] * 20, "")
    said = refused(["train", bare, "--method", "clip", "--out", tmp_path / "out"], capsys)
    assert "image_path,caption" in said
    blank = captioned_parquet(tmp_path / "b.parquet", ["", " "] * 10)
    assert "image_path,caption" in refused(["train", blank, "--method", "clip-distill"], capsys)
    assert not (tmp_path / "out").exists()


def test_words_are_refused_by_a_run_without_texts(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (24, 12, 12), dtype=np.uint8)
    run = likewise.train(
        images, method="simclr", steps=1, batch_size=4, out=tmp_path / "plain", num_evals=0
    )
    vectors = run.embed(images)
    assert vectors.shared is None
    vectors.save(tmp_path / "v.parquet")
    said = refused(
        ["search", tmp_path / "plain", "--text", "dog", "--in", tmp_path / "v.parquet"], capsys
    )
    assert "--method clip" in said


def test_vectors_of_another_run_and_queries_of_two_kinds_are_refused(folder, tmp_path, capsys):
    Vectors(["a"], [""], torch.zeros(1, 3)).save(tmp_path / "v.parquet")
    said = refused(["search", folder, "--text", "dog", "--in", tmp_path / "v.parquet"], capsys)
    assert "likewise embed" in said
    assert "--text" in refused(["search", folder], capsys)
    assert "--text" in refused(["search", folder, "a.png", "--text", "dog"], capsys)
    with pytest.raises(LikewiseError, match=r"embed_text\(\)"):
        likewise.load(folder).embed_text(["dog", " "])
    assert "none.txt" in refused(["embed", folder, tmp_path / "none.txt"], capsys)


@pytest.mark.parametrize(("settings", "said"), [
    ({"caption_noise": 1.5}, "--caption-noise 1.5"), ({"captions": "none.csv"}, "none.csv cannot be read"),
])  # fmt: skip
def test_settings_of_captions_that_make_no_sense(data, settings, said):
    with pytest.raises(LikewiseError, match=said):
        prepare(data, TrainSettings(**settings), "clip")


def test_a_vocabulary_below_the_bytes_is_refused(data):
    from likewise.methods.clip import CLIP

    with pytest.raises(LikewiseError, match=r"vocabulary.* 100 .* 258 "):
        prepare(data, TrainSettings(), CLIP(vocabulary=100))


def test_fashion_pairs_say_what_they_show():
    manifest, pieces = open_manifest("fashion-pairs"), open_manifest("fashion-mnist-mini")
    assert manifest.summary()["splits"] == {
        "train": {"images": 5000, "labelled": 0}, "test": {"images": 1000, "labelled": 0},
    }  # fmt: skip
    by_pixels = {
        piece.tobytes(): int(label)
        for piece, label in zip(pieces.pixels.array, pieces.labels, strict=True)
    }
    from likewise.data.synthetic.fashion_pairs import NAMES

    for row in range(0, 6000, 211):
        picture, first_text = manifest.pixels.array[row], manifest.columns["captions"].texts[row][0]
        cells = [picture[y : y + 28, x : x + 28] for y in (0, 28) for x in (0, 28)]
        filled = [place for place, cell in enumerate(cells) if cell.any()]
        assert len(filled) == 2
        first, second = (
            NAMES[by_pixels[np.ascontiguousarray(cells[place]).tobytes()]] for place in filled
        )
        where = "above" if filled[0] % 2 == filled[1] % 2 else "to the left of"
        assert first_text == f"a {first} {where} a {second}"


def test_tar_archives_train_as_they_are(tmp_path):
    files = [
        (f"{i:03}.{end}", content)
        for i in range(24)
        for end, content in (("png", png(i)), ("txt", f"no. {i}"))
    ]
    write_tar(tmp_path / "shards" / "train-0.tar", files[:24])
    write_tar(tmp_path / "shards" / "train-1.tar", files[24:40])
    write_tar(tmp_path / "shards" / "test-0.tar", files[40:])
    out = tmp_path / "run"
    words = f"--method clip --steps 2 --batch-size 8 --image-size 12 --out {out} --method.vocabulary 400"
    main(["train", str(tmp_path / "shards"), *words.split()])
    told = json.loads((out / "data.json").read_text())
    assert told["columns"] == {"captions": 24}
    assert told["splits"]["test"] == 4
    assert any("text" in name for name in likewise.load(out).scores)
