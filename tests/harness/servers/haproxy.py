"""HAProxy: a proxy for HTTP and TCP that terminates TLS."""

from __future__ import annotations

from pathlib import Path

from tests.harness.servers.process import Server, accepts, program

HEAD = """
global
    maxconn 200
    nbthread 1
    stats socket {directory}/socket expose-fd listeners
defaults
    mode http
    retries 0
    timeout connect 2s
    timeout client 20s
    timeout server 20s
"""


def haproxy(directory: Path, sections: str, port: int) -> Server:
    """Return an HAProxy with these sections, ready when ``port`` accepts. SIGUSR2 reloads it."""
    path = program("haproxy", "haproxy")
    config = directory / "haproxy.cfg"
    config.write_text(HEAD.format(directory=directory) + sections)
    return Server((path, "-W", "-f", str(config)), directory, lambda: accepts(port))


def bound(port: int, *words: str) -> str:
    """Return the lines to bind a frontend to a port of both addresses."""
    return "".join(f"    bind {host}:{port} {' '.join(words)}\n" for host in ("127.0.0.1", "[::1]"))
