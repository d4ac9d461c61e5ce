"""A reload does what its plan says and nothing else, between any two configurations."""

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
from tests.harness.fake_services import FETCH, IDLE, LISTS, ONE, TWO, World

# Small domains, so that two configurations have much in common.
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


@settings(max_examples=200)
@given(configurations(), configurations(), LISTED, DOWN)
def test_a_reload_does_what_its_plan_says_and_nothing_else(
    before: Settings, after: Settings, listed: set[str], down: set[str]
) -> None:
    world = World(before)
    world.list_all(*listed)
    world.say(*down)
    kept = {key_of(running.settings.service): running.controller for running in world.services}
    plan = world.reloading.plan(after)
    if plan.radius:
        assert world.reload(after).problems == (plan.radius,)
        assert (world.told, world.events) == ([], [])
        assert world.reloading.settings == before
    outcome = world.reload(after, force=True)
    assert outcome.accepted
    assert outcome.plan == plan
    for key in {op.key for op in (*plan.ops, *world.backend.ops)}:
        assert world.told_of(key) == [operation(op) for op in plan.ops if op.key == key]
    stay = {key_of(each.service) for each in after.services}
    leaving = [op.key not in stay for op in world.backend.ops]
    assert leaving == sorted(leaving), "what goes leaves last"
    started = [("start", *each) for step in plan.steps for each in step.started]
    stopped = [("stop", *each) for step in plan.steps for each in step.stopped]
    assert Counter(world.events) == Counter(started + stopped)
    assert [running.settings for running in world.services] == list(after.services)
    for running in world.services:
        key = key_of(running.settings.service)
        assert running.controller is kept.get(key, running.controller)
        assert running.controller.pool.service == running.settings.service
    assert world.reloading.plan(after).empty


@given(configurations(), configurations(), LISTED, DOWN)
def test_after_a_reload_and_all_lists_the_table_is_that_of_a_fresh_start(
    before: Settings, after: Settings, listed: set[str], down: set[str]
) -> None:
    world, fresh = World(before), World(after)
    world.list_all(*listed)
    world.say(*down)
    plan = world.reloading.plan(after)
    world.reload(after, force=True)
    world.backend.ops.clear()
    for each in (world, fresh):
        each.list_all(ONE, TWO)
        each.say()
        each.clock.advance(GRACE)
        each.turn()
    assert world.backend.table() == fresh.backend.table()
    of_services = (Command.ADD_SERVICE, Command.EDIT_SERVICE, Command.DELETE_SERVICE)
    for step in plan.steps:
        if step.verb in (Verb.ADD, Verb.REMOVE):
            (key,) = {key_of(each.service) for each in (step.before, step.after) if each}
            told = [op for op in world.backend.ops if op.key == key and op.command in of_services]
            assert told == list(step.later)


@given(configurations(), configurations(), LISTED, DOWN)
def test_whoever_was_pooled_and_up_stays_pooled_as_long_as_the_service_does(
    before: Settings, after: Settings, listed: set[str], down: set[str]
) -> None:
    world = World(before)
    world.list_all(*listed)
    world.say(*down)
    stood = {key_of(r.settings.service): policy.wanted(r.controller.pool) for r in world.services}
    world.reload(after, force=True)
    for running in world.services:
        servers = running.controller.pool.servers.values()
        up = {server.address for server in servers if server.serving}
        here = stood.get(key_of(running.settings.service), {})
        assert up & here.keys() <= policy.wanted(running.controller.pool).keys()
        assert {a for a in here if a not in {ip_address(host) for host in down}} <= (
            policy.wanted(running.controller.pool).keys()
        )


@given(configurations().filter(lambda made: bool(made.services)), st.data())
def test_there_is_a_reason_if_and_only_if_two_settings_of_a_service_mean_different_things(
    made: Settings, data: st.DataObject
) -> None:
    old = made.services[0]
    place = (str(old.service.vip), old.service.port)
    new = data.draw(st.one_of(service_settings(old.service.name, place), st.builds(replace, st.just(old))))
    assert (list(service_reasons(old, new)) == []) is (replace(old, line=0) == replace(new, line=0))


@given(configurations(), LISTED, DOWN)
def test_the_same_configuration_is_an_empty_plan(made: Settings, listed: set[str], down: set[str]) -> None:
    world = World(made)
    world.list_all(*listed)
    world.say(*down)
    plan = world.reloading.plan(made)
    assert plan.empty
    assert all(step.verb is Verb.KEEP for step in plan.steps)
    assert world.reload(made).accepted
    assert (world.told, world.events) == ([], [])


def test_the_table_of_these_tests_holds_what_is_wanted() -> None:
    world = World(Settings(()))
    service = Service("a", IPProtocol.TCP, ip_address("192.0.2.1"), 80, "wrr")
    made = Settings((ServiceSettings(service, SourceSettings(ONE)),))
    assert world.reload(made).accepted
    world.list_all(ONE)
    wanted = {member.host: 10 for member in LISTS[ONE]}
    assert world.backend.table() == {
        key_of(service): entry(service, {ip_address(host): weight for host, weight in wanted.items()})
    }
