"""The commands preflight and check-config, as processes."""

from __future__ import annotations

import json

import pytest

from tests.e2e.control.conftest import CONF, HOSTS
from tests.harness.daemon_process import Daemon, Deployment, run_pybal


def test_preflight_exits_with_its_answer(deployment: Deployment, running: Daemon) -> None:
    running.wait(lambda: deployment.pybal("preflight").returncode == 0, "a balancer that is ready")
    url = ("--url", deployment.endpoint)
    done = run_pybal("preflight", *url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "yes: this balancer may take the traffic (1 service, 1 pool source; BGP is off)\n"
    for host in HOSTS[:2]:
        deployment.servers[host].stop()
    running.wait(lambda: "pooled-down" in running.get("/v1/alerts"), "the alert")
    done = deployment.pybal("preflight")
    assert done.returncode == 2
    assert "  service web: 1 of 3 servers serve, the floor is 2 (see pybal explain web)\n" in done.stdout
    assert json.loads(run_pybal("preflight", "--json", *url).stdout)["ready"] is False
    running.stop()
    done = deployment.pybal("preflight")
    assert (done.returncode, done.stdout) == (1, "")


def test_check_config_warns_of_probable_mistakes(deployment: Deployment) -> None:
    done = deployment.pybal("check-config")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "[web] proxyfetch.timeout: 5 s, longer than the interval of 0.3 s" in done.stderr
    assert done.stdout.startswith("1 service, 1 VIP, 1 pool source, ")
    deployment.configure(
        CONF
        + "scheduler = rr\nidleconnection.max-delay = 3\n[other]\nprotocol = tcp\nip = 192.0.2.9\nport = 1\nscheduler = rr\n"
        "config = file:///nonexistent/pool\n[web]\nport = 81\n"
        "[comment]\nprotocol = tcp\nip = 192.0.2.8\nport = 1\nscheduler = rr\nconfig = file:///nonexistent/pool # spare\n"
        "[slash]\nprotocol = tcp\nip = 192.0.2.7\nport = 1\nscheduler = rr\nconfig = file://nonexistent/pool\n"
    )
    (deployment.directory / "web.pool").write_text("{'host': 'a'}\n{'host': 'b', 'enabled': true}\n")
    done = deployment.pybal("check-config")
    assert done.returncode == 0
    for expected in (
        "[web] scheduler: the option a second time (first in line ",
        "[web] the section a second time (first in line ",
        "[web] port: the option a second time",
        "[web] idleconnection.max-delay: an option of a monitor that is not in use (add 'IdleConnection' to monitors",
        "[web] proxyfetch.timeout: 5 s, longer than the interval of 0.3 s",
        "[web] config: ",
        ":29: [other] config: /nonexistent/pool: cannot be read: No such file or directory",
        "(a comment begins with a semicolon). Did you mean: config = file:///nonexistent/pool ; spare\n",
        "[slash] config: nonexistent/pool: cannot be read: No such file or directory. Did you mean: config = file:///nonexistent/pool\n",
        "Did you mean: { 'host': 'b', 'enabled': True }\n",
        "[other] no monitors: every server counts as up",
    ):
        assert expected in done.stderr
    document = json.loads(deployment.pybal("check-config", "--json").stdout)
    assert (document["valid"], len(document["warnings"]) >= 8) == (True, True)


@pytest.mark.parametrize(("conf", "code"), [(CONF.replace("= tcp", "= tpc"), 2), (None, 1)])
def test_check_config_exits_as_the_option_does(deployment: Deployment, conf: str | None, code: int) -> None:
    if conf is None:
        deployment.conf.unlink()
    else:
        deployment.configure(conf)
    done = deployment.pybal("check-config")
    assert (done.returncode, done.stdout) == (code, "")
    assert str(deployment.conf) in done.stderr
    assert run_pybal("--check-config", "-c", str(deployment.conf)).returncode == code
