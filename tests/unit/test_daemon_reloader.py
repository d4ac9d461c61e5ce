"""The reloader: refusals that change nothing, the order of steps, and unchanged services."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure

from pybal.config.errors import ConfigError, Problem
from pybal.config.sensitive import NOTHING_SENSITIVE, Sensitive
from pybal.config.settings import InstrumentationSettings, IPVSSettings, ServiceSettings, Settings
from pybal.ipvs.model import key_of
from pybal.ipvs.render import operation
from pybal.reload.plan import Outcome, Verb
from pybal.sources.base import SourceError
from tests.harness.fake_services import BOTH, FETCH, IDLE, LISTS, ONE, TWO, DaemonOnClock, web
from tests.harness.notify_socket import NotifySocket

TOO_MUCH = "more than max-blast-radius = 0.5 allows (run pybal reload --force to apply it)"
NO_GRACE = IPVSSettings(remove_grace=0.0)
WEB, OTHER, THIRD = web(), web("other", "192.0.2.2"), web("third", "192.0.2.3")


def of(services: tuple[ServiceSettings, ...], **more: Any) -> Settings:
    """Return settings without a drain: removed services are deleted immediately."""
    return Settings(services, ipvs=NO_GRACE, **more)


@pytest.fixture
def daemon() -> DaemonOnClock:
    return started(WEB, OTHER)


def started(*services: ServiceSettings) -> DaemonOnClock:
    """Return a daemon with these services, all servers up and pooled."""
    daemon = DaemonOnClock(Settings(services, ipvs=NO_GRACE))
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
                "pybal.conf:7: [web] port: found 'x'; expected a number",
            ),
            (of((WEB, OTHER), dry_run=True), "dry-run no -> yes: restart pybal to apply it"),
            (of((WEB, OTHER), control_group="root"), "control-group none -> root: restart pybal to apply it"),
            (
                of(()),
                f"would remove 2 of 2 services, {TOO_MUCH}",
            ),
        ],
        ids=["file", "dry-run", "control-group", "blast-radius"],
    )
    def test_refused_reload_changes_nothing_and_logs_the_reason(
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

    def test_unreadable_file_is_refused(self, daemon: DaemonOnClock) -> None:
        daemon.unreadable = FileNotFoundError(errno.ENOENT, "No such file or directory")
        outcome = daemon.reload(of(()))
        assert outcome.problems == ("/etc/pybal/pybal.conf: No such file or directory",)

    def test_reload_is_refused_while_frozen(self, daemon: DaemonOnClock) -> None:
        daemon.blocker = "frozen for another 312 s by root: new switch"
        assert daemon.reload(of((WEB,))).problems == ("frozen for another 312 s by root: new switch",)
        assert (daemon.operations, len(daemon.services)) == ([], 2)

    def test_unsupported_settings_are_refused(self, daemon: DaemonOnClock) -> None:
        daemon.unsupported = (Problem("pybal.conf", 3, "web", "scheduler", "'best'", "a scheduler of this kernel"),)
        outcome = daemon.reload(of((WEB,)))
        assert outcome.problems == ("pybal.conf:3: [web] scheduler: found 'best'; expected a scheduler of this kernel",)
        assert (daemon.operations, len(daemon.services)) == ([], 2)

    def test_force_does_not_apply_changes_that_need_a_restart(self, daemon: DaemonOnClock) -> None:
        outcome = daemon.reload(of((WEB,), dry_run=True), force=True)
        assert outcome.problems == ("dry-run no -> yes: restart pybal to apply it",)
        assert (daemon.operations, len(daemon.services)) == ([], 2)

    def test_reload_is_refused_with_a_port_in_use(self, daemon: DaemonOnClock) -> None:
        daemon.listening.in_use = True
        outcome = daemon.reload(of((WEB,), instrumentation=InstrumentationSettings(port=9091)))
        assert outcome.problems == ("Couldn't listen on 127.0.0.1:9091: [Errno 98] Address already in use.",)
        assert (daemon.operations, len(daemon.services)) == ([], 2)

    def test_reload_is_refused_without_a_table(self, daemon: DaemonOnClock) -> None:
        daemon.backend.broken = "IPVS is gone"
        outcome = daemon.reload(of((WEB, OTHER, THIRD)))
        assert outcome.problems == ("IPVS is gone",)
        assert len(daemon.services) == 2

    def test_reload_is_refused_with_settings_that_bgp_refuses(self, daemon: DaemonOnClock) -> None:
        daemon.announcing.refusal = "cannot read bgp-password-file"
        outcome = daemon.reload(of((WEB,)))
        assert outcome.problems == ("cannot read bgp-password-file",)
        assert (daemon.announcing.reconfigured, daemon.operations, len(daemon.services)) == ([], [], 2)

    def test_refused_reload_has_its_plan_and_logs_its_warnings(self, daemon: DaemonOnClock) -> None:
        daemon.warnings = (Problem("pybal.conf", 3, "web", "bgp", "unused", ""),)
        with capturedLogs() as logs:
            outcome = daemon.reload(of(()))
        assert outcome.plan
        assert [step.verb for step in outcome.plan.steps] == [Verb.REMOVE, Verb.REMOVE]
        assert [formatEvent(log) for log in logs if log["log_level"] is LogLevel.warn] == list(outcome.warnings)
        assert outcome.warnings == ("pybal.conf:3: [web] bgp: unused",)

    def test_exception_while_preparing_changes_nothing(self, daemon: DaemonOnClock) -> None:
        daemon.broken = RuntimeError("no")
        outcome = daemon.reload(of((replace(WEB, line=3), THIRD)), force=True)
        assert outcome.problems == ("internal error: RuntimeError('no')",)
        assert (daemon.operations, daemon.events, len(daemon.services)) == ([], [], 2)

    def test_exception_while_reading_changes_nothing(self, daemon: DaemonOnClock) -> None:
        daemon.unreadable = SystemError("bad argument to internal function")
        daemon.reloader.request()
        daemon.turn()
        outcome = daemon.reloader.configuration.last
        assert outcome is not None
        assert outcome.problems == ("internal error: SystemError('bad argument to internal function')",)
        assert (daemon.operations, daemon.events, len(daemon.services)) == ([], [], 2)

    def test_next_reload_is_accepted_after_a_refused_one(self, daemon: DaemonOnClock) -> None:
        daemon.reload(of(()))
        assert daemon.reload(of((WEB, OTHER, THIRD))).accepted
        configuration = daemon.reloader.configuration
        assert (configuration.accepted, configuration.refused, configuration.changed) == (1, 1, False)


class TestBlastRadius:
    def test_removals_up_to_the_limit_are_accepted(self, daemon: DaemonOnClock) -> None:
        assert daemon.reload(of((WEB,))).accepted

    def test_force_ignores_the_limit(self, daemon: DaemonOnClock) -> None:
        assert daemon.reload(of(()), force=True).accepted
        assert daemon.backend.table() == {}

    def test_limit_counts_servers_as_well_as_services(self) -> None:
        small = web("small", "192.0.2.5", source=TWO), web("tiny", "192.0.2.6", source="file:///pools/none")
        daemon = started(WEB, *small)
        assert daemon.reload(Settings(small)).problems == (f"would remove 4 of 7 pooled servers, {TOO_MUCH}",)

    def test_limit_in_use_before_the_reload_counts(self, daemon: DaemonOnClock) -> None:
        assert not daemon.reload(of((), max_blast_radius=1.0)).accepted


class TestChange:
    def test_changed_scheduler_is_one_operation(self, daemon: DaemonOnClock) -> None:
        changed = replace(WEB, service=replace(WEB.service, scheduler="mh", scheduler_flags=("mh-port",)))
        assert daemon.reload(of((changed, OTHER))).accepted
        assert daemon.operations == ["-E -t 192.0.2.1:80 -s mh -b mh-port"]
        assert daemon.events == []

    def test_higher_threshold_pools_down_servers_again(self) -> None:
        daemon = started(WEB)
        daemon.report_all("10.0.0.1", "10.0.0.2")
        assert pooled(daemon, "web") == 2
        assert daemon.reload(of((replace(WEB, service=replace(WEB.service, depool_threshold=0.75)),))).accepted
        assert daemon.operations[-1:] == ["-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 10"]
        assert pooled(daemon, "web") == 3

    def test_changed_monitor_option_restarts_that_monitor_only(self) -> None:
        daemon = started(web(monitors=(FETCH, IDLE)))
        assert daemon.reload(of((web(monitors=(FETCH, replace(IDLE, max_delay=7.0))),))).accepted
        assert {(event, kind) for event, _, kind in daemon.events} == {
            ("start", "IdleConnection"),
            ("stop", "IdleConnection"),
        }
        assert len(daemon.events) == 8
        assert daemon.operations == []

    @pytest.mark.parametrize("changed", [web("www"), web(share_checks=True)], ids=["name", "share-checks"])
    def test_monitors_restart_and_no_server_leaves_when_the_name_changes(self, changed: ServiceSettings) -> None:
        daemon = started(WEB)
        assert daemon.reload(of((changed,))).accepted
        assert sorted(event for event, _, _ in daemon.events) == ["start"] * 4 + ["stop"] * 4
        assert (daemon.operations, pooled(daemon, changed.service.name)) == ([], 4)

    def test_services_can_swap_their_names(self, daemon: DaemonOnClock) -> None:
        assert daemon.reload(of((web("other"), web("web", "192.0.2.2")))).accepted
        assert daemon.operations == []
        assert [str(running.settings.service.vip) for running in daemon.services] == ["192.0.2.1", "192.0.2.2"]
        assert str(daemon.services["web"].controller.pool.service.vip) == "192.0.2.2"

    def test_servers_of_the_other_family_follow_the_tunneling_option(self) -> None:
        daemon = started(web(source=BOTH, tunneling=True))
        outcome = daemon.reload(of((web(source=BOTH),)))
        assert outcome.plan
        assert daemon.operations == ["-e -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 10", "-d -t 192.0.2.1:80 -r [fd00::1]:80"]
        assert [operation(op) for op in outcome.plan.ops] == daemon.operations
        assert ("stop", "fd00::1", "ProxyFetch") in daemon.events
        daemon.reload(of((web(source=BOTH, tunneling=True),)))
        daemon.report_all()
        assert daemon.operations[-1] == "-a -t 192.0.2.1:80 -r [fd00::1]:80 -i -w 10 --tun-type ipip"

    def test_new_source_takes_over_with_its_first_list(self) -> None:
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

    def test_new_source_counts_servers_that_left_before_the_reload(self) -> None:
        daemon = started(WEB)
        (former,) = daemon.sources
        former.listed(LISTS[ONE][:2])
        daemon.reload(of((web(source=TWO),)))
        with pytest.raises(SourceError, match="it lacks 3 of 4 pooled servers"):
            daemon.sources[-1].listed(LISTS[ONE][:1])

    def test_source_without_a_list_is_replaced_by_the_next_one(self) -> None:
        daemon = started(WEB)
        daemon.reload(of((web(source=TWO),)))
        daemon.reload(of((web(source="file:///pools/three"),)))
        assert [source.running for source in daemon.sources] == [True, False, True]
        daemon.reload(of((WEB,)))
        assert [source.running for source in daemon.sources] == [True, False, False, True]


class TestOtherParts:
    def test_ports_are_those_of_the_new_settings(self, daemon: DaemonOnClock) -> None:
        daemon.listening.ports = {9090}
        assert daemon.reload(of((WEB, OTHER), instrumentation=InstrumentationSettings(port=9091))).accepted
        assert daemon.listening.ports == {9091}

    def test_secrets_of_the_new_file_are_sensitive(self, daemon: DaemonOnClock) -> None:
        daemon.sensitive = Sensitive("/etc/pybal/new.conf")
        daemon.reload(of(()))
        assert daemon.reloader.sensitive == NOTHING_SENSITIVE
        daemon.reload(of((WEB,)))
        assert daemon.reloader.sensitive == daemon.sensitive

    def test_settings_are_applied_when_they_change(self, daemon: DaemonOnClock) -> None:
        changed = of((WEB,))
        daemon.reload(of((WEB, OTHER)))
        assert (daemon.accepted, daemon.applied) == (1, [])
        daemon.reload(changed)
        assert (daemon.accepted, daemon.applied) == (2, [changed])

    def test_steps_are_logged_before_the_result(self, daemon: DaemonOnClock) -> None:
        with capturedLogs() as logs:
            daemon.reload(of((WEB, OTHER, THIRD)))
        assert [formatEvent(log) for log in logs if log.get("system") == "reload"] == [
            "+ service third",
            "    -A -t 192.0.2.3:80 -s wrr with the first server list",
            "reloaded: 2 of 3 services unchanged",
        ]

    def test_outcome_has_the_warnings_of_the_file_in_use(self, daemon: DaemonOnClock) -> None:
        daemon.warnings = (Problem("pybal.conf", 3, "web", "bgp", "unused", ""),)
        assert daemon.reload(of((WEB,))).warnings == ("pybal.conf:3: [web] bgp: unused",)

    def test_configuration_has_the_time_of_the_last_accepted_reload(self, daemon: DaemonOnClock) -> None:
        daemon.clock.advance(50)
        daemon.reload(of((WEB,)))
        loaded_at = daemon.reloader.configuration.loaded_at
        assert 50 < loaded_at < 60
        daemon.clock.advance(50)
        daemon.reload(of(()))
        assert daemon.reloader.configuration.loaded_at == loaded_at

    def test_bgp_is_reconfigured_with_the_new_services(self, daemon: DaemonOnClock) -> None:
        daemon.reload(of((WEB, OTHER, THIRD)))
        daemon.reload(of((WEB, OTHER)))
        assert daemon.announcing.reconfigured == [{"third"}, frozenset()]


class TestAddAndRemove:
    def test_added_service_enters_the_kernel_with_its_first_list(self, daemon: DaemonOnClock) -> None:
        outcome = daemon.reload(of((WEB, THIRD, OTHER)))
        assert outcome.plan
        assert [step.verb for step in outcome.plan.steps] == [Verb.KEEP, Verb.ADD, Verb.KEEP]
        assert daemon.operations == []
        daemon.list_all(ONE)
        daemon.report_all()
        assert daemon.operations[0] == "-A -t 192.0.2.3:80 -s wrr"
        assert [running.settings.service.name for running in daemon.services] == ["web", "third", "other"]

    def test_removed_service_leaves_the_kernel_and_its_checks_stop(self, daemon: DaemonOnClock) -> None:
        assert daemon.reload(of((OTHER,))).accepted
        assert daemon.operations == ["-D -t 192.0.2.1:80"]
        assert {event for event, _, _ in daemon.events} == {"stop"}
        assert not daemon.reconciler.owns(key_of(WEB.service))

    def test_removed_service_is_drained_first(self) -> None:
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

    def test_moved_service_enters_before_the_old_one_leaves(self, daemon: DaemonOnClock) -> None:
        moved = web(vip="192.0.2.9")
        daemon.settings = of((moved, OTHER))
        done = Deferred.fromCoroutine(daemon.reloader.reload())
        daemon.clock.pump([0.01] * 100)
        assert (daemon.operations, done.called) == ([], False)
        daemon.list_all(ONE)
        daemon.report_all()
        daemon.clock.pump([0.01] * 10)
        assert daemon.operations[0] == "-A -t 192.0.2.9:80 -s wrr"
        assert daemon.operations.index("-D -t 192.0.2.1:80") > 2
        assert done.called

    def test_steps_are_applied_one_per_turn(self, daemon: DaemonOnClock) -> None:
        daemon.source_events.clear()
        daemon.settings = of((WEB, OTHER, THIRD, web("fourth", "192.0.2.4")))
        Deferred.fromCoroutine(daemon.reloader.reload())
        sources = []
        for _ in range(100):
            daemon.clock.turn()
            sources.append(len(daemon.source_events))
        assert sorted(set(sources)) == [0, 1, 2]

    def test_moved_service_starts_after_the_old_one_has_stopped(self, daemon: DaemonOnClock) -> None:
        daemon.reload(of((web(vip="192.0.2.9", source=TWO), OTHER)))
        assert daemon.source_events == [("stop", ONE), ("start", TWO)]

    def test_removed_service_leaves_when_its_vip_is_withdrawn(self, daemon: DaemonOnClock) -> None:
        daemon.announcing.held = {WEB.service.vip}
        daemon.settings = of((OTHER,))
        done = Deferred.fromCoroutine(daemon.reloader.reload())
        daemon.clock.pump([0.05] * 20)
        assert (daemon.operations, done.called) == ([], False)
        daemon.announcing.held = set()
        daemon.clock.pump([0.05] * 2)
        assert (daemon.operations, done.called) == (["-D -t 192.0.2.1:80"], True)

    @pytest.mark.parametrize(
        "others",
        [(replace(OTHER, service=replace(OTHER.service, vip=WEB.service.vip, port=443)),), (OTHER, THIRD)],
        ids=["with its VIP", "without a list"],
    )
    def test_removed_service_does_not_wait_for_services_that_stay(self, others: tuple[ServiceSettings, ...]) -> None:
        daemon = started(
            WEB, *(replace(each, source=replace(each.source, url="file:///pools/none")) for each in others)
        )
        daemon.announcing.held = {WEB.service.vip} & {each.service.vip for each in others}
        daemon.settings = of(others)
        done = Deferred.fromCoroutine(daemon.reloader.reload(force=True))
        daemon.clock.pump([0.05] * 4)
        assert done.called
        assert daemon.operations[:1] == ["-D -t 192.0.2.1:80"]

    def test_old_service_leaves_after_a_timeout_when_the_new_one_is_absent(self, daemon: DaemonOnClock) -> None:
        assert daemon.reload(of((web(vip="192.0.2.9", source=TWO), OTHER))).accepted
        assert daemon.operations == ["-D -t 192.0.2.1:80"]


def test_requests_before_the_reload_begins_are_merged(daemon: DaemonOnClock) -> None:
    for _ in range(5):
        daemon.reloader.request()
    daemon.turn()
    assert daemon.reloader.configuration.accepted == 1
    daemon.reloader.request()
    daemon.turn()
    assert daemon.reloader.configuration.accepted == 2


def test_request_during_a_reload_starts_another_with_the_new_file(daemon: DaemonOnClock) -> None:
    daemon.settings = of((web(vip="192.0.2.9", source=TWO), OTHER))
    daemon.reloader.request()
    daemon.turn()
    daemon.settings = of((web(vip="192.0.2.9", source=TWO), OTHER, THIRD))
    daemon.reloader.request()
    daemon.clock.pump([0.05] * 120)
    assert daemon.reloader.configuration.accepted == 2
    assert [running.settings.service.name for running in daemon.services] == ["web", "other", "third"]


def test_stop_cancels_the_reload_in_progress(daemon: DaemonOnClock) -> None:
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


def test_second_reload_begins_after_the_first_has_ended(daemon: DaemonOnClock) -> None:
    daemon.settings = of((web(vip="192.0.2.9", source=TWO), OTHER))
    first = Deferred.fromCoroutine(daemon.reloader.reload())
    daemon.clock.pump([0.05] * 5)
    daemon.settings = of((web(vip="192.0.2.9", source=TWO), OTHER, THIRD))
    second = Deferred.fromCoroutine(daemon.reloader.reload())
    daemon.clock.pump([0.05] * 5)
    assert (first.called, len(daemon.services)) == (False, 2)
    daemon.clock.pump([0.05] * 120)
    assert (second.called, len(daemon.services)) == (True, 3)


def test_reload_is_possible_after_one_that_failed_half_way(
    daemon: DaemonOnClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_settings: Settings, new: frozenset[str]) -> None:
        raise RuntimeError(f"no {new}")

    with capturedLogs() as logs, monkeypatch.context() as broken:
        broken.setattr(daemon.announcing, "reconfigure", fail)
        daemon.reloader.request()
        daemon.turn()
    assert [formatEvent(log) for log in logs if log["log_level"] is LogLevel.critical] == [
        "reload failed half-way; restart pybal to apply the whole configuration"
    ]
    assert daemon.reload(of((WEB,))).accepted


def test_reload_that_a_stop_cancels_is_no_failure(daemon: DaemonOnClock) -> None:
    with capturedLogs() as logs:
        daemon.reloader.request()
        daemon.reloader.stop()
        daemon.turn()
    assert logs == []
    assert daemon.reloader.configuration.accepted == 0


class TestServiceManager:
    @pytest.fixture
    def manager(self, tmp_path: Path) -> Iterator[NotifySocket]:
        manager = NotifySocket(tmp_path)
        yield manager
        manager.close()

    @pytest.fixture
    def daemon(self, manager: NotifySocket) -> DaemonOnClock:
        daemon = DaemonOnClock(Settings((WEB, OTHER)), manager.environ)
        manager.received()
        return daemon

    @staticmethod
    def states(manager: NotifySocket) -> list[str]:
        return [text.partition("\n")[0] for text in manager.received()]

    @pytest.mark.parametrize("error", [None, OSError(errno.EIO, "Input/output error"), RuntimeError("no")])
    def test_manager_learns_begin_and_end_of_each_reload(
        self, manager: NotifySocket, daemon: DaemonOnClock, error: Exception | None
    ) -> None:
        daemon.unreadable = error
        with capturedLogs():
            daemon.reloader.request()
            daemon.turn()
        assert self.states(manager) == ["RELOADING=1", "READY=1"]

    def test_manager_learns_no_end_when_the_daemon_stops(self, manager: NotifySocket, daemon: DaemonOnClock) -> None:
        daemon.settings = of((web(vip="192.0.2.9"), OTHER))
        daemon.reloader.request()
        daemon.turn()
        daemon.reloader.stop()
        daemon.clock.pump([0.05] * 3)
        assert self.states(manager) == ["RELOADING=1"]
