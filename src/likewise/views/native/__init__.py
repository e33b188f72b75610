"""Views on a CPU in C++, compiled on the machine where they are first wanted."""
