"""A pool whose members are SRV records of a real name server: the daemon in its own network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.harness.daemon_process import Daemon, daemon
from tests.harness.guest import namespace
from tests.harness.servers.process import Server, accepts
from tests.harness.servers.unbound import unbound_with

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a namespace where port 53 is free")

CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = 9090
ipvs-backend = memory

[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
config = dns+srv://_web._tcp.test
"""
NAMES = [f"{name}.test. 1 A 10.0.0.{number}" for number, name in enumerate("abc", 1)]


def name_server(directory: Path, records: Sequence[str]) -> Server:
    lines = [*NAMES, *(f"_web._tcp.test. 1 SRV {record}" for record in records)]
    return unbound_with(directory, 53, lines, ["127.0.0.1"], partial(accepts, 53))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Daemon]:
    (tmp_path / "pybal.conf").write_text(CONF)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    own_resolver = f'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-c", own_resolver, "sh")
    with namespace.fresh(), daemon(tmp_path, prefix=prefix, endpoint="http://127.0.0.1:9090") as running:
        yield running


def test_a_pool_follows_the_records_and_outlives_the_name_server(running: Daemon, tmp_path: Path) -> None:
    with name_server(tmp_path, ["1 5 80 a.test.", "1 0 80 b.test.", "2 9 80 c.test."]):
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 2, "two servers pooled")
        assert running.get("/v1/ipvs") == (
            "-A -t 192.0.2.1:80 -s wrr\n"
            "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 5\n"
            "-a -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 1\n"
        )
    refused = "dns+srv://_web._tcp.test: Connection refused from 127.0.0.1"
    running.wait(lambda: refused in running.get("/v1/sources"), "the trouble with the source")
    running.wait(lambda: refused in running.get("/v1/alerts"), "the alert")
    assert running.get("/pools/web").count("/up/pooled") == 2
    with name_server(tmp_path, ["1 5 80 a.test.", "1 7 81 c.test."]):
        running.wait(lambda: "-r 10.0.0.3:80 -g -w 7" in running.get("/v1/ipvs"), "another list")
        assert "-r 10.0.0.2:80" not in running.get("/v1/ipvs")
        port = "host c.test has port 81, wanted 80: servers are reached at the port of the service"
        running.wait(lambda: port in running.get("/v1/sources"), "the record of another port")
