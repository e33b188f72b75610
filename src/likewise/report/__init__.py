"""Scores to pages that people read: one run, several runs, and what labels buy."""
