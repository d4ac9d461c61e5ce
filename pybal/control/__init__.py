"""Commands to the running daemon: over a unix socket, a JSON object on a line each way."""
