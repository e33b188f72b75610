"""Shards: a set of images in a few large files, which are read in place of many small ones."""
