"""The output of ``pybal status``: a summary of the daemon's state. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import tee

from pybal.bgp.delivery import Delivery
from pybal.bgp.verdict import Drain
from pybal.config.describe import NO_SERVICES
from pybal.core.model import Address, Pool, Snapshot
from pybal.core.text import end_of, format_age, numbered
from pybal.runtime.clocks import age
from pybal.status.alerts import alerts, alerts_json, groups_json, groups_text
from pybal.status.bgp import BGP
from pybal.status.compat115 import tally
from pybal.status.json_pieces import JSON, Elements, LargeJSON
from pybal.status.page.facts import HostFinding


@dataclass(frozen=True, slots=True)
class Frozen:
    """The user and the reason of a freeze, with its start and end as monotonic times in seconds."""

    by: str
    reason: str
    since: float
    until: float

    def text(self, now: float) -> str:
        """Return a line such as ``frozen for another 312 s by root: new switch``."""
        return f"frozen for another {max(0.0, self.until - now):.0f} s by {self.by}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The summarised state. ``now`` and ``started`` are monotonic times in seconds.

    ``findings`` are those of `pybal doctor` that need action.
    """

    version: str
    process: int
    started: float
    now: float
    dry_run: bool
    frozen: Frozen | None
    drains: Sequence[Drain]
    monitors: int
    snapshot: Snapshot
    bgp: BGP
    findings: Sequence[HostFinding] = ()

    def text(self) -> Iterator[str]:
        """Yield a line for the daemon, the freeze, each drain, each service and each group of alerts.

        Some texts are empty.
        """
        yield from (line and f"{line}\n" for line in self._lines())
        yield from groups_text(alerts(self.snapshot), self.now)

    def document(self) -> LargeJSON:
        """Return the same as JSON, with each alert and the groups."""
        found, again = tee(alerts(self.snapshot))
        delivered = self._deliveries()
        return {
            "version": self.version,
            "process": self.process,
            "uptime": round(self.now - self.started, 3),
            "dry_run": self.dry_run,
            "frozen": frozen_document(self.frozen, self.now),
            "drains": [drain_document(drain, self.now) for drain in self.drains],
            "monitors": self.monitors,
            "services": Elements(
                _service(pool, delivered.get(pool.service.vip)) for pool in self.snapshot.pools.values()
            ),
            "alerts": alerts_json(found, self.now),
            "groups": groups_json(again, self.now),
            "findings": [_finding(found) for found in self.findings],
        }

    def _lines(self) -> Iterator[str]:
        pools = self.snapshot.pools.values()
        dry = ", dry run" if self.dry_run else ""
        up = f"up for {format_age(self.now - self.started)}"
        yield f"pybal {self.version}, process {self.process}, {up}: {numbered(len(pools), 'service') if pools else NO_SERVICES}, {numbered(self.monitors, 'monitor')}{dry}"
        if self.frozen:
            yield self.frozen.text(self.now)
        for drain in self.drains:
            yield f"drained: {drain_text(drain)}"
        rows: list[tuple[str, ...]] = [_HEAD] if pools else []
        delivered = self._deliveries()
        for pool in pools:
            rows.append(_row(pool, delivered.get(pool.service.vip)))
            yield ""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    def _deliveries(self) -> Mapping[Address, Delivery]:
        return {each.verdict.vip: each for each in self.bgp.deliveries()}


def _finding(found: HostFinding) -> JSON:
    return {"grade": str(found.grade), "about": found.about, "text": found.text, "why": found.why, "fix": found.mend}


def _row(pool: Pool, delivery: Delivery | None) -> tuple[str, ...]:
    sums = tally(pool)
    return (
        pool.service.name,
        f"{pool.service.protocol} {end_of(pool.service.vip, pool.service.port)}",
        f"{sums.serving} of {sums.total}",
        f"{sums.down}",
        f"{sums.pooled}",
        f"{sums.forced}",
        f"{sums.floor}",
        "-" if delivery is None else _announced(delivery),
    )


def _announced(delivery: Delivery) -> str:
    if delivery.why is not None:
        return f"no: {delivery.why}"
    peers = len(delivery.peers)
    return "yes" if peers == delivery.sessions else f"to {peers} of {numbered(delivery.sessions, 'peer')}"


def _service(pool: Pool, delivery: Delivery | None) -> JSON:
    sums = tally(pool)
    return {
        "service": pool.service.name,
        "protocol": str(pool.service.protocol),
        "vip": str(pool.service.vip),
        "port": pool.service.port,
        "total": sums.total,
        "serving": sums.serving,
        "down": sums.down,
        "pooled": sums.pooled,
        "forced": sums.forced,
        "floor": sums.floor,
        "wanted": None if delivery is None else delivery.wanted,
        "announced": None if delivery is None else delivery.wanted and delivery.announced,
        "peers": None if delivery is None else [str(peer) for peer in delivery.peers],
        "why": None if delivery is None or delivery.why is None else str(delivery.why),
    }


_HEAD = ("SERVICE", "ADDRESS", "SERVING", "DOWN", "POOLED", "FORCED", "FLOOR", "ANNOUNCED")


def frozen_document(frozen: Frozen | None, now: float) -> JSON:
    """Return a freeze as JSON, with the remaining seconds; ``None`` if there is no freeze."""
    if frozen is None:
        return None
    left = round(max(0.0, frozen.until - now), 3)
    return {"by": frozen.by, "reason": frozen.reason, "age": age(frozen.since, now), "left": left}


def drain_document(drain: Drain, now: float) -> JSON:
    """Return a drain as JSON; ``vip`` is null for a drain of all VIPs."""
    vip = None if drain.vip is None else str(drain.vip)
    return {"vip": vip, "by": drain.by, "reason": drain.reason, "kept": drain.kept, "age": age(drain.at, now)}


def drain_text(drain: Drain) -> str:
    """Return e.g. ``192.0.2.1/32 by alice: new kernel``."""
    kept = ", kept across restarts" if drain.kept else ""
    return f"{prefix(drain.vip)} by {drain.by}{kept}: {drain.reason}"


def prefix(vip: Address | None) -> str:
    """Return the announced prefix of a VIP; ``None`` stands for all VIPs."""
    return "all VIPs" if vip is None else f"{vip}/{vip.max_prefixlen}"
