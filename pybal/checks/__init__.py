"""The check engine: sockets, deadlines, TLS and results with phases."""
