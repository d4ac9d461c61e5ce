"""pybal http."""
