"""Commands that read the state, over the control socket and over HTTP."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.control.conftest import HOSTS
from tests.harness.daemon_process import Daemon, Deployment, run_pybal, wait_for


def test_reading_commands_agree_over_socket_and_http(deployment: Deployment, running: Daemon) -> None:
    deployment.servers[HOSTS[0]].stop()
    running.wait(lambda: running.get("/pools/web").count("/up/pooled") == 2, "the dead server found")
    url = ("--url", deployment.endpoint)
    for command in (["pools"], ["pools", "web"], ["alerts"], ["history", "web"]):
        local, remote = deployment.pybal(*command), run_pybal(*command, *url)
        assert (local.returncode, local.stderr, remote.returncode) == (0, "", 0)
        assert _ageless(local.stdout) == _ageless(remote.stdout)
    assert deployment.pybal("pools").stdout.splitlines()[1].endswith("  2 of 3   2       0       2      1 down")
    explained = run_pybal("explain", "web", HOSTS[0], *url).stdout.splitlines()
    assert explained[0] == f"{HOSTS[0]} in web (tcp 192.0.2.1:{deployment.port}) is not pooled: down."
    assert any(line.endswith(": connect: refused") for line in explained)
    assert explained[-1].startswith("It returns when it is up: ProxyFetch: one passed check brings it up, next check")
    assert deployment.document("explain", "web", HOSTS[0])["monitors"][0]["up"] is False
    assert run_pybal("status", *url).stdout.splitlines()[1].split()[0] == "SERVICE"
    assert json.loads(run_pybal("status", "--json", *url).stdout)["process"] == running.process.pid


def _ageless(text: str) -> str:
    """Return an output without its ages, which go on between two commands."""
    return re.sub(r"\b\d+ (ms|s|min)\b", "AGE", text)


def test_reading_commands_work_while_frozen(deployment: Deployment, running: Daemon) -> None:
    deployment.pybal("freeze", "--reason", "new switch")
    explained = deployment.pybal("explain", "web")
    assert "frozen for another " in explained.stdout
    for command in (["status"], ["pools"], ["explain", "web", HOSTS[0]], ["alerts"], ["history", "web", HOSTS[0]]):
        assert deployment.pybal(*command).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["pools", "wbe"], "unknown service 'wbe' (did you mean web?)"),
        (["explain", "text"], "unknown service 'text' (use one of web)"),
        (["history", "web", "127.0.1.33"], "web has no server '127.0.1.33' (did you mean 127.0.1.3?)"),
    ],
)
def test_reading_command_refuses_unknown_names_with_the_known(
    deployment: Deployment, running: Daemon, arguments: list[str], why: str
) -> None:
    for where in ((), ("--url", deployment.endpoint)):
        done = deployment.pybal(*arguments, *where)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"pybal: {why}\n")


def test_status_check_exits_as_icinga_wants(deployment: Deployment, running: Daemon) -> None:
    done = deployment.pybal("status", "--check")
    assert (done.returncode, done.stdout) == (0, "OK - 1 service, 3 of 3 servers serve\n")
    for host in HOSTS[:2]:
        deployment.servers[host].stop()
    running.wait(lambda: "pooled-down" in running.get("/v1/alerts"), "the alert")
    done = deployment.pybal("status", "--check")
    assert done.returncode == 2
    assert done.stdout.startswith("CRITICAL - web pooled-down (1 service, ")
    assert deployment.pybal("status").returncode == 0
    running.stop()
    for where in ((), ("--url", deployment.endpoint)):
        done = deployment.pybal("status", "--check", *where)
        assert (done.returncode, done.stderr) == (3, "")
        assert done.stdout.startswith("UNKNOWN - ")
    assert deployment.pybal("status").returncode == 1


def test_watch_redraws_a_terminal_only_and_ends_with_ctrl_c(deployment: Deployment, running: Daemon) -> None:
    command = [sys.executable, "-m", "pybal.cli", "watch", "--interval", "0.2", "-c", str(deployment.conf)]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, env={**os.environ, "TERM": "xterm"}) as watching:
        os.close(theirs)
        shown = b""
        while shown.count(b"192.0.2.1") < 2:
            shown += os.read(ours, 4096)
        watching.send_signal(signal.SIGINT)
        time.sleep(0)
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:
            pass  # EIO: the other end is closed
        assert watching.wait(60) == 0
    os.close(ours)
    assert shown.startswith(b"\x1b[?1049h")
    assert shown.endswith(b"\x1b[?1049l")
    assert b"Traceback" not in shown
    log = deployment.directory / "watched"
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as watching:
        wait_for(lambda: log.read_text().count("192.0.2.1") >= 2, log.read_text)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
    assert "\x1b" not in log.read_text()
    assert "Traceback" not in log.read_text()


def test_command_ends_quietly_when_its_reader_has_ended(deployment: Deployment, running: Daemon) -> None:
    command = f"{sys.executable} -m pybal.cli watch --interval 0.2 -c {deployment.conf} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
