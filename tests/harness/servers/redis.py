"""Redis: a database server in memory, optionally with a password or as a replica."""

from __future__ import annotations

from pathlib import Path

from tests.harness.servers.process import LOOPBACK, Server, accepts, program


def redis(directory: Path, port: int, *, password: str = "", master: int = 0) -> Server:
    """Return a Redis at both addresses; with ``master``, a replica of the server at that port."""
    path = program("redis-server", "redis-server")
    command = [path, "--port", str(port), "--bind", *LOOPBACK, "--dir", str(directory), "--save", ""]
    if password:
        command += ["--requirepass", password]
    if master:
        command += ["--replicaof", "127.0.0.1", str(master)]
    return Server(command, directory, lambda: all(accepts(port, host) for host in LOOPBACK))
