"""The numbers of the policy, for every threshold of two digits and every size of pool up to 150."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import ceil

from pybal.core.model import Member, Pool, Server, Servers
from pybal.core.policy import floor, too_small
from tests.harness.pool_events import service


def pools() -> Iterator[tuple[int, Fraction, Pool]]:
    services = [(Fraction(percent, 100), service(percent / 100)) for percent in range(101)]
    pool = Pool(service())
    for total in range(151):
        for share, configured in services:
            yield total, share, replace(pool, service=configured)
        servers = Servers({**pool.servers, f"h{total}": Server(Member(f"h{total}"))})
        pool = replace(pool, servers=servers)


def test_floor_is_the_exact_share_rounded_up() -> None:
    for total, share, pool in pools():
        assert floor(pool) == (max(1, ceil(share * total)) if share else 0)


def test_pool_of_several_is_too_small_when_it_cannot_lose_one_server() -> None:
    for total, share, pool in pools():
        assert too_small(pool) == (total > 1 and total - 1 < share * total)
