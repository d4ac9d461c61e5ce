"""The losses of each service: when its servers were down, why, and what clients met. Pure.

A loss begins when an enabled server of weight above 0 goes down, and ends when all of its servers are up again, disabled or removed. A
server that goes down within :data:`CALM` seconds of the last change belongs to the same loss; a later one begins another, so that a server
that is down for weeks hides nothing. Everything comes from the records alone, without a replay, which takes longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pybal.core.policy import floor_of
from pybal.core.text import first_of, format_duration, numbered
from pybal.core.why import who_enabled
from pybal.journal.values import DAMAGED, FORCED, OUT, Document, member_of, report_of, server_of
from pybal.runtime.clocks import iso

CALM = 60.0
"""Seconds after which a failure begins another loss."""
SHOWN = 10
"""Losses with a line, at most."""
NAMED = 4
_KEPT = 100
"""Losses of one service, at most; those with the fewest servers are only counted."""
_REASONS = 20
_NO_ADDRESS, _OVERDUE = "host name has no address", "its new address does not pass its checks"


def _key(loss: Loss) -> tuple[float, int]:
    """Return the order of losses: by share, then by their servers."""
    return serving_key(loss.serving or 0, loss.pooled)[0], -loss.most


@dataclass(slots=True)
class Loss:
    """A time in which servers were down.

    ``end`` is empty while some are. ``servers`` are all that were, ``most`` the most at the same time, of ``total`` members of weight
    above 0. ``spare`` more servers could leave before it, ``None`` if that is unknown; ``disabled`` were disabled then.
    """

    begin: str
    begin_at: float
    total: int
    serving_before: int | None
    spare: int | None
    disabled: Mapping[str, str]
    first_check: bool = True
    """True if its servers were never up before, in this run of the daemon."""
    end: str = ""
    restarted: bool = False
    """True if it ended with a restart of the daemon."""
    last_at: float = 0.0
    servers: dict[str, None] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    most: int = 0
    failures: int = 0
    """The number of times at which a server went down."""
    reasons: dict[str, set[str]] = field(default_factory=dict)
    """The servers by reason."""
    serving: int | None = None
    """The number of serving servers when the smallest share of ``pooled`` ones served."""
    pooled: int = 0
    most_forced: int = 0
    forced_seconds: float = 0.0

    def see(self, serving: int, pooled: int, forced: int) -> None:
        """Take the numbers of the pool from now on; ``pooled`` counts servers of weight above 0."""
        self.most = max(self.most, len(self.down))
        self.most_forced = max(self.most_forced, forced)
        if self.serving is None or serving_key(serving, pooled) < serving_key(self.serving, self.pooled):
            self.serving, self.pooled = serving, pooled

    def seconds(self, until: str) -> float:
        """Return its duration, to ``until`` if it lasts."""
        return max(
            0.0, (datetime.fromisoformat(self.end or until) - datetime.fromisoformat(self.begin)).total_seconds()
        )


def serving_key(serving: int, pooled: int) -> tuple[float, int]:
    """Return a key for the worst for clients first: the smallest share of pooled servers that serve."""
    return (serving / pooled if pooled else 0.0), serving


class ServiceLosses:
    """The losses of one service, and the state of its pool as far as they need it."""

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self.omitted = 0
        """The number of losses that are only counted."""
        self._loss_of: dict[str, Loss] = {}
        self._open: dict[int, Loss] = {}
        self.forget()

    def forget(self) -> None:
        """Forget the state of the pool, which is unknown after a restart or a gap."""
        self._known = False
        self._weights: dict[str, int] = {}
        self._disabled: dict[str, str] = {}
        self._placed: dict[str, str] = {}
        self._pooled = self._forced = 0
        """Numbers of pooled and of forced servers, of weight above 0."""
        self._failing: dict[str, dict[str, str]] = {}
        self._passed: set[str] = set()
        self._serving: int | None = None
        self._threshold = 0.0
        self._since = 0.0
        self._complete = True
        """False while the servers of the first state are read."""

    def restart(self, time: str) -> None:
        """End all losses at the last time of a run of the daemon."""
        for loss in self._open.values():
            loss.end, loss.restarted = time, True
            loss.down.clear()
        self._open.clear()
        self._loss_of.clear()
        self.forget()

    def begin_state(self, record: Document) -> bool:
        """Take the state of a pool; return whether its servers, which follow, are news."""
        self._configure(record["settings"])
        new, self._known = not self._known, True
        if new:
            self._serving, self._since, self._complete = 0, record["at"], False
        return new

    def server(self, value: Document, time: str, at: float) -> None:
        """Take the state of a server."""
        server = server_of(value)
        host = server.host
        self._weights[host] = server.member.weight
        if not server.member.enabled:
            self._disabled[host] = who_enabled(server.member)
        self._place(host, value["placement"])
        self._serving = (self._serving or 0) + server.serving
        down = {monitor: report for monitor, report in server.reports.items() if report and not report.up}
        if any(server.reports.values()):
            self._passed.add(host)  # perhaps not, but its first check was earlier
        for monitor, report in down.items():
            began = datetime.fromisoformat(time) - timedelta(seconds=max(0.0, at - report.began))
            self._fail(host, monitor, report.reason, iso(began), report.began)
        if server.unresolvable:
            self._fail(host, "", _NO_ADDRESS, time, at)
        elif server.move and server.move.overdue:
            self._fail(host, "", _OVERDUE, time, at)
        elif not down and host in self._loss_of:  # it went up in a gap
            self._recover(host, time, at)

    def see(self) -> None:
        """Take the present numbers of the pool for the latest loss that lasts."""
        self._complete = True
        if loss := self._latest:
            loss.see(self._serving or 0, self._pooled, self._forced)

    def take(self, record: Document) -> None:
        """Take an event of the pool."""
        time, at = record["time"], record["at"]
        self.advance(at)
        self._happen(record, time, at)
        for host, word in record["placed"].items():
            self._place(host, word)
            if word != OUT and self._failing.get(host, {}).get("") == _OVERDUE:
                self._pass(host, "", time, at)
        self._serving = int(record["serving"])
        self.see()

    def _happen(self, record: Document, time: str, at: float) -> None:
        """Apply an event to the servers that are down."""
        match record["event"]:
            case "reports":
                self._report(record["reports"], time, at)
            case "list":
                self._list(record["members"], time, at)
            case "addresses":
                self._look_up(record["found"], time, at)
            case "overdue":
                for host in record["hosts"]:
                    self._fail(host, "", _OVERDUE, time, at)
            case "settings":
                self._configure(record["settings"])

    def _report(self, reports: Iterable[Sequence[Any]], time: str, at: float) -> None:
        for report in reports:
            match report:  # most reports first; see reported_text
                case [host, monitor, _, _]:
                    self._pass(host, monitor, time, at)
                case [host, monitor, _, _, reason]:
                    self._fail(host, monitor, reason, time, at)
                case [host, monitor, _, *rest] if (found := report_of(rest)).up:
                    self._pass(host, monitor, time, at)
                case [host, monitor, *_]:
                    self._fail(host, monitor, found.reason, time, at)

    def _look_up(self, found: Mapping[str, str | None], time: str, at: float) -> None:
        for host, address in found.items():
            if address is None:
                self._fail(host, "", _NO_ADDRESS, time, at)
            else:
                self._pass(host, "", time, at)

    def end_service(self, time: str) -> None:
        """End all losses, because the service was removed."""
        for host in list(self._loss_of):
            self._recover(host, time, 0.0)

    def advance(self, at: float) -> None:
        """Count the time until ``at``."""
        if self._forced and (loss := self._latest):
            loss.forced_seconds += max(0.0, at - self._since)
        self._since = at

    @property
    def _latest(self) -> Loss | None:
        """The loss to which the present numbers belong: the last one that began."""
        return next(reversed(self._open.values()), None)

    def _place(self, host: str, word: str) -> None:
        before = self._placed.get(host, OUT)
        self._placed[host] = word
        if self._weights.get(host):
            self._pooled += (word != OUT) - (before != OUT)
            self._forced += (word == FORCED) - (before == FORCED)

    def _configure(self, settings: Document) -> None:
        self._threshold = float(settings["depool_threshold"])
        for failing in self._failing.values():
            for monitor in failing.keys() - {"", *settings["monitors"]}:
                del failing[monitor]

    def _list(self, members: Mapping[str, Any], time: str, at: float) -> None:
        found = [member_of(host, value) for host, value in members.items()]
        self._weights = {member.host: member.weight for member in found}
        self._disabled = {each.host: who_enabled(each) for each in found if not each.enabled}
        for own in (self._placed, self._failing):
            for host in own.keys() - members.keys():
                own.pop(host)
        words = [word for host, word in self._placed.items() if self._weights[host]]
        self._pooled, self._forced = len(words) - words.count(OUT), words.count(FORCED)
        for host in [host for host in self._loss_of if not self._counts(host)]:
            self._recover(host, time, at)
        for host, failing in self._failing.items():
            if host not in self._loss_of and self._counts(host):
                self._lose(host, next(iter(failing.items())), time, at)

    def _counts(self, host: str) -> bool:
        """Return whether the failure of a server is a loss."""
        return self._weights.get(host, 0) > 0 and host not in self._disabled

    def _fail(self, host: str, monitor: str, reason: str, time: str, at: float) -> None:
        if host not in self._weights:
            return
        self._failing.setdefault(host, {})[monitor] = reason
        if self._counts(host):
            self._lose(host, (monitor, reason), time, at)

    def _pass(self, host: str, monitor: str, time: str, at: float) -> None:
        failing = self._failing.get(host)
        if monitor:
            self._passed.add(host)
        if failing is None:
            return
        failing.pop(monitor, None)
        if not failing:
            del self._failing[host]
            if host in self._loss_of:
                self._recover(host, time, at)

    def _lose(self, host: str, why: tuple[str, str], time: str, at: float) -> None:
        loss = self._loss_of.get(host)
        if loss is None:
            loss = self._loss_of[host] = self._present_loss(time, at)
            loss.servers[host] = None
            loss.down.add(host)
            loss.failures += 1
            loss.last_at, loss.end = at, ""
            loss.first_check = loss.first_check and host not in self._passed
            self._open[id(loss)] = loss
            loss.most = max(loss.most, len(loss.down))
        monitor, text = why
        reason = f"{monitor} {text}" if monitor else text
        if reason in loss.reasons or len(loss.reasons) < _REASONS:
            loss.reasons.setdefault(reason, set()).add(host)

    def _present_loss(self, time: str, at: float) -> Loss:
        """Return the loss to which a server belongs that goes down now."""
        if self.losses and abs(at - self.losses[-1].last_at) < CALM:
            return self.losses[-1]
        total = sum(weight > 0 for weight in self._weights.values())
        before = self._serving if self._complete else None
        spare = None if before is None else max(0, before - floor_of(self._threshold, total))
        loss = Loss(time, at, total, before, spare, dict(self._disabled) if self._complete else {})
        self.losses.append(loss)
        if len(self.losses) > _KEPT:
            self.losses.remove(min(self.losses[:-1], key=lambda each: (not each.end, each.most)))
            self.omitted += 1
        return loss

    def _recover(self, host: str, time: str, at: float) -> None:
        loss = self._loss_of.pop(host)
        loss.down.discard(host)
        loss.last_at = at
        if not loss.down:
            loss.end = time
            self._open.pop(id(loss), None)


class Losses:
    """The losses of all services, by name."""

    def __init__(self) -> None:
        self.services: dict[str, ServiceLosses] = {}
        self._state: tuple[ServiceLosses, str, float] | None = None
        """The pool whose servers follow, with the time of its record."""
        self._n = 0
        self.time = ""
        """The time of the last record."""
        self.announcements = False
        """True if the journal has decisions on announcements: BGP was on."""

    def take(self, record: Document) -> None:
        """Take the next record; a damaged one is ignored."""
        try:
            self._take(record)
        except DAMAGED:
            self._state = None

    def _take(self, record: Document) -> None:
        if "server" in record:
            if self._state is not None:
                service, time, at = self._state
                service.server(record, time, at)
            return
        if self._state is not None:
            self._state[0].see()
            self._state = None
        self._follow(record["n"])
        self.time = str(record["time"])
        if "placed" in record:
            self._of(record["service"]).take(record)
        else:
            self._happen(record)

    def _happen(self, record: Document) -> None:
        """Take a record that is no event of a pool."""
        match record.get("event"):
            case "pool":
                service = self._of(record["service"])
                if service.begin_state(record):
                    self._state = service, self.time, float(record["at"])
            case "end":
                self._of(record["service"]).end_service(self.time)
            case "stop":
                for each in self.services.values():
                    each.advance(float(record["at"]))
            case "bgp" | "decision":
                self.announcements = True

    def _follow(self, n: int) -> None:
        """Follow the numbers of the records: after a restart or a gap, the state of all pools is unknown."""
        for each in self.services.values() if n == 1 or n != self._n + 1 else ():
            if n == 1:
                each.restart(self.time)
            else:
                each.forget()
        self._n = n

    def _of(self, service: object) -> ServiceLosses:
        name = str(service)
        found = self.services.get(name)
        if found is None:
            found = self.services[name] = ServiceLosses()
        return found

    def worst(self) -> Sequence[tuple[str, Loss]]:
        """Return all losses with their services, those with the smallest serving share first."""
        found = [(name, loss) for name, each in self.services.items() for loss in each.losses]
        return sorted(found, key=lambda each: (*_key(each[1]), each[1].begin))

    @property
    def omitted(self) -> int:
        """The number of further losses."""
        return sum(each.omitted for each in self.services.values())


def losses_of(records: Iterable[Document]) -> Losses:
    """Return the losses of records at their end."""
    losses = Losses()
    for record in records:
        losses.take(record)
    return losses


def losses_text(losses: Losses) -> Iterator[str]:
    """Yield a line for each of the worst losses."""
    found = losses.worst()
    if found:
        yield "Losses, the worst for clients first"
    for name, loss in found[:SHOWN]:
        yield f"  {name}: {loss_text(loss, losses.time)}"
    if more := max(0, len(found) - SHOWN) + losses.omitted:
        yield f"  and {more} more"


def loss_text(loss: Loss, until: str) -> str:
    """Return a loss as a line; ``until`` is the end of the journal."""
    return f"{_times(loss, until)}: {'; '.join(_facts(loss))}"


def _times(loss: Loss, until: str) -> str:
    begin = f"{'down at the first check, ' if loss.first_check else ''}{loss.begin}"
    if not loss.end:
        return f"{begin} to the end of the journal ({format_duration(loss.seconds(until))})"
    day, _, clock = loss.end.partition("T")
    end = clock if loss.begin.startswith(f"{day}T") else loss.end
    restarted = ", pybal restarted" if loss.restarted else ""
    return f"{begin} to {end} ({format_duration(loss.seconds(until))}{restarted})"


def _facts(loss: Loss) -> Iterator[str]:
    names = "" if len(loss.servers) >= loss.total else f" ({first_of(list(loss.servers), NAMED)})"
    reasons = sorted(loss.reasons.items(), key=lambda each: -len(each[1]))
    why = [f"{len(hosts)} x {reason}" if len(reasons) > 1 else reason for reason, hosts in reasons]
    again = f", {loss.failures} failures" if loss.failures > len(loss.servers) else ""
    yield f"{loss.most} of {numbered(loss.total, 'server')} down{names}{again}, {first_of(why, 3)}"
    if loss.serving is not None:
        forced = (
            f", servers forced for {format_duration(round(loss.forced_seconds, 3))}, at most {loss.most_forced}"
            if loss.most_forced
            else ""
        )
        yield f"at worst {loss.serving} of {loss.pooled} pooled servers served{forced}"
    before = list(_before(loss))
    if before:
        yield f"before it {', '.join(before)}"


def _before(loss: Loss) -> Iterator[str]:
    if loss.spare == 0 and not loss.first_check:
        yield "no more servers could be depooled"
    by_word: dict[str, list[str]] = {}
    for host, word in loss.disabled.items():
        by_word.setdefault(word, []).append(host)
    for word, hosts in by_word.items():
        yield f"{len(hosts)} {word} ({first_of(hosts, NAMED)})"


def losses_json(losses: Losses) -> Iterable[dict[str, Any]]:
    """Return the same of all losses as JSON, with all names; ``end`` is null while one lasts."""
    return [
        {
            "service": name,
            "begin": loss.begin,
            "end": loss.end or None,
            "seconds": loss.seconds(losses.time),
            "first_check": loss.first_check,
            "restarted": loss.restarted,
            "servers": list(loss.servers),
            "most_down": loss.most,
            "total": loss.total,
            "failures": loss.failures,
            "reasons": {reason: sorted(hosts) for reason, hosts in loss.reasons.items()},
            "worst": {"serving": loss.serving, "pooled": loss.pooled},
            "most_forced": loss.most_forced,
            "forced_seconds": round(loss.forced_seconds, 3),
            "before": {"serving": loss.serving_before, "spare": loss.spare, "disabled": dict(loss.disabled)},
        }
        for name, loss in losses.worst()
    ]
