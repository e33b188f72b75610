"""Frozen features to scores: each with the protocol that made it and an interval around it."""
