"""The composition root, the services that run, and reloads."""
