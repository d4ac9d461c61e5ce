"""SRV records as members of a pool."""
