"""pybal core."""
