"""check_pybal_ipvs_diff, check_pybal and safe-service-restart beside another writer of a table."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness.daemon_process import Daemon, daemon
from tests.harness.guest.network import VIP, Host, lab
from tests.harness.tools.check_pybal_ipvs_diff import check_pybal_ipvs_diff
from tests.harness.tools.nagios import CRITICAL, OK, WARNING, Verdict
from tests.harness.tools.safe_service_restart import NOT_VERIFIED, SafeServiceRestart
from tests.harness.tools.shipped_plugin import check_pybal

URL = "http://127.0.0.1:9090"
CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
ipvs-audit-interval = 2
ipvs-drift = {drift}

[web]
protocol = tcp
ip = {vip}
port = 80
scheduler = wrr
config = file://{directory}/web.pool
"""
A, B, C, D = SERVERS = "10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14"
UP, OFF = "enabled/up/pooled", "disabled/up/not pooled"
SAME = Verdict(OK, "OK: no difference")


class Balancer:
    """A daemon with four servers without monitors, and users' tools beside it."""

    def __init__(self, director: Host, directory: Path) -> None:
        self.director = director
        self.directory = directory
        self.running: Daemon
        self.configure("repair")

    def configure(self, drift: str) -> None:
        text = CONF.format(vip=VIP, directory=self.directory, drift=drift)
        (self.directory / "pybal.conf").write_text(text)

    def pool(self, *enabled: str) -> None:
        lines = (f"{{'host': '{host}', 'weight': 10, 'enabled': {host in enabled}}}\n" for host in SERVERS)
        (self.directory / "web.pool").write_text("".join(lines))

    @contextmanager
    def started(self) -> Iterator[None]:
        own = [f"{name}_DIRECTORY={self.directory}" for name in ("RUNTIME", "STATE")]
        with daemon(self.directory, prefix=("env", *own), endpoint=URL) as self.running:
            yield

    def wait_for_two(self, drift: str = "repair") -> None:
        """Wait until two servers are pooled and the others are disabled."""
        self.pool(A, B)
        self.configure(drift)
        self.running.reload()
        wanted = "".join(f"{host}:\t{UP if host in (A, B) else OFF}\n" for host in SERVERS)
        self.running.wait(lambda: self.running.get("/pools/web") == wanted, "two servers pooled")
        self.wait_for(SAME)

    def wait_for(self, verdict: Verdict) -> None:
        self.running.wait(lambda: self.difference() == verdict, f"{verdict}, not {self.difference()}")

    def restart(self, host: str, *others: str, retries: int = 5) -> tuple[int, bool]:
        """Run safe-service-restart; return its exit code, and whether it restarted the service."""
        restarted: list[str] = []

        def write(value: str) -> None:
            self.pool(*others, *([host] if value == "yes" else []))

        def restart() -> int:
            restarted.append(host)
            return 0

        tool = SafeServiceRestart([f"{URL}/pools/web/{host}"], lambda: True, write, restart, retries, wait=0.4)
        return tool.run(), bool(restarted)

    def difference(self) -> Verdict:
        table = subprocess.run(["ipvsadm", "-Sn"], capture_output=True, text=True, check=True).stdout
        return check_pybal_ipvs_diff(URL, self.directory / "pybal.conf", table, str)


@pytest.fixture(scope="module")
def balancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    """Run one daemon for all tests of this module."""
    with lab(4) as made, made.director.entered():
        balancer = Balancer(made.director, tmp_path_factory.mktemp("balancer"))
        balancer.pool(A, B)
        with balancer.started():
            balancer.running.wait(lambda: balancer.running.get("/pools/web"), "the first list")
            yield balancer


def foreign(command: str, address: str) -> None:
    """Add (``-a``) or delete (``-d``) a server, as another program would."""
    more = ("-g", "-w", "10") if command == "-a" else ()
    subprocess.run(["ipvsadm", command, "-t", f"{VIP}:80", "-r", f"{address}:80", *more], check=True)


def test_ipvs_diff_is_critical_until_drift_is_repaired(balancer: Balancer) -> None:
    balancer.wait_for_two(drift="report")
    foreign("-d", A)
    assert balancer.difference() == Verdict(CRITICAL, f"CRITICAL: hosts only in PyBal: {A}")
    foreign("-a", C)
    assert balancer.difference() == Verdict(CRITICAL, f"CRITICAL: hosts only in PyBal: {A}; hosts only in IPVS: {C}")
    subprocess.run(["ipvsadm", "-C"], check=True)
    service = f"services only in pybal.conf: {VIP}:80"
    assert balancer.difference() == Verdict(CRITICAL, f"CRITICAL: {service}; hosts only in PyBal: {A}, {B}")
    balancer.wait_for_two()
    assert balancer.restart(A, B, retries=200) == (0, True)


def test_shipped_plugin_finds_drift_and_services_of_other_programs(balancer: Balancer) -> None:
    balancer.wait_for_two(drift="report")
    foreign("-a", C)
    balancer.running.wait(lambda: check_pybal("--ipvs-diff").code == CRITICAL, "the drift")
    found = check_pybal("--ipvs-diff")
    assert found.text == "PYBAL CRITICAL - 1 service differs in IPVS: web"
    assert found.lines[0].startswith(f"web (tcp {VIP}:80, last read ")
    assert found.lines[0].endswith(" ago): changed by another program; to undo it:")
    assert found.lines[1] == f"  ipvsadm -d -t {VIP}:80 -r {C}:80"
    foreign("-d", C)
    subprocess.run(["ipvsadm", "-A", "-t", "192.0.2.99:80", "-s", "rr"], check=True)
    balancer.running.wait(lambda: check_pybal("--ipvs-diff").code == WARNING, "the service")
    found = check_pybal("--ipvs-diff")
    assert found.text == "PYBAL WARNING - 1 service of other programs: tcp 192.0.2.99:80"
    subprocess.run(["ipvsadm", "-D", "-t", "192.0.2.99:80"], check=True)
    balancer.running.wait(lambda: check_pybal("--ipvs-diff").code == OK, "no difference")


def test_server_that_the_kernel_refuses_is_not_pooled_for_tools(balancer: Balancer) -> None:
    balancer.wait_for_two()
    # IPVS refuses a broadcast address, unless it had the server a moment ago.
    balancer.director.ip(f"route add broadcast {D} dev eth0 table local")
    assert balancer.restart(D, A, B) == (NOT_VERIFIED, True)
    balancer.running.wait(lambda: balancer.running.get(f"/pools/web/{D}") == "enabled/up/not pooled\n", "the refusal")
    assert balancer.difference() == Verdict(CRITICAL, f"CRITICAL: hosts only in PyBal: {D}")
    balancer.director.ip(f"route del broadcast {D} dev eth0 table local")


def test_server_kept_in_ipvs_by_another_program_is_not_restarted(balancer: Balancer) -> None:
    balancer.wait_for_two(drift="report")
    foreign("-a", C)
    balancer.running.wait(lambda: balancer.running.get(f"/pools/web/{C}") == "disabled/up/pooled\n", "the drift")
    assert balancer.restart(C, A, B) == (NOT_VERIFIED, False)
    assert balancer.difference() == Verdict(CRITICAL, f"CRITICAL: hosts only in IPVS: {C}")
    foreign("-d", C)


def test_server_in_ipvs_is_not_restarted_before_the_first_list(balancer: Balancer) -> None:
    """The tool takes status 404 for a server out of the pool, but at the start the list is unknown."""
    balancer.wait_for_two()
    assert balancer.running.stop() == 0
    (balancer.directory / "web.pool").unlink()
    with balancer.started():
        balancer.running.wait(lambda: balancer.running.get(f"/pools/web/{A}"), "the server of the saved list")
        document: Any = balancer.running.get_json("/v1/pools/web")
        assert document["listed"] is False
        assert balancer.running.get(f"/pools/web/{A}") == "enabled/up/pooled\n"
        assert balancer.running.get(f"/pools/web/{C}") == "disabled/up/pooled\n"
