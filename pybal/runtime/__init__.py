"""The process and its environment: log, systemd, peer credentials, clocks, back-off, lines and files."""
