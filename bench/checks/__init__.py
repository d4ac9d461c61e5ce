"""Cost of a check: this engine and other checkers, with the same servers and rate in one run."""
