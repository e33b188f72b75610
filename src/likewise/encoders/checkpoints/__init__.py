"""Checkpoints of other libraries: from their names of tensors to those of timm's networks."""
