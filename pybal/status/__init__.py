"""What the daemon tells: HTTP endpoints, alerts and metrics, from one snapshot."""
