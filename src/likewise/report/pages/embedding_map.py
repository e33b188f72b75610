"""A two-dimensional map of the embeddings: similar images lie together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from threadpoolctl import threadpool_limits

from likewise.counts import amount, count
from likewise.data.batch import UNLABELLED
from likewise.report.pages.chart import GREY, MARKERS, Chart, chart, colour, figure, plain
from likewise.report.pictures.gallery import Gallery
from likewise.report.pictures.thumbnails import sheet

COLOURED = 10
"""classes with a colour of their own; more colours are no longer distinct"""


@dataclass(frozen=True)
class EmbeddingMap:
    """How vectors are projected onto a plane. The same vectors always give the same map."""

    points: int = 2000
    """images drawn at most; more are sampled with a seed"""
    projection: Literal["tsne", "pca"] = "tsne"
    """t-SNE (van der Maaten and Hinton 2008) shows neighbourhoods; PCA keeps distances, and takes no time"""
    perplexity: float = 30.0
    """t-SNE: how many neighbours a point has; lowered where there are few points"""
    seed: int = 0
    """which images are drawn"""

    def sample(self, rows: int) -> np.ndarray:
        """Rows to draw, int64 [min(rows, points)], in order."""
        if rows <= self.points:
            return np.arange(rows)
        return np.sort(np.random.default_rng(self.seed).permutation(rows)[: self.points])

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """float32 [n, D] -> float32 [n, 2]. Vectors are made unit length first, as in cosine similarity."""
        from sklearn.decomposition import (
            PCA,  # scikit-learn takes a second to import, which most commands do without
        )

        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(length > 0, length, 1)
        flat = np.zeros((len(vectors), 2), dtype=np.float32)
        if np.ptp(vectors, axis=0).max() == 0:
            return flat  # collapsed to one point, or a single image
        # One thread: t-SNE's own threads wait on one another in a busy loop, which is far slower on a shared machine.
        with threadpool_limits(1):
            axes = min(2, *vectors.shape)
            flat[:, :axes] = PCA(axes, svd_solver="full").fit_transform(vectors)
            return flat if self._is_pca(len(vectors)) else self._tsne(vectors, flat)

    def _is_pca(self, points: int) -> bool:
        """Whether PCA is all: as requested, or for too few points."""
        return self.projection == "pca" or points < 8

    def _tsne(self, vectors: np.ndarray, axes: np.ndarray) -> np.ndarray:
        """t-SNE from the two principal axes, float32 [n, 2]."""
        from sklearn.manifold import TSNE

        perplexity = min(self.perplexity, (len(vectors) - 1) / 3)
        start = axes / axes[:, 0].std() * 1e-4
        limits = {"max_iter": 500, "angle": 0.7}
        maker = TSNE(perplexity=perplexity, init=start, random_state=self.seed, **limits)
        return maker.fit_transform(vectors).astype(np.float32)

    def caption(self, drawn: int, rows: int) -> str:
        """How many images are drawn, and by which projection."""
        how = "PCA" if self._is_pca(drawn) else f"t-SNE, perplexity {self.perplexity:g}"
        images = amount(rows, "sample image")
        if drawn < rows:
            images = f"{count(drawn)} of {images}"
        return f"{images}, projected by {how}."


def embedding_map(gallery: Gallery, settings: EmbeddingMap) -> Chart:
    """The map as a chart whose points show their image under the pointer."""
    rows = settings.sample(len(gallery.vectors))
    points = settings.project(gallery.vectors[rows])
    labels = gallery.labels[rows]
    predictions = gallery.predictions[rows]
    wrong = (labels != UNLABELLED) & (predictions != UNLABELLED) & (labels != predictions)
    drawn = figure(_traces(gallery, points, labels, wrong))
    drawn.update_xaxes(visible=False).update_yaxes(visible=False, scaleanchor="x")
    drawn.update_layout(legend={"itemsizing": "constant"}, margin={"l": 8, "r": 8, "b": 8})
    projected = settings.caption(len(rows), len(gallery.vectors))
    caption = f"{projected} {_how_to_read(int(wrong.sum()))}"
    alternative = f"Map of the embeddings: {projected}"
    tiles, lines = sheet(gallery.thumbnails[rows])._asdict(), _lines(gallery, rows)
    return chart("map", drawn, alternative, caption, height=620, sheet=tiles, lines=lines)


def _how_to_read(wrong: int) -> str:
    """What places mean, what crosses are where there are some, and what to click."""
    sentences = ["Similar images lie together; distances between far groups mean little."]
    if wrong:
        misclassified = amount(wrong, "image")
        sentences.append(f"Crosses are the {misclassified} that the linear probe misclassifies.")
    sentences.append(
        "Point at one to see it; click a class in the legend to hide it, twice to see it alone."
    )
    return " ".join(sentences)


def _traces(
    gallery: Gallery,
    points: np.ndarray,
    labels: np.ndarray,
    wrong: np.ndarray,
) -> list[go.Scatter]:
    """The frequent classes in colours, others and unlabelled images in grey; misclassified images as crosses."""
    known, frequency = np.unique(labels[labels != UNLABELLED], return_counts=True)
    coloured = sorted(known[np.argsort(-frequency, kind="stable")][:COLOURED].tolist())
    groups = []
    for number, label in enumerate(coloured):
        groups.append((gallery.name(label), labels == label, colour(number)))
    groups.append(("other classes", (labels != UNLABELLED) & ~np.isin(labels, coloured), GREY))
    groups.append(("no label", labels == UNLABELLED, GREY))
    traces = []
    for number, (name, members, paint) in enumerate(groups):
        right = members & ~wrong
        crosses = members & wrong
        symbol = MARKERS[number] if number < len(coloured) else "circle-open"
        if right.any():
            traces.append(_trace(points, right, name, paint, symbol))
        if crosses.any():
            # One legend entry a class, and it stays where every image of the class is misclassified.
            traces.append(_trace(points, crosses, name, paint, "x", legend=not right.any()))
    return traces


def _trace(
    points: np.ndarray,
    members: np.ndarray,
    name: str,
    paint: str,
    symbol: str,
    legend: bool = True,
) -> go.Scatter:
    return go.Scatter(
        x=points[members, 0].round(3).tolist(),
        y=points[members, 1].round(3).tolist(),
        customdata=np.flatnonzero(members).tolist(),
        name=plain(name),
        legendgroup=name,
        mode="markers",
        marker={"color": paint, "size": 6, "symbol": symbol, "opacity": 0.85},
        hoverinfo="none",
        showlegend=legend,
    )


def _lines(gallery: Gallery, rows: np.ndarray) -> list[list[str]]:
    """Below each picture: its class, a wrong prediction, its id."""
    lines = []
    for row in rows:
        label = int(gallery.labels[row])
        prediction = int(gallery.predictions[row])
        text = [gallery.name(label)]
        if prediction not in (UNLABELLED, label):
            text.append(f"predicted as {gallery.name(prediction)}")
        lines.append([*text, gallery.ids[row]])
    return lines
