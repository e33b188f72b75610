import base64
import io

import numpy as np
from PIL import Image

from likewise.report.pages.curves import grouped
from likewise.report.pages.embedding_map import EmbeddingMap
from likewise.report.pictures.neighbours import nearest_rows, queries
from likewise.report.pictures.thumbnails import image_uri, sheet


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


def test_each_tile_of_a_sheet_is_its_thumbnail():
    for channels in (1, 3):
        thumbnails = np.random.default_rng(0).integers(0, 256, (11, 8, 8, channels), dtype=np.uint8)
        made = sheet(thumbnails)
        picture = decoded(made.uri).reshape(made.rows * 8, made.columns * 8, channels)
        for number, thumbnail in enumerate(thumbnails):
            row, column = divmod(number, made.columns)
            assert (picture[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] == thumbnail).all()
        assert (decoded(image_uri(thumbnails[5])).reshape(8, 8, channels) == thumbnails[5]).all()


def test_a_sheet_keeps_to_its_weight_by_smaller_tiles():
    noise = np.random.default_rng(0).integers(0, 256, (100, 96, 96, 3), dtype=np.uint8)
    made = sheet(noise, limit=40_000)
    assert len(base64.b64decode(made.uri.split(",")[1])) <= 40_000
    assert made.tile < 96
    assert decoded(made.uri).shape == (made.rows * made.tile, made.columns * made.tile, 3)


def test_neighbours_equal_a_double_loop():
    vectors = np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32)
    vectors[7] = 0  # no direction: similarity 0 to everything, and no NaN
    rows = np.array([0, 7, 29])
    found = nearest_rows(vectors, rows, 5)
    for row, near in zip(rows, found, strict=True):

        def similarity(other, row=row):
            length = np.linalg.norm(vectors[row]) * np.linalg.norm(vectors[other])
            return vectors[row] @ vectors[other] / length if length else 0.0

        expected = sorted(
            (other for other in range(30) if other != row), key=lambda other: -similarity(other)
        )[:5]
        assert near.tolist() == expected


def test_every_class_is_a_query_before_any_is_twice():
    labels = np.array([2, 2, 2, 0, 0, -1, 1, -1, 1])
    assert queries(labels, 5).tolist() == [3, 6, 0, 4, 8]
    assert queries(np.full(4, -1), 3).tolist() == [0, 1, 2]


def test_the_map_keeps_clusters_and_is_the_same_each_time():
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 40)
    vectors = (np.eye(4, 16)[labels] + 0.1 * random.normal(size=(160, 16))).astype(np.float32)
    for projection in ("tsne", "pca"):
        settings = EmbeddingMap(projection=projection)
        points = settings.project(vectors)
        assert (points == settings.project(vectors)).all()
        distance = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(160)
        assert (labels[distance.argmin(1)] == labels).mean() > (
            0.95 if projection == "tsne" else 0.6
        )


def test_the_map_of_odd_galleries():
    for vectors in (
        np.zeros((20, 4)),
        np.ones((20, 4)),
        np.ones((1, 4)),
        np.arange(3.0)[:, None],
        np.ones((9, 1)),
    ):
        points = EmbeddingMap().project(vectors.astype(np.float32))
        assert points.shape == (len(vectors), 2) and np.isfinite(points).all()
    chosen = EmbeddingMap(points=50).sample(1000)
    assert (
        len(set(chosen.tolist())) == 50 and (chosen == EmbeddingMap(points=50).sample(1000)).all()
    )


def test_long_curves_are_means_of_equal_groups():
    lines = [{"loss": float(step)} for step in range(1, 1003)]
    lines[0]["loss"] = float("nan")
    last, means, size = grouped(lines, "loss", points=300)
    assert size == 4 and len(means) == len(last) == 251
    assert means[0] == 3.0  # of 2, 3, 4: the NaN is passed over
    assert means[1] == 6.5 and means[-1] == 1001.5
    assert last[0] == 3 and last[-1] == 1001
    few = grouped(lines[1:6], "loss", points=300)
    assert few[1].tolist() == [2, 3, 4, 5, 6] and few[2] == 1
