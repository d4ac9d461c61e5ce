"""Programs of a release: lock files, distributions, and the matrix of versions. Not part of PyBal."""
