"""Reading maps at places."""

import pytest
import torch
from torch import nn

from likewise.encoders.locations import (
    all_locations,
    hypercolumns,
    sample_features,
    sample_locations,
)
from likewise.randomness import BatchRNG, generator


@pytest.mark.parametrize(("side", "height", "width"), [(4, 30, 40), (8, 8, 8), (7, 5, 3)])
def test_reading_places_is_reading_the_enlarged_map(side, height, width):
    features = torch.randn(2, 3, side, side, generator=generator(1))
    enlarged = nn.functional.interpolate(
        features, (height, width), mode="bilinear", align_corners=False
    )
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack(
        [(2 * across + 1) / width - 1, (2 * down + 1) / height - 1], dim=2
    ).flatten(0, 1)
    read = sample_features(features, places.expand(2, -1, -1))
    torch.testing.assert_close(read, enlarged.flatten(2).mT, rtol=1e-4, atol=1e-5)


def test_a_hypercolumn_has_what_each_map_says_there():
    maps = [
        torch.randn(2, width, side, side, generator=generator(2, side))
        for width, side in ((3, 8), (5, 4), (2, 1))
    ]
    columns = hypercolumns(maps, all_locations(4).expand(2, -1, -1))
    assert columns.shape == (2, 16, 10)
    torch.testing.assert_close(columns[:, :, 3:8], maps[1].flatten(2).mT)  # read at its own cells
    torch.testing.assert_close(columns[:, :, 8:], maps[2][:, None, :, 0, 0].expand(-1, 16, -1))
    # Between four cells.
    torch.testing.assert_close(columns[:, 0, :3], maps[0][:, :, :2, :2].mean(dim=(2, 3)))


def test_all_places_go_row_by_row_to_the_right():
    assert all_locations(2).tolist() == [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_places_is_drawn_in_the_highest_quarter(share):
    heights = torch.zeros(8, 12, 12)
    heights[:, :3] = 5.0  # exactly a quarter
    places = sample_locations(BatchRNG((1,), 8), 32, heights, share)
    assert places.shape == (8, 32, 2) and places.abs().max() <= 1
    high = places[:, :, 1] < -0.5
    assert high[:, : round(share * 32)].all()
    assert abs(high.float().mean() - (share + (1 - share) / 4)) < 0.1
    assert all(len({tuple(place) for place in row}) > 16 for row in places.tolist())
