"""Augmentations of images, batched, with their geometry."""
