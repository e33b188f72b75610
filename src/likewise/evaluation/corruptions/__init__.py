"""Common corruptions of images at five severities: noise, blur, weather and digital loss, in batches, on any device."""

from likewise.evaluation.corruptions.corrupt import KINDS, SEVERITIES, corrupt
from likewise.evaluation.corruptions.random_fields import RandomFields

__all__ = ["KINDS", "SEVERITIES", "RandomFields", "corrupt"]
