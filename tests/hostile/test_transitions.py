"""Attacks at the start, reload and stop of the daemon, by hundreds of servers, by sources and servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.harness.attacked_balancer import PORT, AttackedBalancer
from tests.harness.hostile_peers import Conversation, HostilePeer, http, responding, silent
from tests.harness.hostile_server import drip, flood

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CHECKED_OFTEN = "monitors = ['ProxyFetch']\nproxyfetch.interval = 1\nproxyfetch.timeout = 2\n"
SERVERS = 500
LIST = http(b"".join(b"{'host': '127.240.1.%d'}\n" % n for n in range(1, 51)))
HOSTILE_LISTS: Mapping[str, Conversation] = {
    "pairs": responding(http(b"{" + b"'a':1," * 690_000 + b"}\n")),
    "deep": responding(http(b'{"a":' * 600_000, b"Content-Type: application/json")),
    "hosts": responding(
        http(b"{" + b",".join(b'"%x":{}' % n for n in range(340_000)) + b"}", b"Content-Type: application/json")
    ),
    "endless": flood(HEAD + b"\r\n", b"{ 'host': 'a' }\n"),
    "silent": silent,
}
FLOODS: Mapping[str, Conversation] = {
    "headers": flood(HEAD, b"X-A: b\r\n"),
    "chunks": flood(CHUNKED, b"1\r\na\r\n"),
    "body": flood(HEAD + b"\r\n", bytes(65536)),
    "interim": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "drip": drip(HEAD, b"X-A: b\r\n"),
}


@contextmanager
def hostile_services(balancer: AttackedBalancer) -> Iterator[dict[str, str]]:
    """Run hostile sources and hostile servers; yield the services that use them."""
    with ExitStack() as stack:
        services = {}
        for number, (name, talk) in enumerate(HOSTILE_LISTS.items()):
            source = stack.enter_context(HostilePeer(f"127.240.2.{number + 1}", PORT, talk, responding(LIST)))
            services[f"list-{name}"] = f"config = http://{source.host}:{PORT}/list\n{CHECKED_OFTEN}"
        for number, (name, talk) in enumerate(FLOODS.items()):
            server = stack.enter_context(HostilePeer(f"127.240.3.{number + 1}", PORT, talk))
            services[f"flood-{name}"] = f"config = {balancer.pool_file(name, server.host)}\n{CHECKED_OFTEN}"
        yield services


@pytest.mark.parametrize("talk", FLOODS.values(), ids=FLOODS)
def test_pool_of_500_hostile_servers_leaves_a_good_one_up(balancer: AttackedBalancer, talk: Conversation) -> None:
    hosts = [f"127.241.{number // 250}.{number % 250 + 1}" for number in range(SERVERS)]
    with ExitStack() as stack:
        stack.enter_context(
            HostilePeer("127.240.9.9", PORT, responding(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        )
        many = stack.enter_context(HostilePeer("0.0.0.0", PORT + 1, talk))
        pool = balancer.pool_file("many", *hosts, "127.240.9.9")
        with balancer.attack("500 servers"):
            options = (
                "depool-threshold = 0\nproxyfetch.timeout = 5\nproxyfetch.interval = 2\nmonitors = ['ProxyFetch']\n"
            )
            # This process serves it beside 500 floods, and may take seconds for a response.
            patient = CHECKED_OFTEN.replace("timeout = 2", "timeout = 20")
            beside = f"config = {balancer.pool_file('good', '127.240.9.9')}\n{patient}"
            balancer.reload({"many": f"config = {pool}\n{options}proxyfetch.port = {PORT + 1}\n", "good": beside})
            balancer.wait(lambda: balancer.pool("many").get("down") == SERVERS + 1, "all down")
            balancer.wait_for_health("up", "good")
            before = balancer.process.log
            many.behave()
            balancer.wait(lambda: balancer.pool("many").get("up") == SERVERS + 1, "all up")
            assert "[good] ERROR" not in balancer.process.log.removeprefix(before)
        balancer.wait_for_no_alert()


def test_hostile_sources_and_servers_leave_others_alone(balancer: AttackedBalancer) -> None:
    with hostile_services(balancer) as services, balancer.attack("sources and servers", growth=160 * 1024):
        balancer.reload(services)
        floods = [name for name in services if name.startswith("flood-")]
        balancer.wait_for_health("down", *floods)
        for number in range(5):  # reloads under attack, each of which starts half of the services again
            half = {name: text for index, (name, text) in enumerate(services.items()) if index % 2 == number % 2}
            balancer.reload(half)
        balancer.reload(services)
        balancer.wait_for_health("down", *floods)


def test_start_and_stop_under_attack(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    balancer = AttackedBalancer(tmp_path)
    balancer.measured = record_property

    @contextmanager
    def attackers() -> Iterator[None]:
        with hostile_services(balancer) as services:
            balancer.write(services)
            yield

    with balancer.running(attackers):
        balancer.wait(lambda: balancer.process.get("/alerts"), "a response")
        with balancer.attack("start", growth=160 * 1024):
            balancer.wait_for_health("down", *(f"flood-{name}" for name in FLOODS))
        began = time.monotonic()
        assert balancer.process.stop() == 0
        took = time.monotonic() - began
        balancer.measured("stop", f"{took:.1f} s")
        assert not balancer.route()
        # A stop may wait for the deadlines of all its parts, never for an attacker.
        assert took < 60
        balancer.probe.check("start and stop", kinds={"held"})
