"""pybal daemon."""
