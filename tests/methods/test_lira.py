"""LiRA's own rules: the sound of the frames that are seen, none after the end, and an encoder that keeps all frames."""

import dataclasses

import pytest
import torch

from likewise.data.batch import Batch, Pixels
from likewise.data.video.clip_columns import SOUND
from likewise.encoders import EncoderSettings, build_encoder
from likewise.encoders.lip_networks import lip_encoder
from likewise.errors import LikewiseError
from likewise.methods import Progress, with_view_size
from likewise.methods.lira import LiRA
from likewise.randomness import generator, seed_networks
from likewise.report.pictures.illustration import Illustration
from likewise.report.pictures.method_pictures import illustrate

CLIPS, KEPT, FRAMES, BANDS, SIZE = 6, 9, 5, 8, 12


def rule(**settings):
    return with_view_size(LiRA(bands=BANDS, **settings), SIZE, FRAMES)


def nets(method, seed=0):
    seed_networks(seed)
    return method.build(lip_encoder("lip-small", (0.5,), (0.3,)), 0)


def batch(shown=None, seed=1):
    frames = torch.randint(
        0, 256, (CLIPS, KEPT, 1, SIZE, SIZE), dtype=torch.uint8, generator=generator(seed)
    )
    heard = torch.randn(CLIPS, KEPT, BANDS, generator=generator(seed, "heard"))
    pixels = Pixels(frames, torch.ones(CLIPS), None if shown is None else torch.tensor(shown))
    return Batch(pixels, torch.full((CLIPS,), -1), torch.arange(CLIPS), modalities={SOUND: heard})


def test_what_is_heard_belongs_to_the_frames_that_are_seen():
    """Each frame's number is written into its pixels and into its sound."""
    method, where = rule(views=dataclasses.replace(LiRA().views, flip=0.0)), Progress(0, 10)
    clips, numbers = batch(), torch.arange(KEPT)
    clips.pixels.images[:] = (numbers * 20)[None, :, None, None, None]
    clips.modalities[SOUND][:] = numbers[None, :, None]
    view = method.views(clips.pixels, where.rng("view", clips))
    rows = method.embed(nets(method), clips, where)
    seen = (view.pixels.mean(dim=(2, 3, 4)) * 255 / 20).round()
    assert torch.equal(rows["target"][..., 0], seen)
    assert len(set(view.start.tolist())) > 1 and rows["valid"].all()


def test_nothing_after_a_videos_end_counts():
    method, shown = rule(), [9, 3, 2, 4, 1, 5]
    networks, where = nets(method).eval(), Progress(2, 10)
    first, other = batch(shown), batch(shown)
    behind = torch.arange(KEPT)[None] >= torch.tensor(shown)[:, None]
    other.pixels.images[behind] = 255 - other.pixels.images[behind]
    other.modalities[SOUND][behind] = 100.0
    ends = [method.step(networks, clips, where) for clips in (first, other)]
    assert ends[0].loss.item() == pytest.approx(ends[1].loss.item(), rel=1e-5)
    valid = method.embed(networks, first, where)["valid"]
    assert valid.sum(dim=1).tolist() == [5, 3, 2, 4, 1, 5]


def test_the_loss_and_its_shares_are_those_of_the_guesses():
    method, where = rule(), Progress(1, 10)
    networks, clips = nets(method), batch()
    rows = method.embed(networks, clips, where)
    step = method.compute_loss(networks, rows, where)
    error = (rows["prediction"] - rows["target"]).abs().mean()
    assert step.loss.item() == pytest.approx(error.item(), rel=1e-6)
    assert step.metrics["share_of_mean_error"].item() == pytest.approx(
        (error / rows["target"].abs().mean()).item(), rel=1e-5
    )
    left = (rows["prediction"] - rows["target"]).square().sum() / rows["target"].square().sum()
    assert step.metrics["r2_score"].item() == pytest.approx(1 - left.item(), rel=1e-4)
    assert not step.metrics["r2_score"].requires_grad


def test_it_learns_the_sound_of_a_few_clips():
    method, clips = rule(), batch()
    networks = nets(method)
    optimizer = torch.optim.AdamW(networks.parameters(), lr=3e-3)
    shares = []
    for number in range(60):
        step = method.step(networks, clips, Progress(number, 60))
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        shares.append(step.metrics["share_of_mean_error"].item())
    assert min(shares[-5:]) < 0.7 < max(shares[:5])


def test_an_encoder_that_loses_frames_is_refused():
    with pytest.raises(LikewiseError, match="lip-small"):
        rule().build(build_encoder(EncoderSettings("conv4", SIZE, (0.4,), (0.3,))), 0)


def test_its_pictures_show_low_bands_at_the_bottom_and_time_to_the_right(tmp_path):
    method, clips = rule(), batch()
    clips.modalities[SOUND][:] = -9.0
    clips.modalities[SOUND][:, :, 0] = 9.0  # the lowest band, at all times
    networks = nets(method).eval()
    with torch.no_grad():
        made = illustrate(method, networks, clips, Progress(0, 1))
    made.save(tmp_path / "kept.npz")
    rows = Illustration.load(tmp_path / "kept.npz").rows
    assert len(rows) == CLIPS and [picture.column for picture in rows[0]] == [
        "frame",
        "target",
        "prediction",
    ]
    heard = rows[0][1].pixels
    assert heard[:, -1].min() == 1 and heard[:, 0].max() == 0
    assert rows[0][2].caption.endswith("%")
