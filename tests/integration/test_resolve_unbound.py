"""Lookups at a real unbound on loopback, which restarts and changes its records."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import deferLater

from pybal.core.model import Address
from pybal.resolve import Lookup, LookupFailed, LookupResult, Resolver, dns_lookup, follow, servers
from tests.harness.servers.process import Server, accepts, free_ports
from tests.harness.servers.unbound import unbound_with
from tests.harness.stepped_reactor import run

RUN_TIMEOUT = 20.0

RECORDS = (
    "web1.test. 300 A 10.0.0.1",
    "web1.test. 300 AAAA 2001:db8::1",
    "four.test. 300 A 10.0.0.4",
    "many.test. 300 A 10.0.0.12",
    "many.test. 300 A 10.0.0.9",
    "many.test. 60 A 10.0.0.30",
    "null.test. 300 A 0.0.0.0",
    *(f"large.test. 300 A 10.1.{i // 100}.{i % 100}" for i in range(1000)),
)


class Unbound:
    """An unbound with the zone ``test.`` at 127.0.0.1 and 127.0.0.3."""

    def __init__(self, directory: Path) -> None:
        (self.port,) = free_ports(1)
        self._directory = directory
        self._server: Server | None = None

    def start(self, *records: str) -> None:
        addresses = ("127.0.0.1", "127.0.0.3")
        ready = partial(accepts, self.port)
        self._server = unbound_with(self._directory, self.port, records or RECORDS, addresses, ready)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def restart(self, *records: str) -> None:
        self.stop()
        self.start(*records)


@pytest.fixture
def unbound(tmp_path: Path) -> Iterator[Unbound]:
    server = Unbound(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "hosts").write_text("10.9.9.9 pinned.test\n")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    return tmp_path


@pytest.fixture
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten timeouts and delays from seconds to tenths of seconds."""
    monkeypatch.setattr(servers, "TIMEOUT", 0.5)
    monkeypatch.setattr(follow, "SHORTEST_LIFE", 0.2)
    monkeypatch.setattr(follow, "FIRST_RETRY", 0.1)
    monkeypatch.setattr(follow, "LAST_RETRY", 0.4)


def asker(reactor: EPollReactor, files: Path, port: int) -> Lookup:
    return dns_lookup(reactor, hosts=str(files / "hosts"), resolv_conf=str(files / "resolv.conf"), port=port)


def ask(files: Path, port: int, host: str, version: int = 4) -> LookupResult:
    return run(lambda reactor: asker(reactor, files, port)(host, version))


def refusal(files: Path, port: int, host: str, version: int = 4) -> LookupFailed:
    with pytest.raises(LookupFailed) as failed:
        ask(files, port, host, version)
    return failed.value


def addresses(answer: LookupResult) -> set[str]:
    return set(map(str, answer.addresses))


async def until(reactor: EPollReactor, true: Callable[[], bool]) -> None:
    while not true():
        await deferLater(reactor, 0.02, lambda: None)


class RecordedName:
    """A name name and the reports about it."""

    def __init__(self, resolver: Resolver, host: str) -> None:
        self.reports: list[Address | None] = []
        self.follower = resolver.follow(host, 4, self.reports.append)


def reports_during(
    files: Path, port: int, host: str, story: Callable[[EPollReactor, RecordedName], Awaitable[None]]
) -> list[str | None]:
    """Follow a name during ``story``; return the reports."""

    async def main(reactor: EPollReactor) -> list[str | None]:
        resolver = Resolver(asker(reactor, files, port), reactor, Random(1))
        name = RecordedName(resolver, host)
        try:
            await story(reactor, name)
        finally:
            resolver.stop()
        return [None if address is None else str(address) for address in name.reports]

    def begin(reactor: EPollReactor) -> Coroutine[Any, Any, list[str | None]]:
        return main(reactor)

    return run(begin, timeout=RUN_TIMEOUT)


def test_lookup_returns_addresses_of_either_family(unbound: Unbound, files: Path) -> None:
    unbound.start()
    four = ask(files, unbound.port, "web1.test")
    assert four == LookupResult((ip_address("10.0.0.1"),), 300)
    assert ask(files, unbound.port, "web1.test", 6) == LookupResult((ip_address("2001:db8::1"),), 300)
    assert ask(files, unbound.port, "WEB1.Test.") == four


def test_lookup_returns_all_addresses_with_the_shortest_ttl(unbound: Unbound, files: Path) -> None:
    unbound.start()
    answer = ask(files, unbound.port, "many.test")
    assert addresses(answer) == {"10.0.0.9", "10.0.0.12", "10.0.0.30"}
    assert answer.ttl in (60, 300)  # unbound returns the same TTL for all records


def test_lookup_fetches_a_large_response_over_tcp(unbound: Unbound, files: Path) -> None:
    unbound.start()
    assert len(ask(files, unbound.port, "large.test").addresses) == 1000


def test_hosts_file_takes_precedence_over_dns(unbound: Unbound, files: Path) -> None:
    unbound.start()
    assert addresses(ask(files, unbound.port, "pinned.test")) == {"10.9.9.9"}


@pytest.mark.parametrize(
    ("host", "version", "reason"),
    [
        ("missing.test", 4, "no such name (NXDOMAIN)"),
        ("four.test", 6, "no AAAA record"),
        ("null.test", 4, "no A record"),
    ],
)
def test_missing_address_is_definite(unbound: Unbound, files: Path, host: str, version: int, reason: str) -> None:
    unbound.start()
    failed = refusal(files, unbound.port, host, version)
    assert (str(failed), failed.definite) == (reason, True)


@pytest.mark.parametrize(
    ("host", "reason"),
    [("www.refused.example", "REFUSED from 127.0.0.1"), ("www.broken.example", "SERVFAIL from 127.0.0.1")],
)
def test_error_code_is_not_definite(unbound: Unbound, files: Path, host: str, reason: str) -> None:
    unbound.start()
    failed = refusal(files, unbound.port, host)
    assert (str(failed), failed.definite) == (reason, False)


@pytest.mark.usefixtures("short_delays")
def test_unavailable_server_is_not_definite(files: Path) -> None:
    failed = refusal(files, free_ports(1)[0], "web1.test")
    assert str(failed) in ("Connection refused from 127.0.0.1", "no response in 0.5 s from 127.0.0.1")
    assert not failed.definite


@pytest.mark.usefixtures("short_delays")
def test_lookup_prefers_the_server_that_responded_last(unbound: Unbound, files: Path) -> None:
    unbound.start()
    (files / "resolv.conf").write_text("nameserver 127.0.0.2\nnameserver 127.0.0.3\n")
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.2", unbound.port))
        silent.setblocking(False)

        async def main(reactor: EPollReactor) -> None:
            ask_twice = asker(reactor, files, unbound.port)
            for _ in range(2):
                assert addresses(await ask_twice("web1.test", 4)) == {"10.0.0.1"}

        run(main)
        assert silent.recv(512)
        assert silent.recv(512), "the same query without EDNS"
        with pytest.raises(BlockingIOError):
            silent.recv(512)


def test_lookup_reloads_a_changed_resolv_conf(unbound: Unbound, files: Path) -> None:
    unbound.start()
    (files / "resolv.conf").write_text("nameserver 127.0.0.1\n")

    async def main(reactor: EPollReactor) -> str:
        look_up = asker(reactor, files, unbound.port)
        await look_up("web1.test", 4)
        (files / "resolv.conf").write_text("# one\nnameserver 127.0.0.3\n")
        with pytest.raises(LookupFailed) as failed:
            await look_up("www.refused.example", 4)
        return str(failed.value)

    assert run(main) == "REFUSED from 127.0.0.3"


@pytest.mark.usefixtures("short_delays")
def test_resolver_reports_a_changed_address(unbound: Unbound, files: Path) -> None:
    unbound.start("web1.test. 0 A 10.0.0.1")

    async def story(reactor: EPollReactor, name: RecordedName) -> None:
        await until(reactor, lambda: len(name.reports) == 1)
        unbound.restart("web1.test. 0 A 10.0.0.2", "web1.test. 0 A 10.0.0.3")
        await until(reactor, lambda: len(name.reports) == 2)

    assert reports_during(files, unbound.port, "web1.test", story) == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.usefixtures("short_delays")
def test_resolver_recovers_when_the_dns_server_starts_late(unbound: Unbound, files: Path) -> None:
    """Fix of a bug in 1.15: a server whose name did not resolve at start was never retried."""

    async def story(reactor: EPollReactor, name: RecordedName) -> None:
        await until(reactor, lambda: name.follower.problem is not None)
        unbound.start()
        await until(reactor, lambda: bool(name.reports))
        assert name.follower.problem is None

    assert reports_during(files, unbound.port, "web1.test", story) == ["10.0.0.1"]


@pytest.mark.usefixtures("short_delays")
def test_resolver_keeps_the_address_when_dns_fails_or_loses_the_name(unbound: Unbound, files: Path) -> None:
    unbound.start("web1.test. 0 A 10.0.0.1")

    async def story(reactor: EPollReactor, name: RecordedName) -> None:
        await until(reactor, lambda: bool(name.reports))
        unbound.stop()
        await until(reactor, lambda: name.follower.problem is not None)
        unbound.start("other.test. 0 A 10.0.0.1")
        await until(reactor, lambda: "NXDOMAIN" in (name.follower.problem or ""))
        unbound.restart("web1.test. 0 A 10.0.0.1")
        await until(reactor, lambda: name.follower.problem is None)

    assert reports_during(files, unbound.port, "web1.test", story) == ["10.0.0.1"]


def test_resolver_finds_500_names_concurrently(unbound: Unbound, files: Path) -> None:
    names = {f"mw{i}.test": f"10.3.{i // 250}.{i % 250}" for i in range(500)}
    unbound.start(*(f"{name}. 300 A {address}" for name, address in names.items()))

    async def main(reactor: EPollReactor) -> dict[str, str]:
        resolver = Resolver(asker(reactor, files, unbound.port), reactor, Random(1))
        found: dict[str, str] = {}

        def note(name: str, address: Address | None) -> None:
            found[name] = str(address)

        for name in names:
            resolver.follow(name, 4, partial(note, name))
        await until(reactor, lambda: len(found) == len(names))
        resolver.stop()
        return found

    assert run(main) == names


def test_cancelled_lookup_leaves_no_timer_or_descriptor(files: Path) -> None:
    """``run`` fails if a delayed call or descriptor remains."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))

        async def story(reactor: EPollReactor, name: RecordedName) -> None:
            await deferLater(reactor, 0.1, lambda: None)

        assert reports_during(files, silent.getsockname()[1], "web1.test", story) == []
