"""The time for which callbacks held the event loop, as text, JSON, metrics and an alert."""

from __future__ import annotations

from collections.abc import Iterator

from pybal.core.model import Alert
from pybal.runtime.held import Held
from pybal.status.json_pieces import JSON
from pybal.status.metrics import Histogram


def text(held: Held, now: float) -> str:
    """Return a line for each of the longest callbacks, the longest first."""
    return "".join(
        f"{hold.wall * 1e3:.0f} ms ({hold.cpu * 1e3:.0f} ms of CPU) {max(0.0, now - hold.at):.0f} s ago: {hold.call}\n"
        for hold in held.longest()
    )


def json(held: Held, now: float) -> JSON:
    """Return the number and total time of all callbacks, and the longest of them; all times in seconds."""
    return {
        "callbacks": held.turns,
        "seconds": round(held.seconds, 3),
        "longest": [
            {
                "callback": hold.call,
                "wall": round(hold.wall, 4),
                "cpu": round(hold.cpu, 4),
                "age": round(max(0.0, now - hold.at), 3),
            }
            for hold in held.longest()
        ],
    }


def families(held: Held) -> Iterator[Histogram]:
    """Yield the metrics."""
    explanation = "Time for which one callback held the event loop"
    yield Histogram("pybal_loop_held_seconds", explanation, held.buckets(), held.turns, held.seconds)


def alerts(held: Held, now: float) -> Iterator[Alert]:
    """Yield an alert if a callback held the loop for long during the last minute."""
    if alarm := held.alarm(now):
        hold = alarm.longest
        times = f" {alarm.count} times in {now - alarm.since:.0f} s, at most" if alarm.count > 1 else ""
        text = f"event loop held{times} for {hold.wall:.1f} s by {hold.call} {now - hold.at:.0f} s ago ({hold.cause})"
        yield Alert("", "loop", text)
