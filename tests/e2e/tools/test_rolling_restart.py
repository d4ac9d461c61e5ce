"""safe-service-restart on all servers of a pool in turn, with conftool, etcd and two balancers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.harness.servers.conftool import Conftool
from tests.harness.servers.etcd import Etcd, etcd
from tests.harness.tools.balancer import DIRECTORY, Balancer
from tests.harness.tools.safe_service_restart import NOT_VERIFIED, SafeServiceRestart

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to replace the hosts file")

HOSTS = {name: [f"127.2.1.{number}"] for number, name in enumerate(("a", "b", "c"), 1)}
ALL_UP = dict.fromkeys(HOSTS, "enabled/up/pooled")
BROKEN = 3
"""The exit code of a service that does not start."""


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Etcd]:
    made = etcd(tmp_path)
    with made.server:
        yield made


@pytest.fixture
def balancers(source: Etcd, tmp_path: Path) -> Iterator[tuple[Balancer, Balancer]]:
    first = Balancer(tmp_path, source, HOSTS)
    (tmp_path / "twin").mkdir()
    second = first.twin(tmp_path / "twin")
    for host in HOSTS:
        first.put("web", host, "yes")
    for each in (first, second):
        each.configure("[web]\nip = 192.0.2.1\n")
    with first.started(), second.started():
        for each in (first, second):
            each.shows("web", ALL_UP)
        yield first, second
    first.stop()


def test_each_server_restarts_only_while_no_balancer_uses_it(
    source: Etcd, balancers: tuple[Balancer, Balancer], tmp_path: Path
) -> None:
    """A service that does not start stays depooled, and a balancer that is frozen stops the restarts."""
    first, second = balancers
    restarted = []

    def is_pooled(host: str) -> bool:
        value = source.v2("GET", f"{DIRECTORY}/web/{host}")["node"]["value"]
        return bool(json.loads(value)["pooled"] == "yes")

    def restart(host: str) -> int:
        restarted.append(host)
        (server,) = first.servers[host]
        server.stop()
        for balancer in balancers:
            assert balancer.serving("web") == HOSTS.keys() - {host}
        if host == "b":
            return BROKEN
        server.start()
        return 0

    def run(host: str, retries: int = 200) -> SafeServiceRestart:
        urls = [f"{balancer.url}/pools/web/{host}" for balancer in balancers]
        # The grace time of the real tool lets the list reach all balancers; here the result counts.
        write = partial(conftool.set, "web", host)
        return SafeServiceRestart(
            urls,
            partial(is_pooled, host),
            lambda value: write(f"pooled={value}"),
            partial(restart, host),
            retries=retries,
            wait=0.2,
        )

    with Conftool(tmp_path, source) as conftool:
        one, two, three = run("a"), run("b"), run("c", retries=20)
        assert (one.run(), one.log) == (0, ["confirmed"] * 4)
        assert (two.run(), two.log) == (BROKEN, ["confirmed"] * 2)
        second.shows("web", ALL_UP | {"b": "disabled/down/not pooled"})
        first.servers["b"][0].start()
        assert (two.run(), restarted) == (BROKEN, ["a", "b", "b"])  # without a question, as it is depooled
        first.servers["b"][0].start()
        conftool.set("web", "b", "pooled=yes")
        second.shows("web", ALL_UP)
        second.pybal("freeze", "--reason", "test")
        assert (three.run(), three.log, is_pooled("c")) == (NOT_VERIFIED, ["confirmed"], False)
        assert restarted == ["a", "b", "b"]
