"""The unit with the shipped drop-in ``user.conf``, and secrets by LoadCredential."""

from __future__ import annotations

import base64
import http.server
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness.daemon_process import wait_for
from tests.harness.guest.packaged_balancer import DROP_INS, ETC, UNIT, PackagedBalancer, run, status, table

NET_ADMIN = f"{1 << 12:016x}"
NONE = f"{0:016x}"


@pytest.fixture(scope="module", autouse=True)
def user(balancer: PackagedBalancer) -> None:
    """Enable the drop-in."""
    balancer.become_user()


def test_security_score_of_the_user_is_at_most_1_8(balancer: PackagedBalancer) -> None:
    run("systemd-analyze", "security", "--threshold=18", UNIT)


def test_unit_of_the_user_starts_with_every_kind_of_check(balancer: PackagedBalancer) -> None:
    balancer.start()
    assert table().count("-a -t") == 4
    assert run("stat", "--format=%U", f"/proc/{balancer.main_pid()}") == "pybal\n"


def test_daemon_of_the_user_holds_net_admin_only(balancer: PackagedBalancer) -> None:
    balancer.start()
    held = status(balancer.main_pid())
    assert [held[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [NET_ADMIN] * 5


def test_command_of_the_user_holds_no_capability_and_can_ping(balancer: PackagedBalancer) -> None:
    balancer.start()
    seen = balancer.seen()
    assert [seen[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Amb")] == [NONE] * 4
    assert seen["Ping"] == "ok"


def test_exabgp_of_the_user_holds_no_capability(balancer: PackagedBalancer) -> None:
    balancer.start()
    held = status(balancer.exabgp())
    assert [held[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Amb")] == [NONE] * 4


def test_systemctl_reload_works_for_the_user(balancer: PackagedBalancer) -> None:
    balancer.start()
    balancer.configure(scheduler="mh")
    balancer.systemctl("reload")
    assert "-s mh" in table()
    balancer.configure()
    balancer.systemctl("reload")


def test_killed_daemon_of_the_user_adopts_the_table(balancer: PackagedBalancer) -> None:
    balancer.start()
    before, killed = table(), balancer.main_pid()
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: not balancer.routed(), balancer.log)
    balancer.wait(lambda: balancer.main_pid() not in (0, killed) and balancer.healthy(), "healthy")
    assert table() == before


@contextmanager
def with_options(*lines: str) -> Iterator[None]:
    """Add a drop-in to the unit, with a name later than ``user.conf``."""
    (DROP_INS / "z.conf").write_text("\n".join(["[Service]", *lines, ""]))
    run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        (DROP_INS / "z.conf").unlink()
        run("systemctl", "daemon-reload")


def test_drop_in_gives_the_user_a_capability_back(balancer: PackagedBalancer) -> None:
    balancer.systemctl("stop")
    both = ("AmbientCapabilities=CAP_NET_BIND_SERVICE", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE")
    balancer.configure(general="bgp-local-ips = ['10.0.0.1']")
    try:
        with with_options(*both):
            balancer.start()
            assert "10.0.0.1:179" in run("ss", "--listening", "--tcp", "--numeric")
            assert status(balancer.exabgp())["CapEff"] == f"{1 << 10:016x}"
            balancer.systemctl("stop")
    finally:
        balancer.configure()


def test_password_of_bgp_is_read_from_a_credential(balancer: PackagedBalancer) -> None:
    run("chmod", "600", "/etc/pybal/bgp.md5")
    run("chown", "root:root", "/etc/pybal/bgp.md5")
    balancer.systemctl("stop")
    balancer.configure(password="/run/credentials/pybal.service/bgp.md5")
    try:
        with with_options("LoadCredential=bgp.md5:/etc/pybal/bgp.md5"):
            balancer.start()
            assert balancer.routed()
            balancer.systemctl("stop")
    finally:
        run("chgrp", "pybal", "/etc/pybal/bgp.md5")
        run("chmod", "640", "/etc/pybal/bgp.md5")
        balancer.configure()


def test_password_of_etcd_is_read_from_a_credential(balancer: PackagedBalancer) -> None:
    seen: list[bytes] = []

    class Etcd(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")))
            self.send_error(503)

    with http.server.ThreadingHTTPServer(("10.0.0.1", 2379), Etcd) as server:
        threading.Thread(target=server.serve_forever).start()
        (ETC / "etcd-password").write_text("pass-Word\n")
        (ETC / "etcd-password").chmod(0o600)
        more = (
            "\n[third]\nport = 81\nconfig = etcd://10.0.0.1:2379/conftool/v1/pools/dc/cluster/third/\n"
            "\n[etcd 10.0.0.1:2379]\ntls = no\nuser = pybal\npassword-file = /run/credentials/pybal.service/etcd\n"
        )
        balancer.systemctl("stop")
        balancer.configure(more=more)
        try:
            with with_options("LoadCredential=etcd:/etc/pybal/etcd-password"):
                run("systemctl", "start", "--no-block", UNIT)
                balancer.wait(lambda: b"pybal:pass-Word" in seen, "a request with the password")
                balancer.systemctl("stop")
        finally:
            balancer.configure()
            server.shutdown()


def test_root_takes_the_files_of_the_user_over(balancer: PackagedBalancer) -> None:
    balancer.start()
    balancer.become_root()
    balancer.systemctl("restart")
    balancer.wait(balancer.healthy, "healthy")
    assert run("stat", "--format=%U", f"/proc/{balancer.main_pid()}") == "root\n"
    assert "Permission denied" not in balancer.get("/v1/alerts")
