"""The records of all test name servers, and a check that a server has loaded them."""

from __future__ import annotations

import socket

from twisted.names import dns

from tests.harness.servers.process import LOOPBACK, family

LARGE = 90
"""Number of addresses of a name: too many for a datagram of 512 bytes, few enough for BIND."""
RECORDS = (
    ("www", "A", "192.0.2.7"),
    ("www", "AAAA", "2001:db8::7"),
    ("four", "A", "192.0.2.4"),
    *(("large", "A", f"10.1.0.{number}") for number in range(1, LARGE + 1)),
    *(("large", "AAAA", f"2001:db8::{number}") for number in range(1, LARGE + 1)),
    ("_web._tcp", "SRV", "10 5 80 www.test."),
    ("_web._tcp", "SRV", "10 0 80 four.test."),
    ("_web._tcp", "SRV", "20 9 80 backup.test."),
    ("_none._tcp", "SRV", "0 0 0 ."),
    *(("_large._tcp", "SRV", f"10 1 80 web{number}.test.") for number in range(1, LARGE + 1)),
)
"""Records of the zone ``test``.

Servers return REFUSED for ``refused.example`` and SERVFAIL for ``broken.example``.
"""
ZONE = "$TTL 300\n@ SOA ns.test. root.test. 1 3600 600 86400 300\n@ NS ns\nns A 127.0.0.1\n" + "".join(
    f"{' '.join(record)}\n" for record in RECORDS
)


def known(port: int) -> bool:
    """Return whether the server has loaded the zone at both addresses; BIND listens before that."""
    return all(_has_zone(host, port) for host in LOOPBACK)


def _has_zone(host: str, port: int) -> bool:
    query = dns.Message(id=1)
    query.queries = [dns.Query("www.test", dns.A, dns.IN)]
    with socket.socket(family(host), socket.SOCK_DGRAM) as probe:
        probe.settimeout(1.0)
        probe.connect((host, port))
        try:
            probe.send(query.toStr())
            return probe.recv(512)[3] & 15 == dns.OK
        except OSError:
            return False
