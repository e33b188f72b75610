"""Views on a GPU: everything that is done to an image in one kernel, where it fits a program, or in three."""
