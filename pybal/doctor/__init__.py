"""The health of the host: what the kernel and the service manager must provide for this daemon to do its work."""
