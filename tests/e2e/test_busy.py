"""The BGP session survives heavy load: 116 services with 11,000 servers, and a hold time of 3 s."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.harness.bird_session import GLOBAL, Bird, bird
from tests.harness.daemon_process import Daemon, daemon, wait_for
from tests.harness.guest import namespace
from tests.harness.probed_balancer import FIRST
from tests.harness.servers.nginx import nginx

pytestmark = pytest.mark.skipif(
    not shutil.which("bird") or subprocess.run(["unshare", "--net", "true"], check=False).returncode != 0,
    reason="needs bird, and root for a network namespace",
)

SERVICES, SERVERS, CHANGES = 116, 95, 2
ENDPOINT = "http://127.0.0.1:9090"
CONF = """\
bgp-hold-time = 3

[DEFAULT]
protocol = tcp
port = 8080
scheduler = {scheduler}
monitors = ['ProxyFetch']
proxyfetch.timeout = {timeout}
proxyfetch.url = ['http://www.example.org/']
"""


def hosts(service: int, change: int) -> list[str]:
    """Return the servers of a service after ``change`` changes; each change replaces a third of them."""
    return [f"127.{1 + service}.{change if server % 3 == 0 else 0}.{1 + server}" for server in range(SERVERS)]


def write_pools(directory: Path, change: int) -> None:
    for service in range(SERVICES):
        lines = (f"{{'host': '{host}', 'weight': {10 + change}}}\n" for host in hosts(service, change))
        (directory / f"{service}.pool").write_text("".join(lines))


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Bird]:
    """BIRD in a network namespace, with a web server at all addresses."""
    with ExitStack() as stack:
        stack.enter_context(namespace.fresh())
        router = stack.enter_context(bird(tmp_path, "hold time 3;"))
        web = tmp_path / "web"
        web.mkdir()
        stack.enter_context(
            nginx(
                web,
                "access_log off; server { listen 8080 backlog=8192; location / { return 200 ok; } }",
                8080,
                connections=8192,
            )
        )
        yield router


def routes(router: Bird) -> int:
    """Return the number of VIPs that the router has."""
    return int(router.show("route", "count").split("\n")[1].split()[0])


def configure(directory: Path, scheduler: str, timeout: int) -> None:
    sections = (f"[s{n}]\nip = 192.0.2.{1 + n}\nconfig = file://{directory}/{n}.pool\n" for n in range(SERVICES))
    conf = GLOBAL + CONF.format(scheduler=scheduler, timeout=timeout) + "".join(sections)
    (directory / "pybal.conf").write_text(conf)


def established_at(router: Bird) -> str:
    """Return BIRD's line with the state of the session and the time of its last change."""
    return router.show("protocols", "balancer").splitlines()[-1]


def pooled(running: Daemon, change: int) -> bool:
    """Return whether the last service has exactly its servers, all up and pooled."""
    rows = (line.partition(":") for line in running.get(f"/pools/s{SERVICES - 1}").splitlines())
    return {host for host, _, state in rows if state.endswith("/up/pooled")} == set(hosts(SERVICES - 1, change))


def test_session_survives_bursts_of_changes_and_a_full_reload(router: Bird, tmp_path: Path) -> None:
    configure(tmp_path, "wrr", 5)
    write_pools(tmp_path, 0)
    prefix = (*FIRST, "env", f"RUNTIME_DIRECTORY={tmp_path}")
    with daemon(tmp_path, prefix=prefix, endpoint=ENDPOINT) as running:
        wait_for(lambda: routes(router) == SERVICES, lambda: running.log[-3000:], within=120)
        established = established_at(router)
        assert "Established" in established
        for change in range(1, CHANGES + 1):
            write_pools(tmp_path, change)
            wait_for(partial(pooled, running, change), lambda: running.log[-3000:], within=120)
            assert routes(router) == SERVICES
        # Another scheduler for each service; each of the 11,020 monitors is created again.
        configure(tmp_path, "mh", 4)
        outcome = running.reload()
        assert outcome["accepted"], outcome
        assert running.get("/v1/ipvs").count("-s mh") == SERVICES
        assert (routes(router), established_at(router)) == (SERVICES, established)
        assert "pybal_bgp_restarts_total 0.0" in running.get("/metrics")
