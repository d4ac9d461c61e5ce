"""pybal reload."""
