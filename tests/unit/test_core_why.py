"""The reason for the place of a server."""

from __future__ import annotations

import pytest

from pybal.core.model import Server
from pybal.core.why import why
from tests.harness.snapshots import DOWN, FORCED, OUT, POOLED, UNKNOWN, UP, server


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        (server("a"), "up"),
        (server("a", DOWN, OUT), "down"),
        (server("a", DOWN, FORCED), "down, but needed to reach the floor"),
        (server("a", UNKNOWN, FORCED), "unknown, but needed to reach the floor"),
        (server("a", UNKNOWN, OUT), "not checked yet"),
        (server("a", UNKNOWN, POOLED), "not checked yet; pooled until its first result"),
        (server("a", UP, OUT, enabled=False), "disabled by the pool source"),
        (server("a", UP, OUT, address=None), "host name not resolved yet"),
        (Server(server("a").member, unresolvable=True), "host name has no address"),
    ],
)
def test_placement_of_a_server_has_a_reason(subject: Server, reason: str) -> None:
    assert why(subject) == reason
