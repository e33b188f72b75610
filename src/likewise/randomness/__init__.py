"""Random numbers as functions of a key, so that no generator's state outlives a step."""

from likewise.randomness.batch_rng import BatchRNG
from likewise.randomness.generators import generator, random_state, restored_rng, seed_networks
from likewise.randomness.ranges import Uniform

__all__ = ["BatchRNG", "Uniform", "generator", "random_state", "restored_rng", "seed_networks"]
