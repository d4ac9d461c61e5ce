"""pybal sources dns."""
