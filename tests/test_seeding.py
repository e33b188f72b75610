"""Seeds of PyTorch's global generators."""

import torch

from likewise.randomness import generator, seed_networks


def test_networks_are_seeded_as_by_pytorch():
    seed_networks(3, "weights")
    found = torch.rand(4)
    torch.manual_seed(generator(3, "weights").initial_seed())
    assert torch.equal(torch.rand(4), found)
    seed_networks(4, "weights")
    assert not torch.equal(torch.rand(4), found)
