"""Which parts of a network are its blocks, such as those of a transformer or a ResNet."""

from __future__ import annotations

from collections import Counter

from torch import nn

SEQUENCES = (nn.Sequential, nn.ModuleList)
"""What holds the blocks of a network."""


def blocks_and_stages(part: nn.Module) -> list[nn.Module]:
    """What sequences hold that is made of layers itself, such as the blocks of a transformer; inner ones first.

    A block that shares a parameter is left to the rest of the network.
    """
    held: set[nn.Module] = set()
    for module in part.modules():
        if isinstance(module, SEQUENCES):
            held.update(module.children())
    places = Counter(each for _, each in part.named_parameters(remove_duplicate=False))
    blocks = []
    for module in reversed(list(part.modules())):  # a module comes before those that it holds
        is_block = module in held and not isinstance(module, SEQUENCES)
        has_layers = any(has_parameters(child) for child in module.children())
        if is_block and has_layers and all(places[each] == 1 for each in module.parameters()):
            blocks.append(module)
    return blocks


def outer_blocks(part: nn.Module) -> list[nn.Module]:
    """Blocks that lie in no other block, each whole: stages, which hold a sequence of blocks alone, are left out."""
    found = blocks_and_stages(part)
    blocks: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for module in reversed(found):  # outer ones first
        if module not in inside and not _is_stage(module, set(found)):
            blocks.append(module)
            inside.update(module.modules())
    return blocks


def _is_stage(module: nn.Module, blocks: set[nn.Module]) -> bool:
    for sequence in module.modules():
        if isinstance(sequence, SEQUENCES):
            learned = [child for child in sequence.children() if has_parameters(child)]
            if learned and blocks.issuperset(learned):
                return True
    return False


def has_parameters(module: nn.Module) -> bool:
    """Whether a network has any."""
    return next(module.parameters(), None) is not None
