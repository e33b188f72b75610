"""Where examples come from, and which of them and of their labels a step sees."""
