"""The check engine and one module per protocol: sockets, deadlines, TLS, results with phases."""
