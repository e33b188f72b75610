"""Flow similarity: which frame it sees, whose flow it learns from, and what moves too little to teach."""

import dataclasses

import pytest
import torch

from likewise.data.batch import Batch, Pixels
from likewise.data.video.optical_flow import STEPS_A_PIXEL
from likewise.encoders.locations import all_locations
from likewise.losses import kernel_alignment, kernel_regression
from likewise.losses.kernel_matching import gaussian_log_kernel
from likewise.methods import Progress
from likewise.randomness import generator
from likewise.report.pictures.method_pictures import illustrate
from likewise.views.view_policy import ViewPolicy
from methods.fixtures import method, nets_of

SIZE, CLIPS, FRAMES = 12, 8, 5
RULE = dataclasses.replace(method("flow-similarity"), positions=32)
UNTOUCHED = dataclasses.replace(
    RULE, views=ViewPolicy(size=SIZE, crop_area=(1, 1), crop_ratio=(1, 1), flip=0, frames=1)
)


def progress(step=3):
    return Progress(step, 10, seed=2)


def clips(flow=None):
    """Clips whose every frame has one brightness, its number; and a flow of the same number of pixels to the right."""
    number = torch.arange(FRAMES).view(1, -1, 1, 1, 1).expand(CLIPS, -1, 1, SIZE, SIZE)
    if flow is None:
        flow = torch.zeros(CLIPS, FRAMES - 1, 2, SIZE, SIZE)
        flow[:, :, 0, :, :4] = number[:, :-1, 0, :, :4] + 1  # a third moves
    pixels = Pixels((number * 50).to(torch.uint8), torch.ones(CLIPS), torch.full((CLIPS,), FRAMES))
    packed = (flow * STEPS_A_PIXEL).round().to(torch.int16)
    return Batch(pixels, torch.full((CLIPS,), -1), torch.arange(CLIPS), modalities={"flow": packed})


def random_flow(size=3.0):
    return torch.randn(CLIPS, FRAMES - 1, 2, SIZE, SIZE, generator=generator(3)) * size


def test_flow_is_that_of_the_frame_which_is_seen():
    starts = set()
    for step in range(6):
        frames, motion = UNTOUCHED.frames_and_motion(clips(), progress(step))
        assert frames.shape == (CLIPS, 1, SIZE, SIZE) and motion.shape == (CLIPS, 2, SIZE, SIZE)
        number = (frames[:, 0, 0, 0] * 255 / 50).round()
        torch.testing.assert_close(motion[:, 0, 3, 1], number + 1)
        assert motion[:, :, :, 5:].abs().max() == 0
        starts |= set(number.int().tolist())
    assert starts == {0, 1, 2, 3}  # never the last, which has no next frame


def test_flow_follows_the_crop_and_turns_with_a_mirror():
    """What is enlarged moves farther, and what is mirrored to the left."""
    mirrored = dataclasses.replace(UNTOUCHED, views=dataclasses.replace(UNTOUCHED.views, flip=1.0))
    enlarged = dataclasses.replace(
        UNTOUCHED, views=dataclasses.replace(UNTOUCHED.views, crop_area=(0.5, 0.5))
    )
    plain, turned, larger = (
        rule.frames_and_motion(clips(), progress())[1] for rule in (UNTOUCHED, mirrored, enlarged)
    )
    torch.testing.assert_close(turned[:, 0], -plain[:, 0].flip(-1), rtol=1e-4, atol=1e-5)
    assert plain[:, 0].max() > 0 > turned[:, 0].min()
    growth = larger.amax(dim=(1, 2, 3)) / plain.amax(dim=(1, 2, 3))
    whole = (growth - 2**0.5).abs() < 0.07  # other crops leave out what moves, or a part of it
    assert whole.sum() >= 4 and growth[~whole].max() < 2**0.5


def test_what_hardly_moves_teaches_nothing():
    nets, flow = nets_of(RULE).eval(), random_flow()
    flow[:4] *= 0.001
    step = RULE.step(nets, clips(flow), progress())
    assert step.metrics["moving"] == 0.5
    rows = RULE.embed(nets, clips(flow), progress())
    moving = {name: row[4:] for name, row in rows.items()}
    assert step.loss.item() == pytest.approx(
        RULE.compute_loss(nets, moving, progress()).loss.item(), rel=1e-6
    )


def test_a_batch_that_stands_still_has_a_loss_of_zero():
    nets = nets_of(RULE)
    step = RULE.step(nets, clips(torch.zeros(CLIPS, FRAMES - 1, 2, SIZE, SIZE)), progress())
    step.loss.backward()
    assert step.loss.item() == 0 and step.metrics["moving"] == 0
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in nets.parameters())


def test_a_share_of_the_places_is_drawn_where_things_move():
    """`clips` moves the left third: more than half of its own places lie there, all of them if all are drawn so."""
    shares = []
    for fast in (0.0, 1.0):
        rule = dataclasses.replace(UNTOUCHED, fast=fast)
        rows = rule.embed(nets_of(rule), clips(), progress())
        shares.append((rows["flow"].norm(dim=2) > 0).float().mean().item())
    assert shares[0] < 0.5 and shares[1] == 1


@pytest.mark.parametrize("name", ["regression", "alignment"])
def test_the_other_losses_are_those_that_were_asked_for(name):
    rule = dataclasses.replace(RULE, loss=name)
    nets = nets_of(rule).eval()
    rows = rule.embed(nets, clips(random_flow()), progress())
    kernel = gaussian_log_kernel(rows["flow"], rule.width)
    expected = {"regression": kernel_regression, "alignment": kernel_alignment}[name](
        rows["pixels"], kernel
    )
    assert rule.compute_loss(nets, rows, progress()).loss.item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_pictures_show_the_frame_its_motion_and_its_embeddings():
    made = illustrate(RULE, nets_of(RULE).eval(), clips(random_flow()), progress())
    assert len(made.rows) == 6
    assert [picture.column for picture in made.rows[0]] == [
        "frame",
        "its motion",
        "embeddings of its pixels",
    ]
    assert all(picture.pixels.shape == (3, SIZE, SIZE) for row in made.rows for picture in row)


def test_embeddings_read_all_maps_at_their_places():
    """A place that is asked for alone has the embedding that it has among others."""
    nets, stills = nets_of(RULE).eval(), torch.rand(2, 1, SIZE, SIZE, generator=generator(4))
    places = all_locations(SIZE).expand(2, -1, -1)
    every = RULE.embeddings(nets, stills, places)
    torch.testing.assert_close(
        every[:, 30:31], RULE.embeddings(nets, stills, places[:, 30:31]), rtol=1e-4, atol=1e-6
    )
    assert every.norm(dim=2).sub(1).abs().max() < 1e-5 and every.std(dim=1).max() > 0
