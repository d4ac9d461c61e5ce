"""The plan of a reload, service by service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from types import MappingProxyType

from pybal.config.settings import ServiceSettings
from pybal.core.events import Listed, Resolved
from pybal.core.model import Address, Member, Pool, Service
from pybal.core.policy import step
from pybal.core.steps import finish
from pybal.ipvs.model import TableEntry, entry
from pybal.ipvs.render import operation
from pybal.reload.plan import ReloadPlan, Step, Verb, blast_radius, steps
from tests.harness.fake_services import IDLE, web

ONE, TWO, THREE = (ip_address(f"10.0.0.{number}") for number in (1, 2, 3))
NEW_SERVICE = "-A -t 192.0.2.1:80 -s wrr"


def pool_of(settings: ServiceSettings, *addresses: Address) -> Pool:
    """Return a pool of servers, and of one whose name has no address yet."""
    hosts = {f"web{number}": address for number, address in enumerate(addresses, 1)}
    members = tuple(map(Member, (*hosts, "unresolved")))
    return step(
        step(Pool(settings.service, held=MappingProxyType(dict.fromkeys(addresses, 10))), Listed(members)),
        Resolved(hosts),
    )


def planned(
    before: Sequence[ServiceSettings],
    after: Sequence[ServiceSettings],
    pools: Mapping[str, Pool],
    held: Mapping[str, TableEntry] | None = None,
    grace: float = 30.0,
) -> tuple[Step, ...]:
    def entry_of(service: Service) -> TableEntry | None:
        return (held or {}).get(service.name)

    return finish(steps(before, after, pools, entry_of, grace))


def change(old: ServiceSettings, new: ServiceSettings, pool: Pool, *destinations: Address) -> Step:
    held = entry(old.service, dict.fromkeys(destinations, 10))
    (found,) = planned([old], [new], {old.service.name: pool}, {old.service.name: held, new.service.name: held})
    return found


def test_added_service_is_written_with_its_first_list() -> None:
    (added,) = planned([], [web()], {})
    assert (added.verb, added.ops, added.until) == (Verb.ADD, (), "with the first server list")
    assert [operation(op) for op in added.later] == [NEW_SERVICE]


def test_added_service_that_the_kernel_has_keeps_its_servers() -> None:
    (added,) = planned([], [web()], {}, {"web": entry(web().service, {ONE: 10})})
    assert (added.ops, added.later) == ((), ())


def test_removed_service_is_drained_and_deleted_after_the_grace() -> None:
    old = web()
    (removed,) = planned([old], [], {"web": pool_of(old, ONE)}, {"web": entry(old.service, {ONE: 10})})
    assert [operation(op) for op in removed.ops] == ["-e -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 0"]
    assert [operation(op) for op in removed.later] == ["-D -t 192.0.2.1:80"]
    assert (removed.verb, removed.until, removed.pool) == (Verb.REMOVE, "after 30 s", None)
    assert removed.stopped == (("web1", "ProxyFetch"),)


def test_removed_service_is_deleted_immediately_without_a_grace() -> None:
    old = web()
    (removed,) = planned([old], [], {"web": pool_of(old)}, {"web": entry(old.service, {ONE: 10})}, grace=0.0)
    assert [operation(op) for op in removed.ops] == ["-D -t 192.0.2.1:80"]
    assert (removed.later, removed.until) == ((), "")


def test_service_at_another_address_is_added_and_removed_with_the_reason() -> None:
    old, new = web(), web(vip="192.0.2.2")
    added, removed = planned([old], [new], {"web": pool_of(old)})
    assert (added.verb, removed.verb) == (Verb.ADD, Verb.REMOVE)
    assert added.reasons == ("moved from tcp 192.0.2.1 port 80 (one service is added, one removed)",)


def test_service_with_another_name_is_changed() -> None:
    (found,) = planned([web()], [web("www")], {"web": pool_of(web())})
    assert (found.verb, found.name) == (Verb.CHANGE, "www")


def test_equal_service_is_kept() -> None:
    assert change(web(), web(), pool_of(web(), ONE)).verb is Verb.KEEP


def test_changed_service_has_additions_first_and_its_new_settings() -> None:
    old, new = web(), web(scheduler="mh", tunneling=True)
    found = change(old, new, pool_of(old, ONE, TWO), ONE, THREE)
    assert [operation(op)[:2] for op in found.ops] == ["-E", "-a", "-e", "-d"]
    assert found.pool is not None
    assert found.pool.service == new.service


def test_service_without_a_list_is_not_written() -> None:
    old = web()
    assert change(old, web(scheduler="mh"), Pool(old.service), ONE).ops == ()


def test_other_monitors_start_and_stop_at_servers_with_an_address() -> None:
    old, new = web(), web(monitors=(IDLE,))
    found = change(old, new, pool_of(old, ONE, TWO), ONE, TWO)
    assert found.started == (("web1", "IdleConnection"), ("web2", "IdleConnection"))
    assert found.stopped == (("web1", "ProxyFetch"), ("web2", "ProxyFetch"))


def test_monitors_keep_running_when_only_the_scheduler_changes() -> None:
    old = web()
    found = change(old, web(scheduler="mh"), pool_of(old, ONE), ONE)
    assert (found.started, found.stopped) == ((), ())


def test_changed_and_renamed_monitors_restart() -> None:
    old = web()
    for new in (web("www"), web(share_checks=not old.share_checks)):
        found = change(old, new, pool_of(old, ONE), ONE)
        assert found.started == found.stopped == (("web1", "ProxyFetch"),)


def test_blast_radius_counts_removed_services_and_servers() -> None:
    first, second = web("a"), web("b", vip="192.0.2.2")
    pools = {"a": pool_of(first, ONE), "b": pool_of(second, ONE, TWO, THREE)}
    removal = planned([first, second], [second], pools, {"a": entry(first.service, {ONE: 10})})
    assert finish(blast_radius(removal, pools, 0.5)) == ""
    assert finish(blast_radius(removal, pools, 0.4)).startswith("would remove 1 of 2 services, more than")
    smaller = change(second, web("b", vip="192.0.2.2", scheduler="mh"), pool_of(second, ONE), ONE, TWO, THREE)
    assert finish(blast_radius([smaller], pools, 0.5)) == ""
    assert finish(blast_radius([smaller], pools, 0.4)).startswith("would remove 2 of 4 pooled servers, more than")
    larger = planned([first, second], [first], pools, {"b": entry(second.service, {ONE: 10})})
    assert finish(blast_radius(larger, pools, 0.7)).startswith("would remove 3 of 4 pooled servers, more than")


def test_plan_is_empty_only_without_any_change() -> None:
    old = web()
    kept, changed = change(old, old, pool_of(old)), change(old, web(scheduler="mh"), pool_of(old))
    assert ReloadPlan((kept,)).empty
    assert not ReloadPlan((kept, changed)).empty
    assert not ReloadPlan((kept,), general=("med 1 -> 2",)).empty
    assert not ReloadPlan((kept,), announcements=("192.0.2.1/32: med 1 -> 2",)).empty
    assert not ReloadPlan((kept,), restart=("dry-run no -> yes",)).empty
