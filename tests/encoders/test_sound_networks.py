"""Networks for sound and the thin one for frames: shapes, and that time stays where it is."""

import pytest
import torch

from likewise.encoders.sound_networks import SOUND_NETWORKS, sound_network
from likewise.encoders.thin_pathway import ThinPathway
from likewise.errors import LikewiseError


@pytest.mark.parametrize(("name", "width"), [("small", 128), ("resnet18", 512)])
def test_instants_stay_as_many(name, width):
    network = sound_network(name, 40)
    assert network.width == width
    assert network(torch.randn(2, 40, 21)).shape == (2, width, 21)


def test_resnet18_has_its_eight_blocks_of_two_convolutions_and_a_first_one():
    convolutions = [
        m for m in sound_network("resnet18", 80).modules() if isinstance(m, torch.nn.Conv1d)
    ]
    assert len([c for c in convolutions if c.kernel_size[0] > 1]) == 17
    assert all(c.stride == (1,) for c in convolutions)


@pytest.mark.parametrize("name", sorted(SOUND_NETWORKS))
def test_a_feature_belongs_to_its_instant(name):
    """A change in the sound moves features around it alone, alike before and after."""
    torch.manual_seed(0)
    network = sound_network(name, 8).eval()
    sound = torch.randn(1, 8, 121)
    changed = sound.clone()
    changed[..., 60] += 1
    with torch.no_grad():
        moved = (network(changed) - network(sound)).abs().sum(dim=1).flatten().nonzero().flatten()
    reach = 3 + 2 * sum(SOUND_NETWORKS[name].blocks for _ in SOUND_NETWORKS[name].widths)
    assert (moved.min(), moved.max()) == (60 - reach, 60 + reach)


def test_other_bands_and_unknown_names_are_refused():
    with pytest.raises(LikewiseError, match=r"40.*\(2, 80, 10\)"):
        sound_network("small", 40)(torch.randn(2, 80, 10))
    with pytest.raises(LikewiseError, match="small"):
        sound_network("smal", 40)


def test_the_thin_pathway_keeps_every_frame_and_an_eighth_of_the_side():
    assert ThinPathway(3)(torch.randn(2, 3, 7, 40, 40)).shape == (2, 64, 7, 5, 5)
