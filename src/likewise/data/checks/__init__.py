"""What would spoil a run, found before step 0."""
