"""Reload: what is refused and changes nothing, in which order the rest is done, and what goes on."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure

from pybal.config.errors import ConfigError, Problem
from pybal.config.settings import IPVSSettings, ServiceSettings, Settings
from pybal.ipvs.model import key_of
from pybal.ipvs.render import operation
from pybal.reload.plan import Outcome, Verb
from tests.harness.fake_services import BOTH, FETCH, IDLE, ONE, TWO, DaemonOnClock, web

TOO_MUCH = "wanted at most 0.5 of them (max-blast-radius); pybal reload --force, or a restart, would do it"
AT_ONCE = IPVSSettings(remove_grace=0.0)
WEB, OTHER, THIRD = web(), web("other", "192.0.2.2"), web("third", "192.0.2.3")


def of(services: tuple[ServiceSettings, ...], **more: Any) -> Settings:
    """Return settings by which what goes is deleted at once."""
    return Settings(services, ipvs=AT_ONCE, **more)


@pytest.fixture
def daemon() -> DaemonOnClock:
    return started(WEB, OTHER)


def started(*services: ServiceSettings) -> DaemonOnClock:
    """Return a daemon in which all servers of these services are up and pooled."""
    daemon = DaemonOnClock(Settings(services, ipvs=AT_ONCE))
    daemon.list_all(ONE, TWO, BOTH)
    daemon.report_all()
    daemon.backend.ops.clear()
    daemon.events.clear()
    return daemon


def pooled(daemon: DaemonOnClock, name: str) -> int:
    return sum(server.pooled for server in daemon.services[name].controller.pool.servers.values())


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            (
                ConfigError((Problem("pybal.conf", 7, "web", "port", "'x'", "a number"),), ()),
                "pybal.conf:7: [web] port: found 'x', wanted a number",
            ),
            (of((WEB, OTHER), dry_run=True), "dry-run no -> yes needs a restart"),
            (of((WEB, OTHER), control_group="root"), "control-group none -> root needs a restart"),
            (
                of(()),
                f"would remove 2 of 2 services, {TOO_MUCH}",
            ),
        ],
        ids=["file", "dry-run", "control-group", "blast-radius"],
    )
    def test_it_changes_nothing_and_says_why(
        self, daemon: DaemonOnClock, change: Settings | ConfigError, problem: str
    ) -> None:
        table, loaded = daemon.backend.table(), daemon.reloader.settings
        with capturedLogs() as logs:
            outcome = daemon.reload(change)
        assert (outcome.accepted, outcome.problems) == (False, (problem,))
        assert [formatEvent(log) for log in logs if log["log_level"] is LogLevel.error] == [
            f"reload refused, nothing changed: {problem}"
        ]
        assert (daemon.backend.table(), daemon.events, daemon.reloader.settings) == (table, [], loaded)
        configuration = daemon.reloader.configuration
        assert (configuration.last, configuration.refused, configuration.changed) == (outcome, 1, True)

    def test_a_file_that_cannot_be_read(self, daemon: DaemonOnClock) -> None:
        daemon.unreadable = FileNotFoundError(errno.ENOENT, "No such file or directory")
        outcome = daemon.reload(of(()))
        assert outcome.problems == ("/etc/pybal/pybal.conf: No such file or directory",)

    def test_while_frozen(self, daemon: DaemonOnClock) -> None:
        daemon.blocker = "frozen for another 312 s by root: new switch"
        assert daemon.reload(of((WEB,))).problems == ("frozen for another 312 s by root: new switch",)
        assert (daemon.operations, len(daemon.services)) == ([], 2)

    def test_what_cannot_be_made_is_a_bug_that_changes_nothing(self, daemon: DaemonOnClock) -> None:
        daemon.broken = RuntimeError("no")
        outcome = daemon.reload(of((replace(WEB, line=3), THIRD)), force=True)
        assert outcome.problems == ("could not be prepared: RuntimeError('no')",)
        assert (daemon.operations, daemon.events, len(daemon.services)) == ([], [], 2)

    def test_the_next_one_may_be_accepted(self, daemon: DaemonOnClock) -> None:
        daemon.reload(of(()))
        assert daemon.reload(of((WEB, OTHER, THIRD))).accepted
        configuration = daemon.reloader.configuration
        assert (configuration.accepted, configuration.refused, configuration.changed) == (1, 1, False)


class TestBlastRadius:
    def test_as_much_as_is_allowed_may_go(self, daemon: DaemonOnClock) -> None:
        assert daemon.reload(of((WEB,))).accepted

    def test_what_is_forced_is_done(self, daemon: DaemonOnClock) -> None:
        assert daemon.reload(of(()), force=True).accepted
        assert daemon.backend.table() == {}

    def test_many_servers_of_few_services_are_too_much_too(self) -> None:
        small = web("small", "192.0.2.5", source=TWO), web("tiny", "192.0.2.6", source="file:///pools/none")
        daemon = started(WEB, *small)
        assert daemon.reload(Settings(small)).problems == (f"would remove 4 of 7 pooled servers, {TOO_MUCH}",)

    def test_what_counts_is_what_was_allowed_before(self, daemon: DaemonOnClock) -> None:
        assert not daemon.reload(of((), max_blast_radius=1.0)).accepted


class TestChange:
    def test_another_scheduler_is_one_operation(self, daemon: DaemonOnClock) -> None:
        changed = replace(WEB, service=replace(WEB.service, scheduler="mh", scheduler_flags=("mh-port",)))
        assert daemon.reload(of((changed, OTHER))).accepted
        assert daemon.operations == ["-E -t 192.0.2.1:80 -s mh -b mh-port"]
        assert daemon.events == []

    def test_a_threshold_that_keeps_more_brings_who_is_down_back(self) -> None:
        daemon = started(WEB)
        daemon.report_all("10.0.0.1", "10.0.0.2")
        assert pooled(daemon, "web") == 2
        assert daemon.reload(of((replace(WEB, service=replace(WEB.service, depool_threshold=0.75)),))).accepted
        assert daemon.operations[-1:] == ["-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 10"]
        assert pooled(daemon, "web") == 3

    def test_another_option_of_a_monitor_begins_that_monitor_anew_and_no_other(self) -> None:
        daemon = started(web(monitors=(FETCH, IDLE)))
        assert daemon.reload(of((web(monitors=(FETCH, replace(IDLE, max_delay=7.0))),))).accepted
        assert {(event, kind) for event, _, kind in daemon.events} == {
            ("start", "IdleConnection"),
            ("stop", "IdleConnection"),
        }
        assert len(daemon.events) == 8
        assert daemon.operations == []

    @pytest.mark.parametrize("changed", [web("www"), web(share_checks=True)], ids=["name", "share-checks"])
    def test_what_has_the_name_of_the_service_in_it_begins_anew_and_nobody_leaves(
        self, changed: ServiceSettings
    ) -> None:
        daemon = started(WEB)
        assert daemon.reload(of((changed,))).accepted
        assert sorted(event for event, _, _ in daemon.events) == ["start"] * 4 + ["stop"] * 4
        assert (daemon.operations, pooled(daemon, changed.service.name)) == ([], 4)

    def test_two_services_can_swap_their_names(self, daemon: DaemonOnClock) -> None:
        assert daemon.reload(of((web("other"), web("web", "192.0.2.2")))).accepted
        assert daemon.operations == []
        assert [str(running.settings.service.vip) for running in daemon.services] == ["192.0.2.1", "192.0.2.2"]
        assert str(daemon.services["web"].controller.pool.service.vip) == "192.0.2.2"

    def test_without_a_tunnel_servers_of_the_other_family_leave_and_with_it_they_return(self) -> None:
        daemon = started(web(source=BOTH, tunneling=True))
        outcome = daemon.reload(of((web(source=BOTH),)))
        assert outcome.plan
        assert daemon.operations == ["-e -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 10", "-d -t 192.0.2.1:80 -r [fd00::1]:80"]
        assert [operation(op) for op in outcome.plan.ops] == daemon.operations
        assert ("stop", "fd00::1", "ProxyFetch") in daemon.events
        daemon.reload(of((web(source=BOTH, tunneling=True),)))
        daemon.report_all()
        assert daemon.operations[-1] == "-a -t 192.0.2.1:80 -r [fd00::1]:80 -i -w 10 --tun-type ipip"

    def test_another_source_takes_over_with_its_first_list(self) -> None:
        daemon = started(WEB)
        (former,) = daemon.sources
        assert daemon.reload(of((web(source=TWO),))).accepted
        assert (former.running, daemon.operations, pooled(daemon, "web")) == (True, [], 4)
        daemon.list_all(TWO)
        assert not former.running
        assert daemon.operations == [
            "-e -t 192.0.2.1:80 -r 10.0.0.3:80 -g -w 20",
            "-e -t 192.0.2.1:80 -r 10.0.0.4:80 -g -w 20",
            "-d -t 192.0.2.1:80 -r 10.0.0.1:80",
            "-d -t 192.0.2.1:80 -r 10.0.0.2:80",
        ]

    def test_a_source_that_never_spoke_is_replaced_by_the_next_one(self) -> None:
        daemon = started(WEB)
        daemon.reload(of((web(source=TWO),)))
        daemon.reload(of((web(source="file:///pools/three"),)))
        assert [source.running for source in daemon.sources] == [True, False, True]
        daemon.reload(of((WEB,)))
        assert [source.running for source in daemon.sources] == [True, False, False, True]


class TestComingAndGoing:
    def test_a_service_enters_the_kernel_with_its_first_list(self, daemon: DaemonOnClock) -> None:
        outcome = daemon.reload(of((WEB, THIRD, OTHER)))
        assert outcome.plan
        assert [step.verb for step in outcome.plan.steps] == [Verb.KEEP, Verb.ADD, Verb.KEEP]
        assert daemon.operations == []
        daemon.list_all(ONE)
        daemon.report_all()
        assert daemon.operations[0] == "-A -t 192.0.2.3:80 -s wrr"
        assert [running.settings.service.name for running in daemon.services] == ["web", "third", "other"]

    def test_a_service_leaves_with_its_servers_and_its_checks_end(self, daemon: DaemonOnClock) -> None:
        assert daemon.reload(of((OTHER,))).accepted
        assert daemon.operations == ["-D -t 192.0.2.1:80"]
        assert {event for event, _, _ in daemon.events} == {"stop"}
        assert not daemon.reconciler.owns(key_of(WEB.service))

    def test_a_service_that_goes_is_drained_first(self) -> None:
        daemon = DaemonOnClock(Settings((WEB, OTHER)))
        daemon.list_all(ONE)
        daemon.report_all()
        outcome = daemon.reload(Settings((OTHER,)))
        assert outcome.plan
        assert daemon.operations == [f"-e -t 192.0.2.1:80 -r 10.0.0.{n}:80 -g -w 0" for n in (1, 2, 3, 4)]
        assert [op.command.name for op in outcome.plan.steps[-1].later] == ["DELETE_SERVICE"]
        daemon.clock.advance(30)
        daemon.turn()
        assert daemon.operations[4:] == ["-D -t 192.0.2.1:80"]

    def test_one_at_another_vip_is_there_before_the_old_one_goes(self, daemon: DaemonOnClock) -> None:
        moved = web(vip="192.0.2.9")
        daemon.settings = of((moved, OTHER))
        done = Deferred.fromCoroutine(daemon.reloader.reload())
        daemon.clock.pump([0.01] * 100)
        assert (daemon.operations, done.called) == ([], False)
        daemon.list_all(ONE)
        daemon.report_all()
        daemon.clock.pump([0.01] * 10)
        assert daemon.operations[0] == "-A -t 192.0.2.9:80 -s wrr"
        assert daemon.operations[-1] == "-D -t 192.0.2.1:80"
        assert done.called

    def test_one_at_another_vip_that_never_comes_is_not_waited_for_for_ever(self, daemon: DaemonOnClock) -> None:
        assert daemon.reload(of((web(vip="192.0.2.9", source=TWO), OTHER))).accepted
        assert daemon.operations == ["-D -t 192.0.2.1:80"]


def test_however_often_it_is_asked_for_before_it_begins_it_is_one(daemon: DaemonOnClock) -> None:
    for _ in range(5):
        daemon.reloader.ask()
    daemon.turn()
    assert daemon.reloader.configuration.accepted == 1
    daemon.reloader.ask()
    daemon.turn()
    assert daemon.reloader.configuration.accepted == 2


def test_one_that_is_asked_for_during_another_comes_after_it_and_reads_the_file_anew(daemon: DaemonOnClock) -> None:
    daemon.settings = of((web(vip="192.0.2.9", source=TWO), OTHER))
    daemon.reloader.ask()
    daemon.turn()
    daemon.settings = of((web(vip="192.0.2.9", source=TWO), OTHER, THIRD))
    daemon.reloader.ask()
    daemon.clock.pump([0.05] * 120)
    assert daemon.reloader.configuration.accepted == 2
    assert [running.settings.service.name for running in daemon.services] == ["web", "other", "third"]


def test_a_daemon_that_stops_reloads_no_further(daemon: DaemonOnClock) -> None:
    daemon.settings = of((web(vip="192.0.2.9"), OTHER))
    outcomes: list[Outcome | Failure] = []
    Deferred.fromCoroutine(daemon.reloader.reload()).addBoth(outcomes.append)
    daemon.clock.advance(0.01)
    daemon.reloader.stop()
    daemon.clock.pump([0.05] * 3)
    (outcome,) = outcomes
    assert isinstance(outcome, Failure)
    assert outcome.check(CancelledError)
    assert daemon.operations == []
