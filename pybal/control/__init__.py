"""Commands to the running daemon over a unix socket: one line of JSON per request and per reply."""
