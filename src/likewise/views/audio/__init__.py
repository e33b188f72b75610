"""Spectrograms and the targets that are made of sound."""
