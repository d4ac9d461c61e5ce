"""Cost of a check: this engine beside its peers, same servers, same rate, one run."""
