"""ExaBGP as a child process: its configuration, its relay, its events."""
