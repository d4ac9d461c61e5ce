"""Changes of a pool in etcd: the time until they are in the IPVS table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.daemon_process import Daemon, daemon, free_port
from tests.harness.servers.etcd import Etcd, etcd

CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory

[etcd 127.0.0.1:{port}]
tls = no

[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
config = etcd://127.0.0.1:{port}/conftool/v1/pools/dc/web/{options}
"""
Write = Callable[[Etcd, str, str], object]


def by_version_2(member: Etcd, key: str, value: str) -> None:
    member.put(key, value)


def by_version_3(member: Etcd, key: str, value: str) -> None:
    member.v3("kv/put", key=key.encode(), value=value.encode())


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Etcd]:
    made = etcd(tmp_path)
    with made.server:
        yield made


def configured(directory: Path, port: int, options: str) -> str:
    status_port = free_port("127.0.0.1")
    (directory / "pybal.conf").write_text(CONF.format(port=port, status_port=status_port, options=options))
    return f"http://127.0.0.1:{status_port}"


def put(member: Etcd, write: Write, host: str, weight: int, pooled: str = "yes") -> None:
    write(member, f"/conftool/v1/pools/dc/web/{host}", json.dumps({"weight": weight, "pooled": pooled}))


@pytest.mark.parametrize(("options", "write"), [("", by_version_2), ("?api=3", by_version_3)], ids=["v2", "v3"])
def test_t264362_change_is_in_the_table_within_a_second(
    options: str, write: Write, one: Etcd, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Changes waited for a second."""
    endpoint = configured(tmp_path, one.port, options)
    put(one, write, "127.0.1.1", 1)
    put(one, write, "127.0.1.2", 1)
    with daemon(tmp_path, endpoint=endpoint) as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 2, "two servers pooled")
        seconds = sorted(changed(running, one, write, weight) for weight in range(2, 12))
        print(f"from etcd to the table: median {seconds[5] * 1000:.0f} ms, most {seconds[-1] * 1000:.0f} ms")  # noqa: T201  # measured
        record_property("seconds", seconds[5])
        put(one, write, "127.0.1.2", 1, "no")
        running.wait(lambda: "127.0.1.2:\tdisabled/up/not pooled\n" in running.get("/pools/web"), "the server disabled")
        put(one, write, "127.0.1.2", 1, "inactive")
        running.wait(lambda: "127.0.1.2" not in running.get("/pools/web"), "the server gone")
        assert running.get("/v1/ipvs").splitlines()[1:] == ["-a -t 192.0.2.1:80 -r 127.0.1.1:80 -g -w 11"]
        one.server.kill()
        refused = f"127.0.0.1:{one.port}: "
        running.wait(lambda: refused in running.get("/v1/alerts"), "the alert that etcd is gone")
        assert "-r 127.0.1.1:80 -g -w 11" in running.get("/v1/ipvs")
        assert running.stop() == 0


def changed(running: Daemon, one: Etcd, write: Write, weight: int) -> float:
    """Return the seconds until a new weight is in the table."""
    start = time.monotonic()
    put(one, write, "127.0.1.1", weight)
    running.wait(lambda: f"-r 127.0.1.1:80 -g -w {weight}\n" in running.get("/v1/ipvs"), f"weight {weight}")
    return time.monotonic() - start


def test_unknown_api_version_is_refused_at_the_start(tmp_path: Path) -> None:
    endpoint = configured(tmp_path, 2379, "?api=4")
    with daemon(tmp_path, endpoint=endpoint) as running:
        assert running.process.wait(30) == 2
        assert "api=4'; expected a supported scheme: " in running.log
