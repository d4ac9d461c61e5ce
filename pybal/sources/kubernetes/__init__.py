"""pybal sources kubernetes."""
