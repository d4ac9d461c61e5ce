"""What a check costs: this engine beside its peers, on the same servers at the same rate in one run."""
