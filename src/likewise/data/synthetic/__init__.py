"""Data sets that are made, not photographed, so that the right answer is known."""
