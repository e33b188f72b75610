"""Pictures on pages: examples, neighbours, what a method looked at."""
