"""What a reload would do, and why: the difference between two configurations as a value.

Pure. What the kernel is told at the reload itself is exactly :attr:`ReloadPlan.ops`. What comes later is :attr:`Step.later`: an
added service comes with its list of servers, and a service that goes is deleted when it is drained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pybal.config.settings import ServiceSettings, Settings
from pybal.core import policy
from pybal.core.model import Pool, Service
from pybal.ipvs.diff import diff
from pybal.ipvs.model import Command, Op, Table, TableEntry, drained, entry, key_of
from pybal.monitors.kinds import name_of
from pybal.reload.difference import restart_reasons, service_reasons

Held = Callable[[Service], TableEntry | None]
"""Tells what the table is believed to hold of a service."""


class Verb(StrEnum):
    """What becomes of a service."""

    KEEP = "keep"
    CHANGE = "change"
    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one service, and why.

    ``before`` and ``after`` are its settings, ``None`` where it is not there. ``ops`` are the operations on the table,
    ``later`` those that wait, and ``until`` says what for. ``started`` and ``stopped`` are monitors: host and kind. ``pool`` is
    the one there would be, ``None`` of a service that goes.
    """

    verb: Verb
    before: ServiceSettings | None
    after: ServiceSettings | None
    reasons: tuple[str, ...] = ()
    ops: tuple[Op, ...] = ()
    later: tuple[Op, ...] = ()
    until: str = ""
    started: tuple[tuple[str, str], ...] = ()
    stopped: tuple[tuple[str, str], ...] = ()
    pool: Pool | None = None

    @property
    def name(self) -> str:
        """The name of the service, that which it will have if it stays."""
        settings = self.after or self.before
        return settings.service.name if settings else ""


@dataclass(frozen=True, slots=True)
class ReloadPlan:
    """What a reload would do.

    ``general`` are changes that concern no single service, ``announcements`` those of what the BGP peers are told; both are
    lines for people. ``restart`` says what only a restart can change, ``radius`` that too much would be removed: such a
    reload is refused, the latter unless it is forced.
    """

    steps: tuple[Step, ...]
    general: tuple[str, ...] = ()
    announcements: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    radius: str = ""

    @property
    def ops(self) -> tuple[Op, ...]:
        """The operations on the table, those on services that go last."""
        return tuple(op for step in self.steps for op in step.ops)

    @property
    def empty(self) -> bool:
        """Whether nothing would be done."""
        return not (self.general or self.announcements or self.restart) and all(
            step.verb is Verb.KEEP for step in self.steps
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a reload: done as planned, or refused with all that is wrong, one text each.

    ``at`` is the monotonic time in seconds. There is no plan where the configuration could not be read.
    """

    accepted: bool
    at: float
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    plan: ReloadPlan | None = None


def steps(
    before: Sequence[ServiceSettings],
    after: Sequence[ServiceSettings],
    pools: Mapping[str, Pool],
    held: Held,
    grace: float,
) -> tuple[Step, ...]:
    """Return what becomes of each service: those there will be, in order, then those that go.

    ``pools`` are those of the services before, by name. Those that go are drained for ``grace`` seconds.
    """
    result = []
    for old, new in _pairs(before, after):
        if old is None and new is not None:
            result.append(_addition(new, held, _moved_from(before, new)))
        elif old is not None and new is None:
            result.append(_removal(old, pools[old.service.name], held(old.service), grace))
        elif old is not None and new is not None:
            result.append(_change(old, new, pools[old.service.name], held))
    return tuple(result)


def blast_radius(steps: Sequence[Step], pools: Mapping[str, Pool], most: float) -> str:
    """Return why the steps remove more than the share ``most`` of the services or of all pooled servers; empty if not."""
    removed = [step for step in steps if step.verb is Verb.REMOVE]
    total = {name: len(policy.wanted(pool)) for name, pool in pools.items()}
    servers = sum(total[step.name] for step in removed)
    servers += sum(op.command is Command.DELETE for step in steps for op in step.ops)
    for count, whole, what in (
        (len(removed), len(pools), "services"),
        (servers, sum(total.values()), "pooled servers"),
    ):
        if count > most * whole:
            return (
                f"would remove {count} of {whole} {what}, wanted at most {most:g} of them (max-blast-radius); "
                "pybal reload --force, or a restart, would do it"
            )
    return ""


def needs_restart(before: Settings, after: Settings) -> tuple[str, ...]:
    """Return what differs between two configurations and cannot be had while running."""
    return tuple(restart_reasons(before, after))


def _pairs(
    before: Sequence[ServiceSettings], after: Sequence[ServiceSettings]
) -> Iterator[tuple[ServiceSettings | None, ServiceSettings | None]]:
    """Pair the settings of one service: those of the same key, whatever its name; the key is what the kernel knows."""
    left = {key_of(settings.service): settings for settings in before}
    for settings in after:
        yield left.pop(key_of(settings.service), None), settings
    for settings in left.values():
        yield settings, None


def _moved_from(before: Sequence[ServiceSettings], new: ServiceSettings) -> tuple[str, ...]:
    for old in before:
        if old.service.name == new.service.name:
            place = f"{old.service.protocol} {old.service.vip} port {old.service.port}"
            return (f"was {place}: this is an addition and a removal",)
    return ()


def _addition(settings: ServiceSettings, held: Held, reasons: tuple[str, ...]) -> Step:
    # Whatever its servers will be, the kernel will have to have the service itself.
    here = held(settings.service)
    wanted = entry(settings.service, {})
    found = {} if here is None else {wanted.service.key: replace(here, destinations={})}
    later = diff({wanted.service.key: wanted}, found)
    until = "with its servers, once its list is there"
    return Step(Verb.ADD, None, settings, reasons, later=later, until=until, pool=Pool(settings.service))


def _removal(settings: ServiceSettings, pool: Pool, held: TableEntry | None, grace: float) -> Step:
    here: Table = {held.service.key: held} if held else {}
    quiet: Table = {key: drained(each) for key, each in here.items()}
    stopped = tuple(_watching(settings, pool))
    if not grace:
        return Step(Verb.REMOVE, settings, None, ops=diff({}, here), stopped=stopped)
    until = f"after {grace:g} s"
    return Step(Verb.REMOVE, settings, None, ops=diff(quiet, here), later=diff({}, quiet), until=until, stopped=stopped)


def _change(old: ServiceSettings, new: ServiceSettings, pool: Pool, held: Held) -> Step:
    reasons = tuple(service_reasons(old, new))
    if not reasons:
        return Step(Verb.KEEP, old, new, pool=pool)
    after = policy.step(pool, policy.Reconfigured(new.service))
    ops: tuple[Op, ...] = ()
    if after.listed and (old.service != new.service):
        wanted = entry(new.service, policy.wanted(after))
        here = held(old.service)
        ops = diff({wanted.service.key: wanted}, {here.service.key: here} if here else {})
    gone, come = anew(old, new)
    hosts = _watched_hosts(pool)
    return Step(
        Verb.CHANGE,
        old,
        new,
        reasons,
        ops,
        started=tuple((host, kind) for host in hosts for kind in come),
        stopped=tuple((host, kind) for host in hosts for kind in gone),
        pool=after,
    )


def anew(old: ServiceSettings, new: ServiceSettings) -> tuple[Sequence[str], Sequence[str]]:
    """Return the kinds of monitor whose monitors end, and those that are made, when one configuration follows another.

    What is shared, and what logs, has the name of its service.
    """
    before, after = _identities(old), _identities(new)
    return (
        [name for name, identity in before.items() if after.get(name) != identity],
        [name for name, identity in after.items() if before.get(name) != identity],
    )


def _identities(settings: ServiceSettings) -> Mapping[str, object]:
    service = settings.service
    return {
        name_of(monitor): (monitor, monitor.port_of(service), settings.share_checks, service.name)
        for monitor in settings.monitors
    }


def _watching(settings: ServiceSettings, pool: Pool) -> Iterator[tuple[str, str]]:
    for host in _watched_hosts(pool):
        for monitor in settings.monitors:
            yield host, name_of(monitor)


def _watched_hosts(pool: Pool) -> Sequence[str]:
    return [host for host, server in pool.servers.items() if server.ready]
