"""The process and its environment: log, systemd, children, clocks, back-off, lines and files."""
