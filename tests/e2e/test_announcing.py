"""The daemon announces a VIP to a router, bird, after the first checks, and withdraws it.

Both run in their own network namespace; ExaBGP connects to port 179.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.bird_session import GLOBAL, Bird, bird
from tests.harness.daemon_process import Daemon, WebServer, daemon, wait_for
from tests.harness.guest import namespace
from tests.harness.page_reader import PageReader

pytestmark = pytest.mark.skipif(
    not shutil.which("bird") or subprocess.run(["unshare", "--net", "true"], check=False).returncode != 0,
    reason="needs bird, and root for a network namespace",
)

CONF = f"""\
{GLOBAL}bgp-med = 100
bgp-announce-wait = {{wait}}

[web]
protocol = tcp
ip = 192.0.2.1
port = 8080
scheduler = wrr
config = file://{{directory}}/web.pool
monitors = ['ProxyFetch']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.3
"""
HOSTS = ("127.0.1.1", "127.0.1.2")
ENDPOINT = "http://127.0.0.1:9090"
ESTABLISHED = 'pybal_bgp_session_established{local_asn="64600",peer="127.0.0.2"} 1.0'


@pytest.fixture
def network_namespace() -> Iterator[None]:
    with namespace.fresh():
        yield


@pytest.fixture
def router(tmp_path: Path, network_namespace: None) -> Iterator[Bird]:
    with bird(tmp_path) as running:
        yield running


def routes(router: Bird) -> str:
    """Return the routes of the router."""
    return router.show("route", "all")


@contextmanager
def balancer(
    directory: Path, *arguments: str, pool: Mapping[str, bool], wait: float = 60, conf: str = CONF
) -> Iterator[Daemon]:
    (directory / "pybal.conf").write_text(conf.format(directory=directory, wait=wait))
    write_pool(directory, pool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIME_DIRECTORY", str(directory / "run"))
        patch.setenv("STATE_DIRECTORY", str(directory))
        (directory / "run").mkdir(exist_ok=True)
        with daemon(directory, *arguments, endpoint=ENDPOINT) as running:
            yield running


def write_pool(directory: Path, pool: Mapping[str, bool]) -> None:
    lines = [f"{{'host': '{host}', 'enabled': {enabled}}}\n" for host, enabled in pool.items()]
    (directory / "web.pool").write_text("".join(lines))


@pytest.fixture
def servers(network_namespace: None) -> Iterator[dict[str, WebServer]]:
    served = {host: WebServer(host, 8080) for host in HOSTS}
    yield served
    for server in served.values():
        server.stop()


def vip(running: Daemon) -> Mapping[str, object]:
    (found,) = json.loads(running.get("/v1/bgp", "application/json"))["vips"]
    assert isinstance(found, dict)
    return found


def shown(running: Daemon) -> str:
    """Return the row of the VIP in the view of BGP on the status page."""
    return " | ".join(PageReader.of(running.get("/page/bgp")).row("192.0.2.1").cells)


def test_vip_is_announced_after_the_checks_and_withdrawn_when_empty(
    tmp_path: Path, router: Bird, servers: dict[str, WebServer]
) -> None:
    with balancer(tmp_path, pool=dict.fromkeys(HOSTS, True)) as running:
        running.wait(lambda: "192.0.2.1/32" in routes(router), "the VIP in the router")
        assert "BGP.med: 100" in routes(router)
        assert "BGP.next_hop: 10.9.0.1" in routes(router)
        text = "[bgp] INFO: Announcing 192.0.2.1/32, MED 100: 1 service verified, 2 of 2 servers pooled"
        assert text in running.log
        assert "Starting BGP session with peer 127.0.0.2" in running.log
        assert "State is now: ESTABLISHED" in running.log
        metrics = running.get("/metrics")
        assert ESTABLISHED in metrics
        assert "pybal_bgp_enabled 1.0" in metrics
        running.wait(lambda: vip(running)["announced"], "the event of the sent update")
        assert vip(running)["peers"] == ["127.0.0.2"]
        assert "announced to 1 of 1 peer" in shown(running)
        write_pool(tmp_path, dict.fromkeys(HOSTS, False))
        running.wait(lambda: "192.0.2.1/32" not in routes(router), "no VIP in the router")
        assert "[bgp] WARN: Not announcing 192.0.2.1/32: empty (web: 0 of 2 servers pooled)" in running.log
        assert "192.0.2.1/32: empty (web: 0 of 2 servers pooled)" in running.get("/v1/alerts")
        write_pool(tmp_path, dict.fromkeys(HOSTS, True))
        running.wait(lambda: "192.0.2.1/32" in routes(router), "the VIP in the router again")
        assert running.stop() == 0
        assert "192.0.2.1/32" not in routes(router)


def test_vip_that_no_peer_was_sent_is_not_shown_as_announced(
    tmp_path: Path, router: Bird, servers: dict[str, WebServer]
) -> None:
    with balancer(tmp_path, pool=dict.fromkeys(HOSTS, True)) as running:
        running.wait(lambda: "192.0.2.1/32" in routes(router), "the VIP in the router")
        running.wait(lambda: vip(running)["announced"], "the event of the sent update")
        router.run("disable", "balancer")
        running.wait(lambda: not vip(running)["announced"], "the end of the session")
        assert (vip(running)["wanted"], vip(running)["why"]) == (True, "no-session")
        alerts = running.get("/v1/alerts")
        assert "WARNING pybal not-announced: 192.0.2.1/32: no-session (127.0.0.2: received notification 6/" in alerts
        assert "CRITICAL pybal bgp: BGP session with 127.0.0.2 down for " in alerts
        assert "192.0.2.1/32 wanted, sent to no peer for " in running.get("/v1/bgp")
        assert "  no: no-session\n" in running.get("/v1/status")
        assert "wanted, sent to no peer" in shown(running)
        assert "no-session: 127.0.0.2" in shown(running)
        assert 'pybal_bgp_vip_announced{vip="192.0.2.1"} 0.0' in running.get("/metrics")
        router.run("enable", "balancer")
        running.wait(lambda: vip(running)["announced"], "the VIP announced again")
        running.wait_for_log("BGP session with 127.0.0.2 up again after ")
        assert "received notification" not in running.get("/v1/bgp")


BOTH_FAMILIES = CONF.replace("bgp-med = 100", "bgp-med = 100\nbgp-nexthop-ipv6 = 2001:db8:9::1") + CONF.partition(
    "\n\n"
)[2].replace("[web]", "[web6]").replace("ip = 192.0.2.1", "ip = 2001:db8::1\ntunneling = yes")


def test_router_that_negotiates_ipv6_only_gets_ipv6_only(
    tmp_path: Path, network_namespace: None, servers: dict[str, WebServer]
) -> None:
    lacking = "IPv4 VIPs are announced to no peer"
    with (
        bird(tmp_path, family="ipv6") as router,
        balancer(tmp_path, pool=dict.fromkeys(HOSTS, True), conf=BOTH_FAMILIES) as running,
    ):
        running.wait(lambda: "2001:db8::1/128" in routes(router), "the IPv6 VIP in the router")
        running.wait(lambda: lacking in running.get("/v1/alerts"), "the alert about IPv4")
        write_pool(tmp_path, dict.fromkeys(HOSTS, False))  # further updates
        running.wait(lambda: "2001:db8::1/128" not in routes(router), "no VIP in the router")
        write_pool(tmp_path, dict.fromkeys(HOSTS, True))
        running.wait(lambda: "2001:db8::1/128" in routes(router), "the IPv6 VIP again")
        assert "192.0.2.1" not in routes(router)
        alerts = [line for line in running.get("/v1/alerts").splitlines() if " bgp: " in line]
        assert [lacking in line for line in alerts] == [True]
        assert ESTABLISHED in running.get("/metrics")


def test_replaced_password_file_is_used_after_a_reload(
    tmp_path: Path, network_namespace: None, servers: dict[str, WebServer]
) -> None:
    password = tmp_path / "password"
    password.write_text("first\n")
    conf = CONF.replace("bgp-med = 100", f"bgp-med = 100\nbgp-md5-password-file = {password}")
    with (
        bird(tmp_path, 'password "first";') as router,
        balancer(tmp_path, pool=dict.fromkeys(HOSTS, True), conf=conf) as running,
    ):
        running.wait(lambda: "192.0.2.1/32" in routes(router), "the VIP in the router")
        (tmp_path / "next").write_text("second\n")
        (tmp_path / "next").replace(password)
        assert ESTABLISHED in running.get("/metrics")
        router.configure('password "second";')
        running.wait(lambda: "192.0.2.1/32" not in routes(router), "no session with the other password")
        running.reload()
        running.wait(lambda: "192.0.2.1/32" in routes(router), "the VIP again")


def test_crash_withdraws_the_vip_and_leaves_no_process(
    tmp_path: Path, router: Bird, servers: dict[str, WebServer]
) -> None:
    with balancer(tmp_path, pool=dict.fromkeys(HOSTS, True)) as running:
        running.wait(lambda: "192.0.2.1/32" in routes(router), "the VIP in the router")
        running.stop(signal.SIGKILL)
        wait_for(lambda: "192.0.2.1/32" not in routes(router), lambda: routes(router))
        own = str(tmp_path / "run")
        command = ["pgrep", "-f", own]
        wait_for(lambda: subprocess.run(command, capture_output=True, check=False).returncode, lambda: own)


def test_unresponsive_servers_delay_the_vip_until_the_wait_ends(tmp_path: Path, router: Bird) -> None:
    # It accepts connections and sends nothing: a check lasts until its timeout of 5 s.
    with socket.create_server((HOSTS[0], 8080)), balancer(tmp_path, pool={HOSTS[0]: True}, wait=2) as running:
        running.wait_for_log("Not announcing 192.0.2.1/32: first-checks (web: 1 of 1 server unknown)")
        assert "192.0.2.1/32" not in routes(router)
        running.wait_for_log("Announcing 192.0.2.1/32")


def test_dry_run_has_no_session_and_logs_the_intended_announcement(
    tmp_path: Path, router: Bird, servers: dict[str, WebServer]
) -> None:
    with balancer(tmp_path, "-n", pool=dict.fromkeys(HOSTS, True)) as running:
        running.wait_for_log("Would announce 192.0.2.1/32, MED 100: 1 service verified, 2 of 2 servers pooled")
        assert "pybal_bgp_enabled 0.0" in running.get("/metrics")
        assert running.stop() == 0
        assert not list((tmp_path / "run").iterdir())
        assert "192.0.2.1/32" not in routes(router)


def test_kept_drain_survives_a_restart_and_an_invalid_file_is_an_alert(
    tmp_path: Path, router: Bird, servers: dict[str, WebServer]
) -> None:
    drains = tmp_path / "drains.json"
    drains.write_text('{"version": 1, "drains": [{"vip": null, "by": "alice", "reason": "new kernel"}]}')
    with balancer(tmp_path, pool=dict.fromkeys(HOSTS, True)) as running:
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 2, "two servers pooled")
        assert vip(running)["why"] == "drained"
        assert vip(running)["detail"] == "by alice: new kernel"
        assert running.stop() == 0
    drains.write_text('{"version": 1')
    with balancer(tmp_path, pool=dict.fromkeys(HOSTS, True)) as running:
        running.wait(lambda: f"{drains}: Expecting" in running.get("/v1/alerts"), "the alert")
        running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 2, "two servers pooled")
        drains.unlink()
        running.wait(lambda: str(drains) not in running.get("/v1/alerts"), "the end of the alert")


def test_address_that_the_host_lacks_withholds_bgp_with_an_alert(tmp_path: Path, network_namespace: None) -> None:
    conf = CONF.format(directory=tmp_path, wait=60).replace("bgp-med = 100", "bgp-local-ips = 192.0.2.99")
    (tmp_path / "pybal.conf").write_text(conf)
    write_pool(tmp_path, {HOSTS[0]: True})
    with daemon(tmp_path, prefix=("env", f"RUNTIME_DIRECTORY={tmp_path}"), endpoint=ENDPOINT) as running:
        wanted = "cannot listen for BGP on 192.0.2.99 port 179: Cannot assign requested address"
        running.wait(lambda: wanted in running.get("/v1/alerts"), "the alert")
