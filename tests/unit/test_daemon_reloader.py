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
from tests.harness.fake_services import BOTH, FETCH, IDLE, ONE, TWO, World, web

TOO_MUCH = "wanted at most 0.5 of them (max-blast-radius); pybal reload --force, or a restart, would do it"
AT_ONCE = IPVSSettings(remove_grace=0.0)
WEB, OTHER, THIRD = web(), web("other", "192.0.2.2"), web("third", "192.0.2.3")


def of(services: tuple[ServiceSettings, ...], **more: Any) -> Settings:
    """Return settings by which what goes is deleted at once."""
    return Settings(services, ipvs=AT_ONCE, **more)


@pytest.fixture
def world() -> World:
    return started(WEB, OTHER)


def started(*services: ServiceSettings) -> World:
    """Return a world in which all servers of these services are up and pooled."""
    world = World(Settings(services, ipvs=AT_ONCE))
    world.list_all(ONE, TWO, BOTH)
    world.say()
    world.backend.ops.clear()
    world.events.clear()
    return world


def pooled(world: World, name: str) -> int:
    return sum(server.pooled for server in world.services[name].controller.pool.servers.values())


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            (
                ConfigError((Problem("pybal.conf", 7, "web", "port", "'x'", "a number"),), ()),
                "pybal.conf:7: [web] port: found 'x', wanted a number",
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
    def test_it_changes_nothing_and_says_why(self, world: World, change: Settings | ConfigError, problem: str) -> None:
        table, loaded = world.backend.table(), world.reloading.settings
        with capturedLogs() as logs:
            outcome = world.reload(change)
        assert (outcome.accepted, outcome.problems) == (False, (problem,))
        assert [formatEvent(log) for log in logs if log["log_level"] is LogLevel.error] == [
            f"reload refused, nothing changed: {problem}"
        ]
        assert (world.backend.table(), world.events, world.reloading.settings) == (table, [], loaded)
        configuration = world.reloading.configuration
        assert (configuration.last, configuration.refused, configuration.changed) == (outcome, 1, True)

    def test_a_file_that_cannot_be_read(self, world: World) -> None:
        world.unreadable = FileNotFoundError(errno.ENOENT, "No such file or directory")
        outcome = world.reload(of(()))
        assert outcome.problems == ("/etc/pybal/pybal.conf: No such file or directory",)

    def test_while_frozen(self, world: World) -> None:
        world.hindrance = "frozen for another 312 s by root: new switch"
        assert world.reload(of((WEB,))).problems == ("frozen for another 312 s by root: new switch",)
        assert (world.told, len(world.services)) == ([], 2)

    def test_what_cannot_be_made_is_a_bug_that_changes_nothing(self, world: World) -> None:
        world.broken = RuntimeError("no")
        outcome = world.reload(of((replace(WEB, line=3), THIRD)), force=True)
        assert outcome.problems == ("could not be prepared: RuntimeError('no')",)
        assert (world.told, world.events, len(world.services)) == ([], [], 2)

    def test_the_next_one_may_be_accepted(self, world: World) -> None:
        world.reload(of(()))
        assert world.reload(of((WEB, OTHER, THIRD))).accepted
        configuration = world.reloading.configuration
        assert (configuration.accepted, configuration.refused, configuration.changed) == (1, 1, False)


class TestBlastRadius:
    def test_as_much_as_is_allowed_may_go(self, world: World) -> None:
        assert world.reload(of((WEB,))).accepted

    def test_what_is_forced_is_done(self, world: World) -> None:
        assert world.reload(of(()), force=True).accepted
        assert world.backend.table() == {}

    def test_many_servers_of_few_services_are_too_much_too(self) -> None:
        small = web("small", "192.0.2.5", source=TWO), web("tiny", "192.0.2.6", source="file:///pools/none")
        world = started(WEB, *small)
        assert world.reload(Settings(small)).problems == (f"would remove 4 of 7 pooled servers, {TOO_MUCH}",)

    def test_what_counts_is_what_was_allowed_before(self, world: World) -> None:
        assert not world.reload(of((), max_blast_radius=1.0)).accepted


class TestChange:
    def test_another_scheduler_is_one_operation(self, world: World) -> None:
        changed = replace(WEB, service=replace(WEB.service, scheduler="mh", scheduler_flags=("mh-port",)))
        assert world.reload(of((changed, OTHER))).accepted
        assert world.told == ["-E -t 192.0.2.1:80 -s mh -b mh-port"]
        assert world.events == []

    def test_a_threshold_that_keeps_more_brings_who_is_down_back(self) -> None:
        world = started(WEB)
        world.say("10.0.0.1", "10.0.0.2")
        assert pooled(world, "web") == 2
        assert world.reload(of((replace(WEB, service=replace(WEB.service, depool_threshold=0.75)),))).accepted
        assert world.told[-1:] == ["-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 10"]
        assert pooled(world, "web") == 3

    def test_another_option_of_a_monitor_begins_that_monitor_anew_and_no_other(self) -> None:
        world = started(web(monitors=(FETCH, IDLE)))
        assert world.reload(of((web(monitors=(FETCH, replace(IDLE, max_delay=7.0))),))).accepted
        assert {(event, kind) for event, _, kind in world.events} == {
            ("start", "IdleConnection"),
            ("stop", "IdleConnection"),
        }
        assert len(world.events) == 8
        assert world.told == []

    @pytest.mark.parametrize("changed", [web("www"), web(share_checks=True)], ids=["name", "share-checks"])
    def test_what_has_the_name_of_the_service_in_it_begins_anew_and_nobody_leaves(
        self, changed: ServiceSettings
    ) -> None:
        world = started(WEB)
        assert world.reload(of((changed,))).accepted
        assert sorted(event for event, _, _ in world.events) == ["start"] * 4 + ["stop"] * 4
        assert (world.told, pooled(world, changed.service.name)) == ([], 4)

    def test_two_services_can_swap_their_names(self, world: World) -> None:
        assert world.reload(of((web("other"), web("web", "192.0.2.2")))).accepted
        assert world.told == []
        assert [str(running.settings.service.vip) for running in world.services] == ["192.0.2.1", "192.0.2.2"]
        assert str(world.services["web"].controller.pool.service.vip) == "192.0.2.2"

    def test_without_a_tunnel_servers_of_the_other_family_leave_and_with_it_they_return(self) -> None:
        world = started(web(source=BOTH, tunneling=True))
        outcome = world.reload(of((web(source=BOTH),)))
        assert outcome.plan
        assert world.told == ["-e -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 10", "-d -t 192.0.2.1:80 -r [fd00::1]:80"]
        assert [operation(op) for op in outcome.plan.ops] == world.told
        assert ("stop", "fd00::1", "ProxyFetch") in world.events
        world.reload(of((web(source=BOTH, tunneling=True),)))
        world.say()
        assert world.told[-1] == "-a -t 192.0.2.1:80 -r [fd00::1]:80 -i -w 10 --tun-type ipip"

    def test_another_source_takes_over_with_its_first_list(self) -> None:
        world = started(WEB)
        (former,) = world.sources
        assert world.reload(of((web(source=TWO),))).accepted
        assert (former.running, world.told, pooled(world, "web")) == (True, [], 4)
        world.list_all(TWO)
        assert not former.running
        assert world.told == [
            "-e -t 192.0.2.1:80 -r 10.0.0.3:80 -g -w 20",
            "-e -t 192.0.2.1:80 -r 10.0.0.4:80 -g -w 20",
            "-d -t 192.0.2.1:80 -r 10.0.0.1:80",
            "-d -t 192.0.2.1:80 -r 10.0.0.2:80",
        ]

    def test_a_source_that_never_spoke_is_replaced_by_the_next_one(self) -> None:
        world = started(WEB)
        world.reload(of((web(source=TWO),)))
        world.reload(of((web(source="file:///pools/three"),)))
        assert [source.running for source in world.sources] == [True, False, True]
        world.reload(of((WEB,)))
        assert [source.running for source in world.sources] == [True, False, False, True]


class TestComingAndGoing:
    def test_a_service_enters_the_kernel_with_its_first_list(self, world: World) -> None:
        outcome = world.reload(of((WEB, THIRD, OTHER)))
        assert outcome.plan
        assert [step.verb for step in outcome.plan.steps] == [Verb.KEEP, Verb.ADD, Verb.KEEP]
        assert world.told == []
        world.list_all(ONE)
        world.say()
        assert world.told[0] == "-A -t 192.0.2.3:80 -s wrr"
        assert [running.settings.service.name for running in world.services] == ["web", "third", "other"]

    def test_a_service_leaves_with_its_servers_and_its_checks_end(self, world: World) -> None:
        assert world.reload(of((OTHER,))).accepted
        assert world.told == ["-D -t 192.0.2.1:80"]
        assert {event for event, _, _ in world.events} == {"stop"}
        assert not world.reconciler.owns(key_of(WEB.service))

    def test_a_service_that_goes_is_drained_first(self) -> None:
        world = World(Settings((WEB, OTHER)))
        world.list_all(ONE)
        world.say()
        outcome = world.reload(Settings((OTHER,)))
        assert outcome.plan
        assert world.told == [f"-e -t 192.0.2.1:80 -r 10.0.0.{n}:80 -g -w 0" for n in (1, 2, 3, 4)]
        assert [op.command.name for op in outcome.plan.steps[-1].later] == ["DELETE_SERVICE"]
        world.clock.advance(30)
        world.turn()
        assert world.told[4:] == ["-D -t 192.0.2.1:80"]

    def test_one_at_another_vip_is_there_before_the_old_one_goes(self, world: World) -> None:
        moved = web(vip="192.0.2.9")
        world.settings = of((moved, OTHER))
        done = Deferred.fromCoroutine(world.reloading.reload())
        world.clock.pump([0.01] * 100)
        assert (world.told, done.called) == ([], False)
        world.list_all(ONE)
        world.say()
        world.clock.pump([0.01] * 10)
        assert world.told[0] == "-A -t 192.0.2.9:80 -s wrr"
        assert world.told[-1] == "-D -t 192.0.2.1:80"
        assert done.called

    def test_one_at_another_vip_that_never_comes_is_not_waited_for_for_ever(self, world: World) -> None:
        assert world.reload(of((web(vip="192.0.2.9", source=TWO), OTHER))).accepted
        assert world.told == ["-D -t 192.0.2.1:80"]


def test_however_often_it_is_asked_for_before_it_begins_it_is_one(world: World) -> None:
    for _ in range(5):
        world.reloading.ask()
    world.turn()
    assert world.reloading.configuration.accepted == 1
    world.reloading.ask()
    world.turn()
    assert world.reloading.configuration.accepted == 2


def test_one_that_is_asked_for_during_another_comes_after_it_and_reads_the_file_anew(world: World) -> None:
    world.settings = of((web(vip="192.0.2.9", source=TWO), OTHER))
    world.reloading.ask()
    world.turn()
    world.settings = of((web(vip="192.0.2.9", source=TWO), OTHER, THIRD))
    world.reloading.ask()
    world.clock.pump([0.05] * 120)
    assert world.reloading.configuration.accepted == 2
    assert [running.settings.service.name for running in world.services] == ["web", "other", "third"]


def test_a_daemon_that_stops_reloads_no_further(world: World) -> None:
    world.settings = of((web(vip="192.0.2.9"), OTHER))
    outcomes: list[Outcome | Failure] = []
    Deferred.fromCoroutine(world.reloading.reload()).addBoth(outcomes.append)
    world.clock.advance(0.01)
    world.reloading.stop()
    world.clock.pump([0.05] * 3)
    (outcome,) = outcomes
    assert isinstance(outcome, Failure)
    assert outcome.check(CancelledError)
    assert world.told == []
