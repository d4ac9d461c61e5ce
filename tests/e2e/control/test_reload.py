"""The commands plan and reload, with the daemon as a process."""

from __future__ import annotations

import os

import pytest

from tests.e2e.control.conftest import CONF
from tests.harness.daemon_process import Daemon, Deployment

SECOND = """
[second]
protocol = tcp
ip = 192.0.2.2
port = {port}
scheduler = wrr
config = file://{directory}/web.pool
monitors = []
"""


def test_plan_of_the_daemons_file_equals_the_next_reload(deployment: Deployment, running: Daemon) -> None:
    done = deployment.pybal("plan", named=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{deployment.conf}:\nnothing to do\n1 of 1 services unchanged\n"
    deployment.configure(CONF.replace("scheduler = wrr", "scheduler = rr") + SECOND)
    table = running.get("/v1/ipvs")
    done = deployment.pybal("plan", named=False)
    assert done.returncode == 2
    assert f"-E -t 192.0.2.1:{deployment.port} -s rr" in done.stdout
    assert "\n+ service second" in done.stdout
    assert running.get("/v1/ipvs") == table
    planned = done.stdout.splitlines()[1:]
    done = deployment.pybal("reload", "--reason", "ticket 7")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"reloaded {deployment.conf}", *planned]
    running.wait(lambda: f"-A -t 192.0.2.2:{deployment.port} -s wrr" in running.get("/v1/ipvs"), "the second service")
    assert deployment.pybal("plan", named=False).returncode == 0
    assert "[control] INFO: reload by " in running.log
    assert "): ticket 7\n" in running.log


def test_plan_of_another_file_changes_nothing(deployment: Deployment, running: Daemon) -> None:
    ours = deployment.conf.read_bytes()
    draft = deployment.directory / "draft.conf"
    deployment.configure(CONF + SECOND)
    deployment.conf.rename(draft)
    deployment.conf.write_bytes(ours + b"# \xff is not UTF-8\n")
    done = deployment.pybal("plan", "-c", str(draft), named=False)
    assert (done.returncode, done.stdout.splitlines()[:2]) == (2, [f"{draft}:", "+ service second"])
    document = deployment.document("plan", "-c", str(draft))
    assert [service["step"] for service in document["plan"]["services"]] == ["keep", "add"]
    assert deployment.pybal("plan").returncode == 0
    assert deployment.pybal("reload").returncode == 0
    assert "192.0.2.2" not in running.get("/v1/ipvs")


SECRETS_IN_PIPES = """
[second]
protocol = tcp
ip = 192.0.2.2
port = {port}
scheduler = wrr
config = https://pools.example.org/web
monitors = []

[http pools.example.org]
ca = {directory}/ca
token-file = {directory}/token
"""


def test_plan_opens_no_pipe_that_a_file_names(deployment: Deployment, running: Daemon) -> None:
    pipes = [deployment.directory / name for name in ("ca", "token")]
    for pipe in pipes:
        os.mkfifo(pipe)
    deployment.configure(CONF + SECRETS_IN_PIPES)
    draft = deployment.directory / "draft.conf"
    draft.write_bytes(deployment.conf.read_bytes())
    done = deployment.pybal("plan", "-c", str(draft), named=False)
    assert (done.returncode, done.stdout.splitlines()[:2]) == (2, [f"{draft}:", "+ service second"])
    # The daemon reads the files that its own configuration names, unless they are pipes.
    done = deployment.pybal("reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert "not a regular file" in done.stderr
    assert "reload refused, nothing changed" in done.stderr
    for pipe in pipes:
        with pytest.raises(OSError, match="No such device or address"):  # no process reads it
            os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    assert " loop: " not in running.get("/v1/alerts")
    assert running.get("/pools/web").count("/up/pooled") == 3


@pytest.mark.parametrize("command", ["plan", "reload"])
def test_invalid_file_is_refused_with_all_its_problems(deployment: Deployment, running: Daemon, command: str) -> None:
    deployment.configure(
        CONF.replace("protocol = tcp", "protocol = tpc").replace("scheduler = wrr", "scheduler = none")
    )
    done = deployment.pybal(command)
    assert (done.returncode, done.stdout) == (1, "")
    assert "[web] protocol: found 'tpc'" in done.stderr
    assert "[web] scheduler: found 'none'" in done.stderr
    assert ("reload refused, nothing changed" in done.stderr) is (command == "reload")


def test_reload_is_refused_when_frozen_or_without_force_for_many_removals(
    deployment: Deployment, running: Daemon
) -> None:
    deployment.configure(CONF + SECOND)
    assert deployment.pybal("reload").returncode == 0
    running.wait(lambda: "192.0.2.2" in running.get("/v1/ipvs"), "the second service")
    deployment.configure(CONF.replace("192.0.2.1", "192.0.2.3") + SECOND.replace("192.0.2.2", "192.0.2.4"))
    deployment.pybal("freeze", "--reason", "new switch")
    done = deployment.pybal("reload", "--force")
    assert done.returncode == 1
    assert ": new switch" in done.stderr
    deployment.pybal("thaw")
    done = deployment.pybal("reload")
    assert done.returncode == 1
    assert "max-blast-radius" in done.stderr
    assert deployment.pybal("plan").returncode == 2
    assert deployment.pybal("reload", "--force").returncode == 0


def test_unreadable_file_is_named(deployment: Deployment, running: Daemon) -> None:
    done = deployment.pybal(
        "plan", "-c", "/nonexistent", "--socket", str(deployment.directory / "control.sock"), named=False
    )
    assert (done.returncode, done.stderr) == (1, "pybal: /nonexistent: No such file or directory\n")
    deployment.conf.unlink()
    for command in ("plan", "reload"):
        done = deployment.pybal(command, "--socket", str(deployment.directory / "control.sock"), named=False)
        assert done.returncode == 1
        assert f"{deployment.conf}: No such file or directory" in done.stderr
