"""Temporal windows of clips, and views of their optical flow."""
