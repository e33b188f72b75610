"""Videos: decoded once, kept as clips with their sound and their optical flow."""
