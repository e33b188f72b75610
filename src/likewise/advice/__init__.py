"""Which classifier is the best that these images and labels allow, found within a stated time."""
