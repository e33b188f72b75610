"""Small images whose class is a colour, most of them without a label."""

import torch

from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.encoders import build_encoder, choose_encoder


def encoder_of(name, size=32, seed=0):
    torch.manual_seed(seed)
    return build_encoder(choose_encoder(name, size, (0.5,) * 3, (0.5,) * 3)).eval()


def coloured_images(count=48, size=32, seed=0):
    """Images of three classes, and their labels."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    pixels = torch.randint(0, 120, (count, 3, size, size), generator=random, dtype=torch.uint8)
    pixels[torch.arange(count), labels] += 100
    return InMemoryImages(Pixels(pixels, torch.ones(count))), labels


def only_first(labels, count):
    """The first labels; -1 for the others."""
    shown = torch.full_like(labels, -1)
    shown[:count] = labels[:count]
    return shown
