"""Benchmarks beside their peers, in one run: ratios are printed, nothing is asserted."""
