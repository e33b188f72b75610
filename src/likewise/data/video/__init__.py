"""Videos: decoded once, stored as clips with their sound and their optical flow."""
