"""Global-local contrast: the sound is that of the frames shown, and what each of the two losses teaches."""

import dataclasses

import pytest
import torch

from likewise.data.batch import Batch, Pixels
from likewise.data.video.clip_columns import SOUND
from likewise.encoders.clip_networks import clip_encoder
from likewise.losses import dense
from likewise.methods import Progress, with_view_size
from likewise.methods.global_local import GlobalLocal, sound_of_view
from likewise.randomness import seed_networks
from likewise.report.pictures.method_pictures import illustrate
from likewise.views.view import View

B, KEPT, FRAMES, SIDE, PER_FRAME = 4, 9, 4, 16, 640


def rule(**changed):
    return with_view_size(
        GlobalLocal(**{"bands": 8, "dim": 8, "local_dim": 4, **changed}), SIDE, FRAMES
    )


def nets_of(method):
    seed_networks(0)
    return method.build(clip_encoder("r2plus1d-small", (0.4,), (0.3,)), 0)


def batch():
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (B, KEPT, 1, SIDE, SIDE), dtype=torch.uint8)
    sound = torch.randint(-9000, 9000, (B, KEPT * PER_FRAME), dtype=torch.int16)
    return Batch(
        Pixels(frames, torch.ones(B), torch.full((B,), KEPT)),
        torch.full((B,), -1),
        torch.arange(B),
        modalities={SOUND: sound},
    )


def progress():
    return Progress(0, 10, seed=1)


def test_the_sound_is_that_of_the_frames_shown():
    given = batch()
    view = View(
        torch.zeros(B, FRAMES, 1, SIDE, SIDE), torch.zeros(B, 2, 3), torch.tensor([0, 1, 3, 5])
    )
    found = sound_of_view(view, given)
    for row, start in enumerate([0, 1, 3, 5]):
        expected = (
            given.modalities[SOUND][row, start * PER_FRAME : (start + FRAMES) * PER_FRAME].float()
            / 32767
        )
        torch.testing.assert_close(found[row], expected)


def test_the_loss_is_the_weighted_sum_of_both_bag_losses():
    method = rule(global_weight=0.5, local_weight=2.0)
    nets = nets_of(method).eval()
    rows = method.embed(nets, batch(), progress())
    assert rows["frame_sounds"].shape == (B, FRAMES, method.steps, 4)
    wholes = dense.mil_nce(rows["sound"], rows["locations"], 0.1)
    seen = rows["frames"].reshape(-1, 4)
    heard = rows["frame_sounds"].reshape(B * FRAMES, method.steps, 4)
    found = method.compute_loss(nets, rows, progress())
    torch.testing.assert_close(
        found.loss, 0.5 * wholes + 2 * dense.mil_nce(seen, heard, 0.1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("weights", "idle"),
    [
        ({"local_weight": 0.0}, ("space.thin", "space.sound_local", "space.video_local")),
        ({"global_weight": 0.0}, ()),
    ],
)
def test_what_a_weight_of_zero_leaves_without_a_lesson(weights, idle):
    """Moments alone teach the encoder and its heads too, for their gradient flows through the attention."""
    method = rule(**weights)
    nets = nets_of(method)
    method.step(nets, batch(), progress()).loss.backward()
    for name, parameter in nets.named_parameters():
        assert parameter.grad is not None, name  # data parallelism wants a gradient of everything
        assert bool(parameter.grad.any()) != name.startswith(idle or ("none",)), name


def test_attention_is_drawn_over_frames():
    method = rule()
    nets = nets_of(method).eval()
    with torch.no_grad():
        drawn = illustrate(method, nets, batch(), progress())
    assert len(drawn.rows) == B
    pixels = torch.stack([picture.pixels for row in drawn.rows for picture in row])
    assert pixels.shape[1:] == (1, SIDE, SIDE)
    assert 0 <= pixels.min() and pixels.max() <= 1
    frames, lit = drawn.rows[0][:3], drawn.rows[0][3:]
    assert all(
        (light.pixels <= plain.pixels + 1e-6).all()
        for plain, light in zip(frames, lit, strict=True)
    )


def test_presets_build(tmp_path):
    for preset in GlobalLocal.card.presets.values():
        method = dataclasses.replace(GlobalLocal(), **preset.settings)
        assert (
            method.build(clip_encoder("r2plus1d-small", (0.4,), (0.3,)), 0).space.settings.dim
            == method.dim
        )
