"""Where the members of pools come from."""
