"""A probe of an address to listen on. The error of ExaBGP would not name it."""

from __future__ import annotations

import socket

from pybal.core.model import Address


def check_listen(ip: Address, port: int) -> None:
    """Raise OSError unless a process can listen on the address and port now."""
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET  # noqa: PLR2004
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((str(ip), port))
        probe.listen()
