"""The local address from which the kernel connects to a peer."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from pybal.core.model import Address

BGP_PORT = 179


def local_address(peer: Address) -> Address | None:
    """Return the source address of connections to ``peer``, ``None`` without a route. Sends no packet."""
    family = socket.AF_INET6 if peer.version == 6 else socket.AF_INET  # noqa: PLR2004
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(peer), BGP_PORT))
            return ip_address(probe.getsockname()[0])
    except OSError:
        return None
