"""A method's own pictures: stored exactly, drawn in their columns, and absent where there are none."""

import torch
from html_tree import parse

from likewise.report.pages.embedding_map import EmbeddingMap
from likewise.report.pages.page import write_report
from likewise.report.pictures.illustration import SIDE, Illustration, Picture
from report.test_pictures import decoded


def rows(count=2, size=8, channels=3):
    torch.manual_seed(0)
    named = [("image", ""), ("its views", "0.25"), ("its views", "0.75"), ("<others>", "a & b")]
    return [
        [Picture(torch.rand(channels, size, size), caption, column) for column, caption in named]
        for _ in range(count)
    ]


def test_what_is_saved_is_loaded(tmp_path):
    for channels in (1, 3):
        made = Illustration("Who pulls", "The farthest.", rows(channels=channels))
        made.save(tmp_path / "a.npz")
        again = Illustration.load(tmp_path / "a.npz")
        assert (again.title, again.explanation) == (made.title, made.explanation)
        for row, stored in zip(made.rows, again.rows, strict=True):
            for picture, found in zip(row, stored, strict=True):
                assert (found.caption, found.column) == (picture.caption, picture.column)
                torch.testing.assert_close(
                    found.pixels, picture.pixels, rtol=0, atol=0.5 / 255 + 1e-6
                )


def test_large_pictures_are_kept_small(tmp_path):
    Illustration("t", "s", [[Picture(torch.ones(3, 224, 224) / 5, "", "image")]]).save(
        tmp_path / "a.npz"
    )
    pixels = Illustration.load(tmp_path / "a.npz").rows[0][0].pixels
    assert pixels.shape == (3, SIDE, SIDE)
    torch.testing.assert_close(pixels, torch.full_like(pixels, 51 / 255))


def test_the_page_shows_each_picture_under_its_column(make_run):
    run, made = make_run(), Illustration("Who <pulls>", "The farthest & nearest.", rows())
    made.save(run.illustration)
    page = write_report(run, EmbeddingMap(projection="pca")).read_text()
    part = parse(
        page[page.index('<section id="illustration"') :].split("</section>")[0] + "</section>"
    )
    assert (
        part.one("h2").text == "Who <pulls>" and part.all("p")[0].text == "The farthest & nearest."
    )
    assert [caption.text for caption in part.all("figcaption")] == [
        "image",
        "its views",
        "<others>",
    ] * 2
    images = part.all("img")
    assert len(images) == 8
    wanted = (made.rows[1][2].pixels * 255).round().byte().permute(1, 2, 0).numpy()
    assert (decoded(images[6].attributes["src"]) == wanted).all()
    assert images[6].attributes["alt"] == "its views: 0.75"


def test_a_run_without_pictures_has_no_such_part_and_a_damaged_file_is_named(make_run):
    run = make_run()
    assert 'id="illustration"' not in write_report(run, EmbeddingMap(projection="pca")).read_text()
    run.illustration.write_bytes(b"PK no")
    page = write_report(run, EmbeddingMap(projection="pca")).read_text()
    assert 'id="illustration"' not in page
    assert run.illustration.name in page
