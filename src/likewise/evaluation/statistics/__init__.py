"""Scores and the intervals around them."""
