"""The space of clips and sounds against the steps written out; what is kept of it; what it makes of other lengths."""

import pytest
import torch
import torch.nn.functional as F

from likewise.encoders.clip_networks import clip_encoder
from likewise.heads.sound_space import (
    SoundSpace,
    SoundSpaceSettings,
    load_sound_space,
    save_sound_space,
)
from likewise.heads.spatial_attention import attention_pooling, attention_weights

FRAMES, SIDE, PER_FRAME = 6, 24, 640


def made(**changed):
    torch.manual_seed(0)
    encoder = clip_encoder("r2plus1d-small", (0.4,), (0.3,)).eval()
    settings = SoundSpaceSettings(
        encoder.width, 1, **{"bands": 8, "dim": 8, "local_dim": 4, **changed}
    )
    return encoder, SoundSpace(settings).eval()


def shown(frames=FRAMES, per_frame=PER_FRAME):
    torch.manual_seed(1)
    return torch.rand(3, frames, 1, SIDE, SIDE), torch.rand(3, frames * per_frame) - 0.5


@torch.no_grad()
def test_it_compares_step_by_step_as_the_method_is_written():
    encoder, space = made()
    pixels, sound = shown()
    maps = encoder.feature_map(pixels)
    found = space(maps, encoder.normalise(pixels), sound)
    side = maps.shape[-1]
    instants = space.network(space.log_mel(sound)[..., : 4 * FRAMES])
    thin = space.thin(encoder.normalise(pixels))
    assert thin.shape[-1] == side
    for clip in range(3):
        whole = F.normalize(space.sound_global.weight @ instants[clip].mean(dim=1), dim=0)
        torch.testing.assert_close(found.sound[clip], whole)
        scores = []
        for y in range(side):
            for x in range(side):
                place = F.normalize(
                    space.video_global.weight @ maps[clip, :, :, y, x].mean(dim=1), dim=0
                )
                torch.testing.assert_close(found.locations[clip, y * side + x], place)
                scores.append(place.dot(whole) / 0.1)
        where = torch.stack(scores).softmax(dim=0)
        torch.testing.assert_close(found.attention[clip], where, rtol=1e-4, atol=1e-5)
        for t in range(FRAMES):
            seen = sum(
                where[y * side + x] * thin[clip, :, t, y, x]
                for y in range(side)
                for x in range(side)
            )
            expected = F.normalize(space.video_local.weight @ seen, dim=0)
            torch.testing.assert_close(found.video_steps[clip, t], expected, rtol=1e-4, atol=1e-5)
            for step in range(4):
                heard = F.normalize(
                    space.sound_local.weight @ instants[clip, :, 4 * t + step], dim=0
                )
                torch.testing.assert_close(
                    found.audio_steps[clip, t, step], heard, rtol=1e-4, atol=1e-5
                )


def test_attention_adds_up_to_one_and_pools_what_it_lies_on():
    places = F.normalize(torch.randn(2, 9, 5), dim=2)
    weights = attention_weights(places[:, 4], places, 0.001)
    assert weights.sum(dim=1).tolist() == pytest.approx([1, 1])
    maps = torch.randn(2, 7, 3, 3, 3)
    torch.testing.assert_close(
        attention_pooling(maps, weights), maps[..., 1, 1].mT, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("per_frame", [640, 533, 2000])
def test_each_frame_has_as_many_instants_at_any_frame_rate(per_frame):
    encoder, space = made()
    pixels, sound = shown(per_frame=per_frame)
    found = space(encoder.feature_map(pixels), encoder.normalise(pixels), sound)
    assert found.audio_steps.shape == (3, FRAMES, 4, 4)


@pytest.mark.parametrize("per_frame", [640, 2000])
def test_instants_belong_to_their_frame(per_frame):
    """A click in the middle of frame t is loudest in the spectrogram at the instants of frame t."""
    _, space = made()
    frames = 12
    for t in (0, 5, 11):
        sound = torch.zeros(1, frames * per_frame)
        sound[0, t * per_frame + per_frame // 2] = 1.0
        loud = space.spectrogram(sound, frames)[0].mean(dim=0)
        assert loud.shape == (4 * frames,)
        assert loud.argmax().item() // 4 == t


def test_a_map_finer_or_coarser_than_the_thin_one_meets_it_place_by_place():
    encoder, space = made()
    pixels, sound = shown()
    maps = F.interpolate(encoder.feature_map(pixels), size=(1, 2, 2))
    assert space(maps, encoder.normalise(pixels), sound).attention.shape == (3, 4)


def test_what_is_kept_gives_the_same(tmp_path):
    encoder, space = made()
    run = tmp_path
    assert load_sound_space(run) is None
    save_sound_space(space, run)
    again = load_sound_space(run)
    pixels, sound = shown()
    rows = encoder.feature_map(pixels), encoder.normalise(pixels), sound
    for ours, theirs in zip(space(*rows), again(*rows), strict=True):
        assert torch.equal(ours, theirs)


def test_a_sound_of_any_length_is_the_mean_of_its_stretches():
    _, space = made()
    torch.manual_seed(2)
    sound = torch.randint(-9000, 9000, (int(2.5 * FRAMES * PER_FRAME),), dtype=torch.int16)
    length = FRAMES * PER_FRAME
    stretches = [sound[:length], sound[length : 2 * length], sound[-length:]]
    expected = torch.stack(
        [space.of_sounds(part[None].float() / 32767, FRAMES)[0] for part in stretches]
    ).mean(dim=0)
    torch.testing.assert_close(space.of_sound(sound, FRAMES, 25.0), F.normalize(expected, dim=0))
    short = sound[:1000]
    padded = F.pad(short, (0, length - 1000))
    torch.testing.assert_close(
        space.of_sound(short, FRAMES, 25.0), space.of_sound(padded, FRAMES, 25.0)
    )


def test_clips_as_wholes_are_compared_where_their_places_are():
    encoder, space = made()
    pixels, _ = shown()
    maps = encoder.feature_map(pixels)
    of_places = space.video_global(maps.mean(dim=2).flatten(2).mT).mean(dim=1)
    torch.testing.assert_close(
        space.of_clips(encoder(pixels)), F.normalize(of_places, dim=1).detach()
    )
