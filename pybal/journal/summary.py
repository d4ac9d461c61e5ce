"""The summary of a replay, as text and JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from pybal.core.text import first_of, numbered
from pybal.journal.losses import Losses, losses_json, losses_text
from pybal.journal.replay import Gap, Replay

MOST_LINES = 10
"""Lines about gaps and about problems, at most."""
NAMED = 10
"""Services with their names, at most."""
NO_BGP = "BGP: off, the journal has no decision on announcements"


def summary_text(replay: Replay, losses: Losses, problems: Sequence[str]) -> Iterator[str]:
    """Yield lines; ``problems`` are those of the files."""
    counts, first = replay.counts, replay.first
    yield (
        f"Journal of {first.get('host')}, pybal {first.get('pybal')}: {replay.began} to {replay.time},"
        f" {numbered(counts.runs, 'start')}, {numbered(counts.segments, 'segment')}"
    )
    names = f" ({first_of(list(replay.services), NAMED)})" if replay.services else ""
    yield (
        f"{numbered(len(replay.services), 'service')}{names}, {numbered(counts.events, 'event')} with"
        f" {numbered(counts.reports, 'report')}, {numbered(counts.changes, 'change')} of placement"
    )
    if counts.decisions:
        yield (
            f"BGP: {numbered(counts.decisions, 'decision')} on announcements with"
            f" {numbered(counts.verdicts, 'changed verdict')}"
        )
    elif not losses.announcements:
        yield NO_BGP
    yield from losses_text(losses)
    yield from _limited([*problems, *replay.problems])
    yield from _limited([gap_text(gap) for gap in replay.gaps])
    if counts.skipped:
        yield f"Left out {numbered(counts.skipped, 'event')}: the state before is unknown"
    if replay.differences:
        found = replay.differences[0]
        where = f" of {found.service}" if found.service else ""
        yield f"{numbered(len(replay.differences), 'difference')}; the first is record {found.n}{where} at {found.time}: {found.text}"
    else:
        yield "The replay made every decision as recorded"


def summary_json(replay: Replay, losses: Losses, problems: Sequence[str]) -> dict[str, Any]:
    """Return the same as JSON."""
    return {
        "host": replay.first.get("host"),
        "version": replay.first.get("pybal"),
        "from": replay.began,
        "to": replay.time,
        "services": list(replay.services),
        **asdict(replay.counts),
        "bgp": losses.announcements,
        "losses": losses_json(losses),
        "problems": [*problems, *replay.problems],
        "gaps": [asdict(gap) for gap in replay.gaps],
        "differences": [asdict(each) for each in replay.differences],
    }


def gap_text(gap: Gap) -> str:
    """Return a line about missing records."""
    records = "records" if gap.records is None else numbered(gap.records, "record")
    why = f" ({gap.reason})" if gap.reason else ""
    return f"Gap: {records} missing between {gap.after} and {gap.until}{why}"


def _limited(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        yield f"… and {len(lines) - MOST_LINES} more"
