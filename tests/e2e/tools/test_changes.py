"""The conclusions of users' tools while the state of a balancer changes: one daemon for each test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.certificates import Authority
from tests.harness.daemon_process import Daemon
from tests.harness.servers.etcd import Etcd, etcd
from tests.harness.tools.balancer import Balancer
from tests.harness.tools.check_pybal import check_pybal
from tests.harness.tools.nagios import CRITICAL, OK, WARNING, Verdict
from tests.harness.tools.safe_service_restart import NOT_VERIFIED, SafeServiceRestart

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to replace the hosts file")

HOSTS = {name: [f"127.2.0.{number}"] for number, name in enumerate(("a", "b", "c"), 1)}
UP, FORCED = "enabled/up/pooled", "enabled/down/pooled"
ALL_UP = dict.fromkeys(HOSTS, UP)
WEB = "[web]\nip = 192.0.2.1\n"
HEALTHY = Verdict(OK, "PYBAL OK - OK - All pools are healthy")
SAME = Verdict(OK, "OK: no difference")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    directory = tmp_path_factory.mktemp("etcd")
    made = etcd(directory, authority=Authority(directory))
    with made.server:
        yield made


@pytest.fixture
def balancer(source: Etcd, tmp_path: Path) -> Iterator[Balancer]:
    """The balancer with the pool ``web``, whose daemon does not run yet."""
    made = Balancer(tmp_path, source, HOSTS)
    made.configure(WEB)
    for host in HOSTS:
        made.put("web", host, "yes")
    yield made
    made.stop()


@pytest.fixture
def running(balancer: Balancer) -> Iterator[Daemon]:
    with balancer.started() as running:
        balancer.shows("web", ALL_UP)
        yield running


def test_checks_follow_a_pool_to_its_floor_and_back(balancer: Balancer, running: Daemon) -> None:
    assert (balancer.check_pybal(), balancer.check_ipvs_diff()) == (HEALTHY, SAME)
    balancer.fail("c")
    balancer.shows("web", ALL_UP | {"c": "enabled/down/not pooled"})
    assert (balancer.check_pybal(), balancer.check_ipvs_diff()) == (HEALTHY, SAME)
    balancer.fail("b")
    balancer.shows("web", ALL_UP | {"b": FORCED, "c": "enabled/down/not pooled"})
    critical = "PYBAL CRITICAL - CRITICAL - web: Servers b are marked down but pooled"
    assert (balancer.check_pybal(), balancer.check_ipvs_diff()) == (Verdict(CRITICAL, critical), SAME)
    balancer.fail("b", "c", status=200)
    balancer.shows("web", ALL_UP)
    assert (balancer.check_pybal(), balancer.check_ipvs_diff()) == (HEALTHY, SAME)


def test_check_pybal_warns_of_a_pool_that_is_too_small(balancer: Balancer) -> None:
    balancer.configure(f"{WEB}depool-threshold = 0.9\n")
    with balancer.started():
        balancer.shows("web", ALL_UP)
        small = "PYBAL WARNING - WARNING - Pool web is too small to allow depooling. "
        assert balancer.check_pybal() == Verdict(WARNING, small)


def test_check_is_critical_while_a_restart_goes_below_the_floor(balancer: Balancer, running: Daemon) -> None:
    """The values of the pool source apply, as in PyBal 1.15."""
    balancer.fail("c")
    balancer.shows("web", ALL_UP | {"c": "enabled/down/not pooled"})
    run = balancer.restart("web", "a")
    assert (run.log, run.served_by, run.still_in_table) == (["confirmed", "confirmed"], ["b"], False)
    critical = "PYBAL CRITICAL - CRITICAL - web: Servers c are marked down but pooled"
    assert run.checked == Verdict(CRITICAL, critical)
    assert balancer.check_pybal() == HEALTHY


def test_safe_restart_is_refused_below_the_admin_floor(balancer: Balancer) -> None:
    balancer.configure(f"{WEB}admin-floor = 3\n")
    with balancer.started() as running:
        balancer.shows("web", ALL_UP)
        run = balancer.restart("web", "a", applies=False)
        assert (run.code, run.served_by, run.source) == (NOT_VERIFIED, None, "no")
        assert running.get("/pools/web/a") == "enabled/up/pooled\n"


def test_safe_restart_is_refused_while_frozen(balancer: Balancer, running: Daemon) -> None:
    """A freeze suspends changes of IPVS: a server that the source depools still gets connections."""
    balancer.pybal("freeze", "--reason", "test")
    run = balancer.restart("web", "a")
    assert (run.code, run.served_by, run.source) == (NOT_VERIFIED, None, "no")
    assert balancer.in_table("web").keys() == {"a", "b", "c"}
    assert running.get("/pools/web/a") == "disabled/up/pooled\n"
    assert balancer.check_ipvs_diff() == Verdict(CRITICAL, "CRITICAL: hosts only in IPVS: a")
    balancer.pybal("thaw", "--reason", "test")
    running.wait(lambda: running.get("/pools/web/a") == "disabled/up/not pooled\n", "the server depooled")
    assert (balancer.restart("web", "a").log, balancer.check_ipvs_diff()) == (["confirmed", "confirmed"], SAME)


def test_safe_restart_does_not_confirm_an_overridden_server(balancer: Balancer, running: Daemon) -> None:
    balancer.pybal("depool", "web", "a", "--reason", "test")
    run = balancer.restart("web", "a", applies=False)
    assert (run.code, run.log, run.still_in_table) == (NOT_VERIFIED, ["confirmed"], False)
    assert balancer.check_ipvs_diff() == SAME
    balancer.pybal("repool", "web", "a", "--reason", "test")
    balancer.shows("web", ALL_UP)
    assert balancer.restart("web", "a").log == ["confirmed", "confirmed"]


def test_tools_work_after_a_refused_reload(balancer: Balancer, running: Daemon) -> None:
    balancer.configure(f"{WEB}port = http\n")
    assert not running.reload()["accepted"]
    assert balancer.restart("web", "a").log == ["confirmed", "confirmed"]
    assert balancer.check_pybal() == HEALTHY


def test_safe_restart_skips_a_removed_service(balancer: Balancer, running: Daemon) -> None:
    other = "[other]\nip = 192.0.2.2\nmonitors = []\n"
    balancer.put("other", "a", "yes")
    balancer.configure(WEB + other)
    assert running.reload()["accepted"]
    balancer.shows("other", {"a": UP})
    assert balancer.check_ipvs_diff() == SAME
    balancer.configure(other)
    balancer.pybal("reload", "--force")
    run = balancer.restart("web", "a")
    assert (run.log, run.served_by) == (["status 404"] * 2, [])
    assert balancer.in_table("web") == dict.fromkeys(HOSTS, 0)
    drained = f"192.0.2.1:{balancer.port}"
    assert balancer.check_ipvs_diff().line.startswith(
        f"CRITICAL: services only in IPVS: {drained}; hosts only in IPVS: b, c"
    )


def test_tools_refuse_to_go_on_without_the_daemon(balancer: Balancer, running: Daemon) -> None:
    assert running.stop() == 0
    run = balancer.restart("web", "a")
    assert (run.code, run.served_by, run.source) == (NOT_VERIFIED, None, "no")
    assert (balancer.check_pybal().code, balancer.check_ipvs_diff().code) == (CRITICAL, WARNING)


def test_tools_meet_a_daemon_that_hangs(balancer: Balancer, running: Daemon) -> None:
    """safe-service-restart goes on after a timeout: hence the watchdog of systemd."""
    running.process.send_signal(signal.SIGSTOP)
    urls = [f"{balancer.url}/pools/web/a"]
    tool = SafeServiceRestart(urls, lambda: True, lambda _: None, lambda: 0, timeout=0.5)
    assert (tool.run(), tool.log) == (0, ["no response in time"] * 2)
    assert check_pybal(balancer.url, timeout=0.5).code == CRITICAL
    running.process.send_signal(signal.SIGCONT)
    assert balancer.restart("web", "a").log == ["confirmed", "confirmed"]
