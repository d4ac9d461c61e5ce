"""The composition root, the running services, and reloads."""
