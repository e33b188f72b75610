"""The pictures that a run's page shows, written into the run's folder at its end."""

from __future__ import annotations

import torch

from likewise.data.loader import Loader
from likewise.data.splits import Split
from likewise.evaluation.metrics.retrieval import Retrieved
from likewise.evaluation.run_scores import Scored
from likewise.methods import Method, Nets, Progress
from likewise.report.pictures.gallery import write_gallery
from likewise.report.pictures.location_samples import write_locations, write_matches
from likewise.report.pictures.method_pictures import draws_pictures, illustrate
from likewise.report.pictures.retrieval_examples import write_retrieved
from likewise.run_folder import RunFolder


def write_pictures(run: RunFolder, scored: Scored, retrieved: Retrieved | None = None) -> None:
    """Write ``gallery.npz``, ``locations.npz`` and, of a run with text or sound, ``retrieved.npz``.

    Args:
        run: where to.
        scored: the encoders and the images that they were scored on.
        retrieved: test images as texts or sounds rank them.
    """
    write_gallery(run, scored)
    # Locations in clips have a time too, which a still picture does not show.
    if scored.scored_on.images.frames == 1:
        write_locations(run, scored)
    if retrieved is not None:
        write_retrieved(run, retrieved, scored.scored_on)


def write_method_pictures(
    run: RunFolder,
    method: Method,
    nets: Nets,
    loader: Loader,
    train: Split,
    last: Progress,
    device: torch.device,
) -> None:
    """Write ``illustration.npz`` and ``matches.npz``, where the method has such pictures.

    Args:
        run: where to.
        method: the run's.
        nets: its trained networks.
        loader: of training images, at most `likewise.report.pictures.method_pictures.IMAGES` a batch.
        train: the training images.
        last: the progress at the run's last step.
        device: where the networks are.
    """
    if draws_pictures(method):
        illustration = illustrate(method, nets, loader.batch(0).to(device), last)
        if illustration is not None:
            illustration.save(run.illustration)
    write_matches(run, method, nets, train, Progress(0, 1, last.seed), device)
