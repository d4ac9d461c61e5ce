"""The daemon's state for people and programs: HTTP endpoints, alerts and metrics, from one snapshot."""
