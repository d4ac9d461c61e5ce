"""pybal sources formats."""
