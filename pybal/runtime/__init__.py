"""pybal runtime."""
