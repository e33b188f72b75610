from __future__ import annotations

import json
from dataclasses import asdict

from PIL import Image, ImageOps

from data.pictures import cut_short, photograph, picture, save
from likewise.cli import main
from likewise.data.checks.doctor import examine
from likewise.data.sources.open import open_manifest


def scene(number: int) -> Image.Image:
    """A picture of soft shapes, as photographs have and noise has not."""
    return picture(number, 6, 6).resize((96, 96), Image.Resampling.BICUBIC)


def healthy(root, classes=("cat", "dog"), each=4):
    for number in range(each * len(classes)):
        path = root / "train" / classes[number % len(classes)] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(number).save(path)
    return root


def found(root) -> dict[str, tuple[tuple[str, ...], ...]]:
    return {finding.name: finding.groups for finding in examine(open_manifest(root)).found}


def test_a_healthy_set_gets_a_clean_bill(tmp_path):
    findings = examine(open_manifest(healthy(tmp_path)))
    assert findings.healthy and findings.images == 8


def test_copies_leaks_and_labels_at_odds(tmp_path):
    healthy(tmp_path)
    (tmp_path / "test" / "dog").mkdir(parents=True)
    scene(0).save(tmp_path / "train" / "cat" / "again.png")
    scene(1).save(tmp_path / "test" / "dog" / "leaked.jpg", quality=80)
    scene(2).resize((80, 80)).save(tmp_path / "train" / "dog" / "other.png")
    assert found(tmp_path) == {
        "leak": (("test/dog/leaked.jpg", "train/dog/1.png"),),
        "copies at odds": (("train/cat/2.png", "train/dog/other.png"),),
        "exact copy": (("train/cat/0.png", "train/cat/again.png"),),
        "near copy": (
            ("test/dog/leaked.jpg", "train/dog/1.png"),
            ("train/cat/2.png", "train/dog/other.png"),
        ),
    }


def test_files_that_cannot_be_used(tmp_path):
    healthy(tmp_path)
    (tmp_path / "train/cat/empty.png").touch()
    manifest = open_manifest(tmp_path)
    cut_short(tmp_path / "train/cat/0.png")
    findings = examine(manifest)
    (empty,), (cut,) = findings.found[0].groups
    assert empty == "train/cat/empty.png (zero bytes)"
    assert cut.startswith("train/cat/0.png (")
    assert findings.images == 9
    assert json.loads(json.dumps(asdict(findings)))["found"][0]["remedy"]


def test_tiny_images_odd_modes_and_single_classes(tmp_path):
    healthy(tmp_path, each=12)
    save(tmp_path / "train/cat/icon.png", 50, 9, 30)
    (tmp_path / "train/owl").mkdir()
    scene(60).convert("CMYK").save(tmp_path / "train/owl/1.jpg")
    assert found(tmp_path) == {
        "tiny image": (("train/cat/icon.png",),),
        "odd kind of pixels": (("train/owl/1.jpg (CMYK)",),),
        "class of one image": (("owl",),),
    }


def test_the_whole_list_names_every_file_and_every_copy(tmp_path, capsys):
    healthy(tmp_path)
    broken = [tmp_path / f"train/cat/broken {number}.png" for number in range(3)]
    for path in broken:
        path.touch()
    save(tmp_path / "train/dog/1.png", 1, 96, 96)
    copies = [save(tmp_path / f"train/dog/copy {number}.png", 1, 96, 96) for number in range(3)]
    main(["doctor", str(tmp_path)])
    assert sum(path.name in capsys.readouterr().out for path in broken) <= 1
    main(["doctor", str(tmp_path), "--all"])
    lines = capsys.readouterr().out.splitlines()
    assert all(
        any(f"train/cat/{path.name} (zero bytes)" in line for line in lines) for path in broken
    )
    assert any(all(path.name in line for path in copies) for line in lines)


def test_copies_are_told_by_kind_and_splits_with_leaks_first(tmp_path):
    for number in range(8):
        path = tmp_path / "train" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(number).save(path)
    (tmp_path / "test/dog").mkdir(parents=True)
    ImageOps.mirror(photograph(0)).save(tmp_path / "train/cat/mirrored.png")
    ImageOps.mirror(photograph(3)).save(tmp_path / "test/dog/mirrored.png")
    photograph(1).rotate(90).save(tmp_path / "train/dog/turned.png")
    photograph(2).crop((0, 0, 90, 90)).save(tmp_path / "train/cat/cropped.png")
    findings = {finding.name: finding for finding in examine(open_manifest(tmp_path)).found}
    leaked, mirrored = (
        ("test/dog/mirrored.png", "train/dog/3.png"),
        ("train/cat/0.png", "train/cat/mirrored.png"),
    )
    assert (findings["leak"].groups, findings["leak"].details) == (
        (leaked,),
        ("mirrored; test, train",),
    )
    assert findings["mirrored copy"].groups == (leaked, mirrored)
    assert findings["mirrored copy"].details == ("mirrored; test, train", "mirrored; train")
    assert findings["turned copy"].groups == (("train/dog/1.png", "train/dog/turned.png"),)
    assert findings["cropped copy"].groups == (("train/cat/2.png", "train/cat/cropped.png"),)


def test_pictures_of_one_colour_are_constant_and_every_name_is_printed_as_it_is(tmp_path, capsys):
    healthy(tmp_path)
    Image.new("RGB", (64, 64), (200, 10, 30)).save(tmp_path / "train/cat/[red]flat[].png")
    found = {finding.name: finding.groups for finding in examine(open_manifest(tmp_path)).found}
    assert found["constant image"] == (("train/cat/[red]flat[].png",),)
    main(["doctor", str(tmp_path)])
    assert "[red]flat[].png" in "".join(capsys.readouterr().out.split())
