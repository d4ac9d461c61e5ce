"""Operators' changes with conftool reach IPVS soon, also with more than a hundred services."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pybal.sources.etcd.v2 import Times
from tests.harness.daemon_process import Daemon, daemon
from tests.harness.servers.conftool import DIRECTORY, Conftool
from tests.harness.servers.etcd import Etcd, etcd
from tests.harness.servers.process import free_ports
from tests.harness.servers.relay import Relay

GLOBAL = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status}
ipvs-backend = memory

[etcd 127.0.0.1:{port}]
tls = no
"""
SERVICE = """
[{pool}_{number}]
protocol = tcp
ip = 192.0.2.1
port = {number}
scheduler = wrr
config = etcd://127.0.0.1:{port}{directory}/{pool}/
"""
SHARING = 44
MANY = [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(250)]
OTHERS = 72


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Etcd]:
    made = etcd(tmp_path)
    with made.server:
        yield made


@pytest.fixture
def conftool(one: Etcd, tmp_path: Path) -> Iterator[Conftool]:
    with Conftool(tmp_path, one) as conftool:
        yield conftool


def configured(directory: Path, port: int, pools: Sequence[str]) -> str:
    """Write a configuration with one service per pool; return the URL of its status."""
    (status,) = free_ports(1)
    services = (
        SERVICE.format(pool=pool, number=number, port=port, directory=DIRECTORY)
        for number, pool in enumerate(pools, 1000)
    )
    (directory / "pybal.conf").write_text(GLOBAL.format(status=status, port=port) + "".join(services))
    return f"http://127.0.0.1:{status}"


def table(running: Daemon) -> Mapping[str, str]:
    """Return the weights of the destinations by address."""
    lines = (line.split() for line in running.get("/v1/ipvs").splitlines())
    return {words[4].partition(":")[0]: words[7] for words in lines if words[0] == "-a"}


def test_t134893_table_follows_conftool_and_survives_etcd(one: Etcd, conftool: Conftool, tmp_path: Path) -> None:
    """A server was depooled in etcd but not in LVS."""
    a, b, c, d = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"
    endpoint = configured(tmp_path, one.port, ["web"])

    def becomes(weights: Mapping[str, str]) -> None:
        running.wait(lambda: table(running) == weights, f"the table {weights}, not {table(running)}")
        print(f"{weights}: {time.monotonic() - conftool.written:.2f} s after it was written")  # noqa: T201  # measured

    with daemon(tmp_path, endpoint=endpoint) as running:
        running.wait(lambda: f"no directory {DIRECTORY}/web" in running.get("/v1/sources"), "the problem at the start")
        conftool.sync({"web": [a, b, c]})
        for host in (a, b, c):
            conftool.set("web", host, "pooled=yes:weight=10")
        becomes({a: "10", b: "10", c: "10"})
        conftool.set("web", a, "pooled=no")
        becomes({b: "10", c: "10"})
        assert running.get(f"/pools/web_1000/{a}") == "disabled/up/not pooled\n"
        conftool.set("web", a, "pooled=yes")
        becomes({a: "10", b: "10", c: "10"})
        conftool.set("web", b, "pooled=inactive")
        becomes({a: "10", c: "10"})
        assert b not in running.get("/pools/web_1000")
        conftool.set("web", c, "weight=7")
        becomes({a: "10", c: "7"})
        conftool.sync({"web": [a, b, c, d]})
        conftool.set("web", d, "pooled=yes:weight=3")
        becomes({a: "10", c: "7", d: "3"})
        conftool.sync({"web": [b, c, d]})
        becomes({c: "7", d: "3"})
        one.server.kill()
        running.wait(lambda: "onnection refused" in running.get("/v1/alerts"), "the alert")
        assert table(running) == {c: "7", d: "3"}
        one.server.start()
        conftool.set("web", d, "weight=4")
        becomes({c: "7", d: "4"})
        running.wait(lambda: "onnection refused" not in running.get("/v1/alerts"), "the end of the alert")
        assert running.stop() == 0


def put_all(one: Etcd, pools: Mapping[str, Sequence[str]]) -> None:
    keys = [f"{DIRECTORY}/{pool}/{host}" for pool, hosts in pools.items() for host in hosts]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: one.put(key, '{"weight": 10, "pooled": "yes"}'), keys))


def test_many_services_start_with_one_connection_each_and_get_changes(
    one: Etcd, conftool: Conftool, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The largest known balancer has 116 services, 44 of them with the same directory."""
    pools = ["text"] * SHARING + [f"pool{number}" for number in range(OTHERS)]
    put_all(one, {"text": MANY, **dict.fromkeys(pools[SHARING:], MANY[:2])})
    with Relay(one.port) as relay:
        endpoint = configured(tmp_path, relay.port, pools)
        start = time.monotonic()
        with daemon(tmp_path, endpoint=endpoint) as running:
            running.wait_for_log("Created LVS service")
            names = [f"{pool}_{number}" for number, pool in enumerate(pools, 1000)]
            for name in names:
                running.wait(lambda name=name: MANY[1] in running.get(f"/pools/{name}"), name)  # type: ignore[misc]
            lists = round(time.monotonic() - start, 2)
            running.wait(lambda: sum("wait=true" in request for request in relay.requests) >= len(pools), "watches")
            connections, requests = relay.connections, len(relay.requests)
            turns = 1 + int((time.monotonic() - start) / Times().poll)
            host = MANY[7]
            conftool.set("text", host, "pooled=no")
            for name in names[:SHARING]:
                path = f"/pools/{name}/{host}"
                running.wait(lambda path=path: running.get(path) == "disabled/up/not pooled\n", path)  # type: ignore[misc]
            changed = round(time.monotonic() - conftool.written, 2)
            assert running.get(f"/pools/{names[SHARING]}/{MANY[0]}") == "enabled/up/pooled\n"
    print(f"all lists {lists} s after the start: {connections} connections, {requests} requests; a change {changed} s")  # noqa: T201
    record_property("measured", (lists, connections, requests, changed))
    # Each service reads once, then watches; if the start is slow, again after each poll.
    assert connections <= turns * len(pools)
    assert requests <= turns * 2 * len(pools)
    assert changed < 10
