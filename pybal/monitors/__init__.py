"""Monitors, which check one server each for as long as it is configured, and the table of their kinds."""
