"""The plan of a reload: the steps from one configuration to another, with their reasons.

Pure. A reload applies exactly :attr:`ReloadPlan.ops` to the kernel. :attr:`Step.later` are the operations that follow: a new
service is added with its first server list, and a removed service is deleted after it has drained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pybal.config.settings import ServiceSettings, Settings
from pybal.core import events, policy
from pybal.core.model import Pool, Service
from pybal.core.steps import Steps
from pybal.ipvs.diff import diff, ordered
from pybal.ipvs.diff import steps as differences
from pybal.ipvs.model import Command, Op, Table, TableEntry, drained, entry, key_of
from pybal.reload.difference import restart_reasons, service_reasons

Held = Callable[[Service], TableEntry | None]
"""Returns the entry of a service in the table, as last read or written."""


class Verb(StrEnum):
    """The kinds of step."""

    KEEP = "keep"
    CHANGE = "change"
    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """The step of one service, with its reasons.

    ``before`` and ``after`` are its settings, ``None`` before an addition or after a removal. ``ops`` are the operations on
    the table; ``later`` are those that wait, and ``until`` names their condition. ``started`` and ``stopped`` are monitors:
    host and kind. ``pool`` is the pool after the step, ``None`` for a removal.
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
        """The name of the service; the new name if it changes."""
        settings = self.after or self.before
        return settings.service.name if settings else ""


@dataclass(frozen=True, slots=True)
class ReloadPlan:
    """The plan of a reload.

    ``general`` are changes outside single services, ``announcements`` those of BGP announcements; both are lines for people.
    ``restart`` are changes that need a restart, ``radius`` is set if too much would be removed: both refuse the reload,
    ``radius`` only if it is not forced.
    """

    steps: tuple[Step, ...]
    general: tuple[str, ...] = ()
    announcements: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    radius: str = ""

    @property
    def ops(self) -> tuple[Op, ...]:
        """The operations on the table; those on removed services are the last."""
        return tuple(op for step in self.steps for op in step.ops)

    @property
    def empty(self) -> bool:
        """True if the reload changes nothing."""
        return not (self.general or self.announcements or self.restart) and all(
            step.verb is Verb.KEEP for step in self.steps
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a reload: applied as planned, or refused with all its problems, one text each.

    ``at`` is the monotonic time in seconds. ``plan`` is ``None`` if the configuration could not be read.
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
) -> Steps[tuple[Step, ...]]:
    """Return the step of each service: those of the new configuration in order, then the removals.

    ``pools`` are the present pools, by name of service. Removed services are drained for ``grace`` seconds.
    """
    result = list[Step]()
    for old, new in _pairs(before, after):
        yield
        if old is None and new is not None:
            result.append(_addition(new, held, _moved_from(before, new)))
        elif old is not None and new is None:
            result.append(_removal(old, pools[old.service.name], held(old.service), grace))
        elif old is not None and new is not None:
            result.append((yield from _change(old, new, pools[old.service.name], held)))
    return tuple(result)


def blast_radius(steps: Sequence[Step], pools: Mapping[str, Pool], most: float) -> Steps[str]:
    """Return a refusal if the steps remove more than the share ``most`` of services or pooled servers."""
    removed = [step for step in steps if step.verb is Verb.REMOVE]
    total = {}
    for name, pool in pools.items():
        total[name] = len(policy.wanted(pool))
        yield
    servers = sum(total[step.name] for step in removed)
    servers += sum(op.command is Command.DELETE for step in steps for op in step.ops)
    for count, whole, objects in (
        (len(removed), len(pools), "services"),
        (servers, sum(total.values()), "pooled servers"),
    ):
        if count > most * whole:
            return (
                f"would remove {count} of {whole} {objects}, more than max-blast-radius = {most:g} allows "
                "(run pybal reload --force to apply it)"
            )
    return ""


def needs_restart(before: Settings, after: Settings) -> tuple[str, ...]:
    """Return the differences between two configurations that need a restart."""
    return tuple(restart_reasons(before, after))


def _pairs(
    before: Sequence[ServiceSettings], after: Sequence[ServiceSettings]
) -> Iterator[tuple[ServiceSettings | None, ServiceSettings | None]]:
    """Pair the settings of each service by its key in the kernel; its name may differ."""
    left = {key_of(settings.service): settings for settings in before}
    for settings in after:
        yield left.pop(key_of(settings.service), None), settings
    for settings in left.values():
        yield settings, None


def _moved_from(before: Sequence[ServiceSettings], new: ServiceSettings) -> tuple[str, ...]:
    for old in before:
        if old.service.name == new.service.name:
            place = f"{old.service.protocol} {old.service.vip} port {old.service.port}"
            return (f"moved from {place} (one service is added, one removed)",)
    return ()


def _addition(settings: ServiceSettings, held: Held, reasons: tuple[str, ...]) -> Step:
    # The kernel needs the service itself, independent of its servers.
    here = held(settings.service)
    wanted = entry(settings.service, {})
    found = {} if here is None else {wanted.service.key: replace(here, destinations={})}
    later = diff({wanted.service.key: wanted}, found)
    until = "with the first server list"
    return Step(Verb.ADD, None, settings, reasons, later=later, until=until, pool=Pool(settings.service))


def _removal(settings: ServiceSettings, pool: Pool, held: TableEntry | None, grace: float) -> Step:
    here: Table = {held.service.key: held} if held else {}
    draining: Table = {key: drained(each) for key, each in here.items()}
    stopped = tuple(_monitors(settings, pool))
    if not grace:
        return Step(Verb.REMOVE, settings, None, ops=diff({}, here), stopped=stopped)
    until = f"after {grace:g} s"
    return Step(
        Verb.REMOVE, settings, None, ops=diff(draining, here), later=diff({}, draining), until=until, stopped=stopped
    )


def _change(old: ServiceSettings, new: ServiceSettings, pool: Pool, held: Held) -> Steps[Step]:
    reasons = tuple(service_reasons(old, new))
    if not reasons:
        return Step(Verb.KEEP, old, new, pool=pool)
    after = yield from policy.in_steps(pool, events.Reconfigured(new.service))
    ops: list[Op] = []
    if after.listed and (old.service != new.service):
        addresses = policy.wanted(after)
        yield
        wanted = entry(new.service, addresses)
        yield
        for part in differences(wanted, held(old.service)):
            ops += part
            yield
    stopped, started = changed_monitors(old, new)
    hosts = _hosts_with_address(pool)
    return Step(
        Verb.CHANGE,
        old,
        new,
        reasons,
        ordered(ops),
        started=tuple((host, kind) for host in hosts for kind in started),
        stopped=tuple((host, kind) for host in hosts for kind in stopped),
        pool=after,
    )


def changed_monitors(old: ServiceSettings, new: ServiceSettings) -> tuple[Sequence[str], Sequence[str]]:
    """Return the kinds of monitor to stop, and those to start, between two configurations.

    The name of the service counts, because shared checks and log lines contain it.
    """
    before, after = _identities(old), _identities(new)
    return (
        [name for name, identity in before.items() if after.get(name) != identity],
        [name for name, identity in after.items() if before.get(name) != identity],
    )


def _identities(settings: ServiceSettings) -> Mapping[str, object]:
    service = settings.service
    return {
        name: (monitor, settings.share_checks, service.name)
        for name, monitor in zip(service.monitors, settings.monitors, strict=True)
    }


def _monitors(settings: ServiceSettings, pool: Pool) -> Iterator[tuple[str, str]]:
    for host in _hosts_with_address(pool):
        for name in settings.service.monitors:
            yield host, name


def _hosts_with_address(pool: Pool) -> Sequence[str]:
    return [host for host, server in pool.servers.items() if server.ready]
