"""The process and its surroundings: log, systemd, peer credentials, clocks, back-off and files."""
