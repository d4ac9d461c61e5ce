"""The commands of the operator: a small synchronous client of the daemon, without Twisted."""
