"""The decisions of other settings on the recorded events, beside the recorded ones. Pure.

Both sides see the same events at the same times: results of checks, lists and addresses do not depend on the settings that can be
changed here. The state of IPVS is the recorded one. While a start lasts, until the servers of the first list are checked, pools
differ by nothing that clients notice for long; these times are kept apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pybal.bgp.verdict import Verdict
from pybal.core.events import Event, Reconfigured
from pybal.core.model import Address, Condition, Health, Pool, Service
from pybal.core.policy import serving, step
from pybal.core.text import first_of, format_duration, numbered
from pybal.journal.announcements import AnnouncementSettings
from pybal.journal.event_text import NAMED, is_held, state_of
from pybal.journal.losses import serving_key
from pybal.journal.replay import Announcing, Applied, Replay
from pybal.journal.values import DAMAGED, Document

MOST_MOMENTS = 20
"""Moments of a difference that are kept; the others are counted."""
LONGEST_START = 60.0
"""Seconds of a start, at most: a server may have no conclusive result."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Other settings: each function returns them for the recorded ones."""

    service: Callable[[Service], Service]
    announcements: Callable[[AnnouncementSettings], AnnouncementSettings]


@dataclass(slots=True)
class PoolFigures:
    """Figures of one side about one pool, without its start. Times are seconds.

    A server that is *kept out* is enabled, down and not pooled. A *held* one is pooled by ``suspect-check = hold`` though down.
    ``fewest_serving`` of ``of_pooled`` servers served when the smallest share did.
    """

    fewest_pooled: int | None = None
    fewest_serving: int | None = None
    of_pooled: int | None = None
    most_down_pooled: int = 0
    seconds_down_pooled: float = 0.0
    server_seconds_down_pooled: float = 0.0
    most_held: int = 0
    most_kept_out: int = 0
    seconds_kept_out: float = 0.0
    server_seconds_kept_out: float = 0.0
    seconds_without_server: float = 0.0
    _pooled: int = 0
    _down: int = 0
    _out: int = 0

    def last(self, seconds: float) -> None:
        """Count a time in which nothing changed."""
        if self.fewest_pooled is None:
            return
        self.seconds_down_pooled += seconds if self._down else 0.0
        self.server_seconds_down_pooled += seconds * self._down
        self.seconds_kept_out += seconds if self._out else 0.0
        self.server_seconds_kept_out += seconds * self._out
        self.seconds_without_server += 0.0 if self._pooled else seconds

    def see(self, pool: Pool) -> None:
        """Take the state of the pool from now on."""
        count = pool.servers.count
        self._pooled, self._down, self._out = count(_takes_traffic), count(_is_down_pooled), count(_is_kept_out)
        self.fewest_pooled = min(self._pooled, self._pooled if self.fewest_pooled is None else self.fewest_pooled)
        serves = serving(pool)
        fewest = self.fewest_serving
        if fewest is None or serving_key(serves, self._pooled) < serving_key(fewest, self.of_pooled or 0):
            self.fewest_serving, self.of_pooled = serves, self._pooled
        self.most_down_pooled = max(self.most_down_pooled, self._down)
        self.most_held = max(self.most_held, count(is_held))
        self.most_kept_out = max(self.most_kept_out, self._out)


@dataclass(slots=True)
class VIPFigures:
    """Figures of one side about one VIP. Times are seconds."""

    seconds_not_announced: float = 0.0
    withdrawals: int = 0
    _announced: bool = False

    def last(self, seconds: float) -> None:
        """Count a time in which nothing changed."""
        self.seconds_not_announced += 0.0 if self._announced else seconds

    def see(self, verdict: Verdict | None) -> None:
        """Take the verdict from now on."""
        announced = verdict is not None and verdict.announcement is not None
        self.withdrawals += self._announced and not announced
        self._announced = announced


@dataclass(slots=True)
class Pair:
    """Both sides of a pool or VIP: recorded and alternative; ``since`` is the time of the last change.

    ``different`` is the difference now, by host or VIP. ``starting`` is true while a start lasts, which is not in the figures.
    """

    recorded: Any
    alternative: Any
    since: float
    seconds_different: float = 0.0
    seconds_different_at_start: float = 0.0
    different: Mapping[str, str] = field(default_factory=dict)
    starting: bool = False
    started: bool = False
    """True if a start lasted until now."""

    def advance(self, at: float) -> None:
        """Count the time up to ``at``."""
        seconds = max(0.0, at - self.since)
        self.since = at
        if self.starting:
            self.seconds_different_at_start += seconds if self.different else 0.0
            return
        self.recorded.last(seconds)
        self.alternative.last(seconds)
        self.seconds_different += seconds if self.different else 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A moment at which the difference changes; ``different`` is all of it, ``text`` what changed."""

    time: str
    subject: str
    text: str
    different: Mapping[str, str]


@dataclass(slots=True)
class Comparison:
    """The alternative beside a replay."""

    alternative: Alternative
    replay: Replay = field(default_factory=Replay)
    services: dict[str, Pair] = field(default_factory=dict)
    vips: dict[Address, Pair] = field(default_factory=dict)
    moments: list[Difference] = field(default_factory=list)
    start_moments: list[Difference] = field(default_factory=list)
    more_moments: int = 0
    announcements: AnnouncementSettings | None = None
    """The recorded settings of announcements, ``None`` without a decision: BGP is off."""
    _starts: dict[int, float] = field(default_factory=dict)
    """The times of the starts of pools that last."""
    _pools: dict[int, Pool] = field(default_factory=dict)
    _announcing: Announcing = field(default_factory=Announcing)
    _breaks: int = 0
    _differences: int = 0

    def take(self, record: Document) -> None:
        """Replay one record on both sides."""
        before = self.replay.at
        applied = self.replay.take(record)
        if self.replay.breaks != self._breaks:
            self._restart(before)
        if len(self.replay.differences) != self._differences:  # the recorded state has replaced a pool
            self._differences = len(self.replay.differences)
            self._pools.clear()
        if len(self._pools) < len(self.replay.pools):
            self._adopt()
        if applied:
            self._apply(applied)
        with suppress(*DAMAGED):  # a damaged record, which is a problem of the replay
            self._take_other(record)

    def _take_other(self, record: Document) -> None:
        """Take a record that is no event of a pool."""
        match record.get("event"):
            case "end":
                self._end(record["pool"])
            case "bgp":
                self._announcing.take(record)
                self.announcements = self._announcing.settings
                if self._announcing.settings:
                    self._announcing.settings = self.alternative.announcements(self._announcing.settings)
            case "decision":
                self._decide(record)

    def finish(self) -> None:
        """Count the time up to the last record."""
        for pair in (*self.services.values(), *self.vips.values()):
            pair.advance(self.replay.at)

    def _restart(self, at: float) -> None:
        """Begin again after a gap or a restart, which is a time of neither side."""
        self._breaks = self.replay.breaks
        for pair in (*self.services.values(), *self.vips.values()):
            pair.advance(at)
            pair.since = float("inf")
        self._pools.clear()
        self._starts.clear()
        self._announcing = Announcing()

    def _adopt(self) -> None:
        for number, pool in self.replay.pools.items():
            if number not in self._pools:
                service = self.alternative.service(pool.service)
                if not pool.listed:
                    self._starts[number] = self.replay.at
                self._pools[number] = pool if service == pool.service else step(pool, Reconfigured(service))
                self._compare(number)

    def _altered(self, event: Event) -> Event:
        return Reconfigured(self.alternative.service(event.service)) if isinstance(event, Reconfigured) else event

    def _apply(self, applied: Applied) -> None:
        number = applied.number
        other, event = self._pools[number], self._altered(applied.event)
        shared = other is applied.before and event == applied.event
        self._pools[number] = applied.after if shared else step(other, event)
        if applied.after.service.name != applied.before.service.name:
            self.services.pop(applied.before.service.name, None)
        self._compare(number)

    def _end(self, number: int) -> None:
        pool = self._pools.get(number)
        if pool is not None and (pair := self.services.get(pool.service.name)):
            pair.advance(self.replay.at)
            pair.since = float("inf")

    def _compare(self, number: int) -> None:
        mine, other = self.replay.pools[number], self._pools[number]
        name = mine.service.name
        pair = self.services.get(name)
        if pair is None:
            pair = self.services[name] = Pair(PoolFigures(), PoolFigures(), self.replay.at)
        pair.advance(self.replay.at)
        pair.started, pair.starting = pair.starting, self._is_starting(number, mine)
        if not pair.starting:
            pair.recorded.see(mine)
            pair.alternative.see(other)
        self._note(pair, name, {} if mine.servers is other.servers else _pool_difference(mine, other))

    def _is_starting(self, number: int, pool: Pool) -> bool:
        began = self._starts.get(number)
        if began is None:
            return False
        if self.replay.at - began < LONGEST_START and (not pool.listed or pool.servers.count(_is_awaited)):
            return True
        del self._starts[number]
        return False

    def _decide(self, record: Document) -> None:
        found = self._announcing.decide(record, self._pools)
        if found is None:
            return
        verdicts = found[0]
        for vip in verdicts.keys() | self.replay.verdicts.keys():
            mine, other = self.replay.verdicts.get(vip), verdicts.get(vip)
            pair = self.vips.get(vip)
            if pair is None:
                pair = self.vips[vip] = Pair(VIPFigures(), VIPFigures(), self.replay.at)
            pair.advance(self.replay.at)
            pair.recorded.see(mine)
            pair.alternative.see(other)
            self._note(pair, str(vip), _verdict_difference(vip, mine, other))

    def _note(self, pair: Pair, subject: str, now: Mapping[str, str]) -> None:
        before, pair.different = pair.different, now
        if now == before:
            return
        at_start = pair.starting or (pair.started and not now)
        moments = self.start_moments if at_start else self.moments
        if len(moments) < MOST_MOMENTS:
            moments.append(Difference(self.replay.time, subject, _news(before, now), now))
        else:
            self.more_moments += not at_start


def _news(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return what changed of a difference."""
    found: dict[str, list[str]] = {}
    for name, text in now.items():
        if before.get(name) != text:
            found.setdefault(text, []).append(name)
    if again := [name for name in before if name not in now]:
        found["equal again"] = again
    if not now:
        return "equal again"
    return "; ".join(f"{first_of(names, NAMED)} {text}" for text, names in found.items())


def _pool_difference(mine: Pool, other: Pool) -> Mapping[str, str]:
    found = {}
    for host, server in mine.servers.items():
        instead = other.servers[host]
        if instead is not server and (now := state_of(instead)) != (then := state_of(server)):
            found[host] = f"{now} instead of {then}"
    return found


def _verdict_difference(vip: Address, mine: Verdict | None, other: Verdict | None) -> Mapping[str, str]:
    recorded, alternative = _state(mine), _state(other)
    return {} if recorded == alternative else {str(vip): f"{alternative} instead of {recorded}"}


def _state(verdict: Verdict | None) -> str:
    if verdict is None:
        return "no decision"
    if verdict.announcement is None:
        return f"not announced ({verdict.why})"
    return f"announced with MED {verdict.announcement.med}"


def _takes_traffic(server: Condition) -> bool:
    return server.pooled and server.weighted


def _is_down_pooled(server: Condition) -> bool:
    return server.pooled_down


def _is_kept_out(server: Condition) -> bool:
    return server.enabled and server.health is Health.DOWN and not server.pooled


def _is_awaited(server: Condition) -> bool:
    return server.usable and (server.health is Health.UNKNOWN or not server.ready)


_POOL_LINES: Mapping[str, str] = {
    "fewest_pooled": "servers pooled, fewest",
    "fewest_serving": "serving of the pooled ones, fewest",
    "most_down_pooled": "down servers pooled, most",
    "most_held": "  of them held by suspect-check, most",
    "seconds_down_pooled": "time with a down server pooled",
    "server_seconds_down_pooled": "down servers pooled x time",
    "most_kept_out": "down servers kept out, most",
    "seconds_kept_out": "time with a down server kept out",
    "server_seconds_kept_out": "down servers kept out x time",
    "seconds_without_server": "time without a pooled server",
}
_VIP_LINES: Mapping[str, str] = {
    "seconds_not_announced": "time not announced",
    "withdrawals": "withdrawals",
}
_ADVICE = (
    "If the servers were really down, fewer of them pooled is better; if the check was wrong, fewer kept out is better"
)


def comparison_text(found: Comparison, remarks: Sequence[str] = ()) -> Iterator[str]:
    """Yield the ``remarks``, a table of the services and VIPs that differ, and the first moments of it."""
    yield from remarks
    differing = [each for each in _pairs(found) if each[1].seconds_different or each[1].recorded != each[1].alternative]
    if differing:
        yield f"{'':40}{'RECORDED':>12}{'OTHER':>12}"
    yield from _table(differing)
    if any(isinstance(pair.recorded, PoolFigures) for _, pair, _ in differing):
        yield _ADVICE
    if not differing:
        yield "These settings would have made the same decisions"
    yield from _starts_text(found)
    moments = found.moments or found.start_moments
    if moments:
        yield "Moments at which the difference changed (other instead of recorded)"
    for each in moments:
        yield f"  {each.time} {each.subject}: {each.text}"
    if found.more_moments:
        yield f"  and {numbered(found.more_moments, 'more moment')}"


def _table(differing: Iterable[tuple[str, Pair, Mapping[str, str]]]) -> Iterator[str]:
    """Yield the figures that are not 0 on both sides."""
    for subject, pair, names in differing:
        yield subject
        for name, label in names.items():
            if any(getattr(side, name) for side in (pair.recorded, pair.alternative)) or name.startswith("fewest"):
                yield f"  {label:38}{_figure(pair.recorded, name):>12}{_figure(pair.alternative, name):>12}"
        yield f"  {'time in which they differ':38}{'':12}{_seconds(pair.seconds_different):>12}"


def _starts_text(found: Comparison) -> Iterator[str]:
    """Yield a line about the differences that are not in the figures."""
    starts = [
        f"{name} {format_duration(pair.seconds_different_at_start)}"
        for name, pair, _ in _pairs(found)
        if pair.seconds_different_at_start
    ]
    if starts:
        yield f"Not counted: differences during a start, until the first list was checked ({first_of(starts, NAMED)})"


def comparison_json(found: Comparison, remarks: Sequence[str] = ()) -> dict[str, Any]:
    """Return the figures of all services and VIPs as JSON."""
    return {
        "remarks": list(remarks),
        "bgp": found.announcements is not None,
        "subjects": {
            subject: {
                "recorded": _figures(pair.recorded),
                "what_if": _figures(pair.alternative),
                "seconds_different": pair.seconds_different,
                "seconds_different_at_start": pair.seconds_different_at_start,
            }
            for subject, pair, _ in _pairs(found)
        },
        "moments": list(map(asdict, found.moments)),
        "start_moments": list(map(asdict, found.start_moments)),
        "more_moments": found.more_moments,
    }


def _figures(figures: PoolFigures | VIPFigures) -> dict[str, Any]:
    return {each.name: getattr(figures, each.name) for each in fields(figures) if not each.name.startswith("_")}


def _pairs(found: Comparison) -> Iterator[tuple[str, Pair, Mapping[str, str]]]:
    for name, pair in found.services.items():
        yield name, pair, _POOL_LINES
    for vip, pair in found.vips.items():
        yield str(vip), pair, _VIP_LINES


def _figure(figures: object, name: str) -> str:
    value = getattr(figures, name)
    if name == "fewest_serving" and isinstance(figures, PoolFigures):
        return f"{value} of {figures.of_pooled}"
    return "-" if value is None else _seconds(value) if isinstance(value, float) else str(value)


def _seconds(value: float) -> str:
    return f"{value:.1f} s"
