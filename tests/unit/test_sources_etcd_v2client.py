"""Cached addresses of etcd members."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from pybal.resolve import LookupFailed, LookupResult
from pybal.sources.etcd.v2client import AddressCache

A, B = (LookupResult((ip_address(address),), 60.0) for address in ("192.0.2.1", "192.0.2.2"))


class FakeLookup:
    """A lookup with one result; ``queries`` has the families of all lookups."""

    def __init__(self) -> None:
        self.result: LookupResult | LookupFailed = A
        self.queries: list[int] = []

    async def look_up(self, host: str, version: int) -> LookupResult:
        assert host == "conf1"
        self.queries.append(version)
        if isinstance(self.result, LookupFailed):
            raise self.result
        return self.result


@pytest.fixture
def lookup() -> FakeLookup:
    return FakeLookup()


@pytest.fixture
def cache(lookup: FakeLookup) -> AddressCache:
    return AddressCache(lookup.look_up)


def addresses(cache: AddressCache, version: int = 4) -> LookupResult:
    return asyncio.run(cache.look_up("conf1", version))


def test_addresses_are_looked_up_once_per_family_until_renewed(lookup: FakeLookup, cache: AddressCache) -> None:
    assert [addresses(cache), addresses(cache), addresses(cache, 6)] == [A, A, A]
    assert lookup.queries == [4, 6]
    lookup.result = B
    assert addresses(cache) == A
    cache.renew()
    assert addresses(cache) == B


def test_last_addresses_stay_when_a_later_lookup_fails(lookup: FakeLookup, cache: AddressCache) -> None:
    addresses(cache)
    lookup.result = LookupFailed("SERVFAIL", definite=False)
    cache.renew()
    assert addresses(cache) == A


def test_failure_is_kept_until_renewed(lookup: FakeLookup, cache: AddressCache) -> None:
    lookup.result = LookupFailed("no AAAA record", definite=True)
    for _ in range(2):
        with pytest.raises(LookupFailed, match="no AAAA record"):
            addresses(cache, 6)
    assert lookup.queries == [6]
    lookup.result = A
    cache.renew()
    assert addresses(cache, 6) == A
