"""The commands depool and repool, with the daemon as a process."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack

import pytest

from pybal.control.wire import DONE, FAILED, Request, read_reply, write_request
from tests.e2e.control.conftest import HOSTS
from tests.harness.daemon_process import Daemon, Deployment, daemon

REMINDER = "this balancer only; use the pool source for all"


def test_depool_disables_a_server_until_repool(deployment: Deployment, running: Daemon) -> None:
    done = deployment.pybal("depool", "web", HOSTS[0], "--for", "10m", "--reason", "new disk")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"web: {HOSTS[0]} depooled by ")
    assert done.stdout.splitlines()[0].endswith(f": new disk; {REMINDER}")
    assert running.get(f"/pools/web/{HOSTS[0]}") == "disabled/up/not pooled\n"
    running.wait(lambda: HOSTS[0] not in running.get("/v1/ipvs"), "the server out of the table")
    assert running.get("/v1/alerts").startswith("WARNING web depooled: ")
    assert REMINDER in running.get("/v1/alerts")
    explained = deployment.pybal("explain", "web", HOSTS[0]).stdout
    assert (
        f"pooled: depooled by an operator on this balancer.\nAddress {HOSTS[0]}, weight 10, disabled on this"
        in explained
    )
    assert "new disk" in explained
    assert deployment.pybal("status", "--check").returncode == 1
    done = deployment.pybal("repool", "web", HOSTS[0], "--reason", "it is there")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"web: {HOSTS[0]} repooled; {REMINDER}")
    running.wait(lambda: HOSTS[0] in running.get("/v1/ipvs"), "the server in the table")
    assert running.get_json("/v1/alerts") == []
    assert "[control] INFO: depool duration=600.0 service=web host=127.0.1.1 by " in running.log


def test_depool_is_refused_below_the_floor_without_force(deployment: Deployment, running: Daemon) -> None:
    assert deployment.pybal("depool", "web", HOSTS[0], "--reason", "x").returncode == 0
    done = deployment.pybal("depool", "web", HOSTS[1], "--reason", "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"pybal: refused to depool {HOSTS[1]}: 1 of 3 servers of web would serve, the floor is 2"
        " (repair another server first, or use --force)\n"
    )
    assert "enabled/up/pooled" in running.get(f"/pools/web/{HOSTS[1]}")
    assert deployment.pybal("depool", "web", HOSTS[1], "--reason", "x", "--force").returncode == 0
    assert running.get(f"/pools/web/{HOSTS[1]}") == "disabled/up/not pooled\n"
    deployment.servers[HOSTS[2]].stop()
    running.wait(lambda: "/down/" in running.get(f"/pools/web/{HOSTS[2]}"), "the last server down")
    assert running.get("/v1/ipvs").count("\n-a") == 1


def test_simultaneous_depools_keep_the_floor(deployment: Deployment, running: Daemon) -> None:
    running.process.send_signal(signal.SIGSTOP)
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in HOSTS]
        for client, host in zip(clients, HOSTS, strict=True):
            client.connect(str(deployment.directory / "control.sock"))
            client.sendall(write_request(Request("depool", {"service": "web", "host": host}, "x")))
        running.process.send_signal(signal.SIGCONT)
        replies = [read_reply(stack.enter_context(client.makefile("rb")).readline()) for client in clients]
    assert sorted(reply.exit for reply in replies) == [DONE, FAILED, FAILED]
    assert running.get("/v1/ipvs").count("\n-a") == 2


def test_override_survives_a_restart(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(deployment.directory))
    for restarted in (False, True):
        with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
            running.wait(lambda: running.get("/pools/web").count("/up/pooled") >= 2, "two servers pooled")
            if restarted:
                assert running.get(f"/pools/web/{HOSTS[0]}").startswith("disabled/")
                assert "depooled" in running.get("/v1/alerts")
            else:
                document = deployment.document("depool", "web", HOSTS[0], "--reason", "new disk")
                assert (document["kept"], document["depooled"]) == (True, True)
            assert running.stop() == 0


def test_override_ends_after_its_time(deployment: Deployment, running: Daemon) -> None:
    done = deployment.pybal("depool", "web", HOSTS[0], "--for", "1s", "--reason", "a moment")
    assert "warning: a restart ends it (set StateDirectory= in the systemd unit)" in done.stdout
    running.wait_for_log("127.0.1.1 of web: the override of ")
    running.wait(lambda: "enabled/up/pooled" in running.get(f"/pools/web/{HOSTS[0]}"), "the server back")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["depool", "wbe", "a", "--reason", "x"], "unknown service 'wbe' (use a name that `pybal pools` shows)"),
        (["depool", "web", "a", "--reason", "x"], "web has no server 'a' (use a host that `pybal pools web` shows)"),
        (
            ["repool", "web", HOSTS[0]],
            "is not depooled on this balancer; it is pooled: up (repool only ends `pybal depool`)",
        ),
        (["depool", "web", HOSTS[0]], "the following arguments are required: --reason"),
        (["depool", "web", HOSTS[0], "--reason", "x", "--for", "25h"], "(use 90, 10m or 1h, at most 24h)"),
    ],
)
def test_depool_refusals_name_what_to_do(
    deployment: Deployment, running: Daemon, arguments: list[str], why: str
) -> None:
    done = deployment.pybal(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr
