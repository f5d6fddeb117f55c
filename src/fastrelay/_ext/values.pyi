"""Python values into C ones and back. Nothing here is visible from Python."""
