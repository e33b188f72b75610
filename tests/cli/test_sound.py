"""Videos with sound by the same verbs: train, scores, embed, a sound that finds clips, the page; what is refused."""

from __future__ import annotations

import wave

import numpy as np
import pytest
import torch

import likewise
from data.videos import write_video
from likewise.cli import main
from likewise.data.columns.boxes import SOUND_BOX, Boxes
from likewise.data.sources.named_sets import NAMED_SETS
from likewise.data.video.clips import clip_manifest
from likewise.errors import LikewiseError
from likewise.heads.sound_space import load_sound_space
from likewise.json_files import read_json
from likewise.vectors import read_vectors

COUNT, KEPT, SIDE, PER_FRAME = 24, 14, 12, 640


def clips():
    """Noise, of two classes; two thirds to learn from."""
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (COUNT, KEPT, 1, SIDE, SIDE), dtype=np.uint8)
    sound = random.integers(-9000, 9000, (COUNT, KEPT * PER_FRAME), dtype=np.int16)
    splits = np.repeat(["train", "test"], [16, 8])
    made = clip_manifest("made", frames, 25, np.arange(COUNT) % 2, ("a", "b"), splits, sound)
    made.columns[SOUND_BOX] = Boxes(
        np.tile(np.array([[0.0, 0.0, 0.5, 1.0]], np.float32), (COUNT, 1))
    )
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "a"
    words = f"--method global-local --steps 2 --batch-size 8 --frames 4 --out {out} --method.dim 8 --method.bands 8"
    NAMED_SETS["made"] = clips
    try:
        main(["train", "made", *words.split()])
        main(["embed", str(out), "made", "--out", str(out / "vectors.parquet")])
    finally:
        del NAMED_SETS["made"]
    return out


@pytest.fixture
def query(tmp_path):
    sound = clips().columns["sound"].read(torch.tensor([20]))[0].numpy()
    with wave.open(str(tmp_path / "query.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(sound.astype("<i2").tobytes())
    return tmp_path / "query.wav"


def test_its_scores_stand_beside_untrained_ones(folder):
    scores = read_json(folder / "scores.json")
    for who in ("trained", "untrained"):
        names = {score["name"] for score in scores[who]}
        assert {"sound_to_clip_r1", "clip_to_sound_r5", "sync_auc", "attention_in_box"} <= names
    of = {
        who: {score["name"]: score["value"] for score in scores[who]}
        for who in ("trained", "untrained")
    }
    [gain] = [gain for gain in scores["differences"] if gain["name"] == "clip_to_sound_r1"]
    difference = of["trained"]["clip_to_sound_r1"] - of["untrained"]["clip_to_sound_r1"]
    assert gain["over"] == "untrained" and gain["value"] == pytest.approx(difference)
    assert gain["low"] < difference < gain["high"]
    page = (folder / "report.html").read_text()
    assert "sound to clip, recall at 1" in page
    assert 'id="illustration"' in page


def test_the_page_shows_what_sounds_find(folder, chromium):
    with np.load(folder / "retrieved.npz") as kept:
        own = kept["rank"]
        assert kept["spectrograms"].shape == (8, 24, 3 * SIDE) and kept["spectrograms"].std() > 20
        assert kept["thumbnails"].shape == (8, 7, SIDE, 3 * SIDE, 1)
        # A clip that was found first is framed there, and is the picture beside its sound.
        for row in range(8):
            assert kept["right"][row].tolist() == [place == own[row] for place in range(6)]
            if own[row] < 6:
                assert (kept["thumbnails"][row, 0] == kept["thumbnails"][row, 1 + own[row]]).all()
    page = chromium.new_page(viewport={"width": 1100, "height": 900})
    page.goto(f"file://{(folder / 'report.html').resolve()}")
    drawn = [each.bounding_box() for each in page.query_selector_all("#sounds .spectrogram")]
    strips = [each.bounding_box() for each in page.query_selector_all("#neighbours .sound img")]
    assert {(box["width"], box["height"]) for box in drawn} == {(168, 28)}
    assert {round(box["height"]) for box in strips} == {84} and {
        round(box["width"]) for box in strips
    } == {168}
    page.close()


def test_a_sound_finds_clips(folder, query, capsys):
    run = likewise.load(folder)
    gallery = read_vectors(folder / "vectors.parquet")
    asked = run.embed_sound([query]).vectors
    space, sound = load_sound_space(folder), clips().columns["sound"].read(torch.tensor([20]))[0]
    torch.testing.assert_close(asked[0], space.of_sound(sound, 4, 25.0))
    best = (gallery.shared @ asked[0]).argsort(descending=True)
    found = run.search_sound(query, gallery, 3)
    assert [match.id for match in found] == [gallery.ids[i] for i in best[:3]]
    capsys.readouterr()
    main(
        [
            "search",
            str(folder),
            "--sound",
            str(query),
            "--in",
            str(folder / "vectors.parquet"),
            "--count",
            "2",
        ]
    )
    assert found[0].id in capsys.readouterr().out.replace("\n", "")


def test_what_cannot_be_asked_is_refused(folder, query):
    run = likewise.load(folder)
    with pytest.raises(LikewiseError, match=str(folder)):
        run.embed_text(["a dog"])
    with pytest.raises(LikewiseError, match=r"embed_sound\(\)"):
        run.embed_sound(query)
    with pytest.raises(SystemExit):
        main(["search", str(folder), "--sound", str(query), "--text", "a dog"])
    gallery = read_vectors(folder / "vectors.parquet")
    with pytest.raises(LikewiseError, match="likewise embed"):
        run.search_sound(query, gallery._replace(shared=None))


def test_what_is_broken_in_a_folder_of_videos_is_left_out_or_told(tmp_path, capsys):
    random = np.random.default_rng(0)
    folder = tmp_path / "videos"
    folder.mkdir()

    def video(name, frames=12, width=24, sound=True):
        pixels = (
            random.integers(0, 256, (frames, 4, width // 6, 3), dtype=np.uint8)
            .repeat(6, 1)
            .repeat(6, 2)
        )
        heard = random.uniform(-0.5, 0.5, frames * 1000).astype(np.float32)
        return write_video(folder / name, pixels, sound=heard if sound else None)

    for number in range(12):
        video(f"good{number}.mp4")
    video("wide.mp4", width=48)
    video("one frame.mp4", frames=1)
    video("mute.mp4", sound=False)
    write_video(
        folder / "silent.mp4",
        np.full((12, 24, 24, 3), 99, np.uint8),
        sound=np.zeros(12_000, np.float32),
    )
    whole = video("broken tail.avi").read_bytes()
    (folder / "broken tail.avi").write_bytes(whole[: len(whole) * 6 // 10])
    (folder / "nothing.mp4").write_bytes(b"")
    (folder / "no index.mp4").write_bytes((folder / "good0.mp4").read_bytes()[:3000])
    out = tmp_path / "run"
    words = f"--method global-local --steps 1 --batch-size 4 --frames 4 --frame-rate 16 --out {out} --max-bad 0.2"
    main(
        ["train", str(folder), *words.split(), "--device=cpu", "--method.dim=8", "--method.bands=8"]
    )
    told = read_json(out / "data.json")
    assert {each["id"] for each in told["skipped"]} == {"nothing.mp4", "no index.mp4"}
    assert sum(told["splits"].values()) == 17 - 2, "all but what cannot be heard"
    output = " ".join(told["notes"])
    assert output.count("2 of 17 ") == 2
    assert "2 files" in capsys.readouterr().out
