"""What each method was run with, by its authors or by us; one file a method, read by the method of that name."""
