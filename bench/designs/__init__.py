"""Three ways to serve the same calls, one beside the other."""
