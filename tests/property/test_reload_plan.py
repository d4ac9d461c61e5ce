"""A reload applies exactly its plan, between any two configurations."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from pybal.config.settings import IPVSSettings, ServiceSettings, Settings, SourceSettings
from pybal.core import policy
from pybal.core.model import IPProtocol, Service
from pybal.ipvs.model import Command, entry, key_of
from pybal.ipvs.render import operation
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.kinds import name_of
from pybal.monitors.tcpconnect import TCPConnectSettings
from pybal.reload.difference import service_reasons
from pybal.reload.plan import Verb
from tests.harness.fake_services import FETCH, IDLE, LISTS, ONE, TWO, DaemonOnClock

# Few choices, so that two configurations have much in common.
PLACES = [("192.0.2.1", 80), ("192.0.2.1", 443), ("192.0.2.2", 80)]
MONITORS: list[MonitorSettings] = [FETCH, replace(FETCH, http_status=404), IDLE, TCPConnectSettings()]
GRACE = 30.0
SCHEDULERS: list[tuple[str, tuple[str, ...]]] = [("wrr", ()), ("mh", ()), ("mh", ("mh-port",))]


@st.composite
def service_settings(draw: st.DrawFn, name: str, place: tuple[str, int]) -> ServiceSettings:
    monitors = draw(st.lists(st.sampled_from(MONITORS), max_size=3, unique_by=name_of))
    scheduler, flags = draw(st.sampled_from(SCHEDULERS))
    service = Service(
        name,
        IPProtocol.TCP,
        ip_address(place[0]),
        place[1],
        scheduler,
        flags,
        tunneling=draw(st.booleans()),
        depool_threshold=draw(st.sampled_from([0.5, 0.9])),
        monitors=tuple(map(name_of, monitors)),
        initially_up=draw(st.booleans()),
    )
    source = SourceSettings(draw(st.sampled_from([ONE, TWO])), max_step=1.0, admin_floor=draw(st.sampled_from([0, 1])))
    return ServiceSettings(
        service, source, tuple(monitors), share_checks=draw(st.booleans()), line=draw(st.integers(1, 9))
    )


@st.composite
def configurations(draw: st.DrawFn) -> Settings:
    places = draw(st.lists(st.sampled_from(PLACES), unique=True))
    names = draw(st.permutations("abc"))
    services = tuple(draw(service_settings(name, place)) for name, place in zip(names, places, strict=False))
    return Settings(services, ipvs=IPVSSettings(remove_grace=draw(st.sampled_from([0.0, GRACE]))))


LISTED = st.sets(st.sampled_from([ONE, TWO]))
DOWN = st.sets(st.sampled_from([member.host for member in LISTS[ONE]]))


@settings(max_examples=2 * settings().max_examples)
@given(configurations(), configurations(), LISTED, DOWN)
def test_reload_applies_exactly_its_plan(before: Settings, after: Settings, listed: set[str], down: set[str]) -> None:
    daemon = DaemonOnClock(before)
    daemon.list_all(*listed)
    daemon.report_all(*down)
    kept = {key_of(running.settings.service): running.controller for running in daemon.services}
    plan = daemon.plan(after)
    if plan.radius:
        assert daemon.reload(after).problems == (plan.radius,)
        assert (daemon.operations, daemon.events) == ([], [])
        assert daemon.reloader.settings == before
    outcome = daemon.reload(after, force=True)
    assert outcome.accepted
    assert outcome.plan == plan
    for key in {op.key for op in (*plan.ops, *daemon.backend.ops)}:
        assert daemon.operations_on(key) == [operation(op) for op in plan.ops if op.key == key]
    stay = {key_of(each.service) for each in after.services}
    leaving = [op.key not in stay for op in daemon.backend.ops]
    assert leaving == sorted(leaving), "removed services leave last"
    started = [("start", *each) for step in plan.steps for each in step.started]
    stopped = [("stop", *each) for step in plan.steps for each in step.stopped]
    assert Counter(daemon.events) == Counter(started + stopped)
    assert [running.settings for running in daemon.services] == list(after.services)
    for running in daemon.services:
        key = key_of(running.settings.service)
        assert running.controller is kept.get(key, running.controller)
        assert running.controller.pool.service == running.settings.service
    assert daemon.plan(after).empty


@given(configurations(), configurations(), LISTED, DOWN)
def test_table_equals_that_of_a_fresh_start_after_a_reload(
    before: Settings, after: Settings, listed: set[str], down: set[str]
) -> None:
    daemon, fresh = DaemonOnClock(before), DaemonOnClock(after)
    daemon.list_all(*listed)
    daemon.report_all(*down)
    plan = daemon.plan(after)
    daemon.reload(after, force=True)
    daemon.backend.ops.clear()
    for each in (daemon, fresh):
        each.list_all(ONE, TWO)
        each.report_all()
        each.clock.advance(GRACE)
        each.turn()
    assert daemon.backend.table() == fresh.backend.table()
    of_services = (Command.ADD_SERVICE, Command.EDIT_SERVICE, Command.DELETE_SERVICE)
    for step in plan.steps:
        if step.verb in (Verb.ADD, Verb.REMOVE):
            (key,) = {key_of(each.service) for each in (step.before, step.after) if each}
            applied = [op for op in daemon.backend.ops if op.key == key and op.command in of_services]
            assert applied == list(step.later)


@given(configurations(), configurations(), LISTED, DOWN)
def test_up_servers_stay_pooled_in_services_that_remain(
    before: Settings, after: Settings, listed: set[str], down: set[str]
) -> None:
    daemon = DaemonOnClock(before)
    daemon.list_all(*listed)
    daemon.report_all(*down)
    former = {key_of(r.settings.service): policy.wanted(r.controller.pool) for r in daemon.services}
    daemon.reload(after, force=True)
    for running in daemon.services:
        servers = running.controller.pool.servers.values()
        up = {server.address for server in servers if server.serving}
        here = former.get(key_of(running.settings.service), {})
        assert up & here.keys() <= policy.wanted(running.controller.pool).keys()
        assert {a for a in here if a not in {ip_address(host) for host in down}} <= (
            policy.wanted(running.controller.pool).keys()
        )


@given(configurations().filter(lambda made: bool(made.services)), st.data())
def test_service_reasons_are_empty_only_for_equal_settings(made: Settings, data: st.DataObject) -> None:
    old = made.services[0]
    place = (str(old.service.vip), old.service.port)
    new = data.draw(st.one_of(service_settings(old.service.name, place), st.builds(replace, st.just(old))))
    assert (list(service_reasons(old, new)) == []) is (replace(old, line=0) == replace(new, line=0))


@given(configurations(), LISTED, DOWN)
def test_plan_is_empty_for_the_same_configuration(made: Settings, listed: set[str], down: set[str]) -> None:
    daemon = DaemonOnClock(made)
    daemon.list_all(*listed)
    daemon.report_all(*down)
    plan = daemon.plan(made)
    assert plan.empty
    assert all(step.verb is Verb.KEEP for step in plan.steps)
    assert daemon.reload(made).accepted
    assert (daemon.operations, daemon.events) == ([], [])


def test_fake_daemon_writes_the_wanted_table() -> None:
    daemon = DaemonOnClock(Settings(()))
    service = Service("a", IPProtocol.TCP, ip_address("192.0.2.1"), 80, "wrr")
    made = Settings((ServiceSettings(service, SourceSettings(ONE)),))
    assert daemon.reload(made).accepted
    daemon.list_all(ONE)
    wanted = {member.host: 10 for member in LISTS[ONE]}
    assert daemon.backend.table() == {
        key_of(service): entry(service, {ip_address(host): weight for host, weight in wanted.items()})
    }
