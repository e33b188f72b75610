from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from likewise.data.video.optical_flow import optical_flow, packed, unpacked
from likewise.errors import LikewiseError


def texture(side: int) -> np.ndarray:
    """uint8 [3, side, side] of smooth noise."""
    noise = torch.rand(1, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(
        noise, (side, side), mode="bicubic", align_corners=False
    )
    return smooth.clamp(0, 1).mul(255).byte()[0].numpy()


def test_a_shifted_frame_flows_by_its_shift():
    scene = texture(128)
    flow = optical_flow(scene[:, 10:106, 10:106], scene[:, 8:104, 13:109])
    inner = flow[:, 8:-8, 8:-8]
    assert abs(np.median(inner[0]) - -3) < 0.25 and abs(np.median(inner[1]) - 2) < 0.25
    assert flow.dtype == np.float32 and flow.shape == (2, 96, 96)


def test_kept_flow_is_exact_to_a_hundredth_of_a_pixel():
    flow = np.random.default_rng(0).normal(0, 20, (2, 8, 8)).astype(np.float32)
    assert np.abs(unpacked(torch.from_numpy(packed(flow))).numpy() - flow).max() <= 1 / 128
    assert (
        float(unpacked(torch.from_numpy(packed(np.full((2, 2, 2), 1e6, np.float32)))).max()) < 512
    )


def test_frames_that_do_not_fit_are_refused():
    with pytest.raises(LikewiseError, match=r"\(3, 32, 32\).*\(3, 64, 64\)"):
        optical_flow(texture(32), texture(64))
    with pytest.raises(LikewiseError, match=r"12 .*\(8, 8\)"):
        optical_flow(texture(32)[:, :8, :8], texture(32)[:, :8, :8])


def test_threads_do_not_mix_up_their_flow():
    """One search that threads share gives another flow now and then, up to 500 pixels off."""
    scene = texture(128)
    pairs = [(scene[:, at : at + 72, 20:92], scene[:, at + 1 : at + 73, 22:94]) for at in range(40)]
    alone = [optical_flow(*pair) for pair in pairs]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda pair: optical_flow(*pair), pairs * 4))
    for number, flow in enumerate(together):
        np.testing.assert_array_equal(flow, alone[number % len(pairs)])
