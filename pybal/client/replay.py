"""The command ``replay``: makes the decisions of a journal again, and explains moments and losses."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from datetime import time as time_of_day
from functools import partial
from pathlib import Path

from pybal.client.beside import beside
from pybal.config.errors import ConfigError
from pybal.config.parse import parse
from pybal.control.wire import DIFFERENT, DONE
from pybal.core.text import printable
from pybal.journal.alternative import (
    GLOBAL,
    Change,
    NoSuchChangeError,
    alternative,
    changes_of,
    read_change,
    remarks_on,
)
from pybal.journal.losses import Losses, losses_of
from pybal.journal.mask import masked
from pybal.journal.moment import OutsideError, moment, moment_json, moment_text, range_of
from pybal.journal.reader import JournalError, Reader, lines_of
from pybal.journal.replay import Replay, replayed
from pybal.journal.summary import summary_json, summary_text
from pybal.journal.timeline import Line, Timeline
from pybal.journal.values import DAMAGED
from pybal.journal.whatif import Comparison, comparison_json, comparison_text
from pybal.runtime.clocks import iso

_DATED = re.compile(r"\d{4}")

LARGE = 16 << 20
"""Bytes of a journal of which a second process finds the losses: it takes a second to read."""

Fail = Callable[[str], int]
"""Prints the reason of a failure and returns the exit code."""


def replay(options: argparse.Namespace, fail: Fail) -> int:
    """Replay a journal; return the exit code. Raises OSError."""
    reader = Reader(Path(options.journal))
    modes = {"--mask": options.mask, "--set/--conf": options.set or options.conf}
    modes |= {"--events": options.events, "--at": options.at}
    if len(given := [name for name, value in modes.items() if value]) > 1:
        return fail(f"{' and '.join(given)} cannot be combined (run one after the other)")
    try:
        if options.mask:
            return _mask(options, reader)
        if options.set or options.conf:
            return _what_if(options, reader)
        if options.events:
            return _events(options, reader, fail)
        return _moment(options, reader, fail) if options.at else _summary(options, reader)
    except (JournalError, NoSuchChangeError, OutsideError) as error:
        return fail(str(error))
    except (*DAMAGED, RecursionError, MemoryError) as error:
        return fail(
            f"{options.journal}: cannot be shown: {error!r} (damaged, or a bug: please report it with the journal)"
        )


def _summary(options: argparse.Namespace, reader: Reader) -> int:
    found, losses = checked(reader)
    if options.json:
        print(json.dumps(summary_json(found, losses, reader.problems), indent=1))
    else:
        _print(summary_text(found, losses, reader.problems))
    return DIFFERENT if found.differences else DONE


def checked(reader: Reader) -> tuple[Replay, Losses]:
    """Return the replay of a whole journal, and its losses. Raises OSError or JournalError.

    Losses come from the records alone, so that of a large journal a second process finds them.
    """
    if reader.fix() >= LARGE:
        with beside(partial(_losses, Reader(reader.path, sizes=reader.sizes))) as result:
            found = replayed(reader)
            losses, problems = result()
        reader.problems += [each for each in problems if each not in reader.problems]
        return found, losses
    found, losses = Replay(), Losses()
    for record in reader:
        losses.take(record)
        found.check(record)
    return found, losses


def _losses(reader: Reader) -> tuple[Losses, list[str]]:
    """Return the losses of a journal, and what was left out."""
    return losses_of(reader), reader.problems


def _moment(options: argparse.Namespace, reader: Reader, fail: Fail) -> int:
    text, service = options.at
    if Path(options.journal).is_fifo():
        return fail("--at reads a journal twice, which a pipe does not allow (write it to a file first)")
    time = _time(text, options.journal)
    if time is None:
        return fail(f"--at: invalid time {text!r} (use 2026-11-30T03:00:00Z, or 03:00:00Z; without Z it is local time)")
    found = Replay()
    there = moment(found, reader, time, service)
    if service not in found.services:
        begin, end = range_of(Reader(Path(options.journal)))
        known = ", ".join(found.services) or "none"
        return fail(
            f"no service {service} in the journal until {time}"
            f" (services until then: {known}; the journal has {begin} to {end})"
        )
    if options.json:
        print(json.dumps(moment_json(there), indent=1))
    else:
        _print(moment_text(there))
    return DONE


def _time(text: str, journal: str) -> str | None:
    """Return a time in the form of the records, ``None`` if it is invalid. Raises OutsideError."""
    try:
        return iso(datetime.fromisoformat(text)) if _DATED.match(text) else _on_its_day(text, journal)
    except (ValueError, OverflowError):
        return None


def _on_its_day(text: str, journal: str) -> str:
    """Return the only time in the journal that has this time of day. Raises ValueError or OutsideError."""
    clock = time_of_day.fromisoformat(text)
    begin, end = range_of(Reader(Path(journal)))
    first, last = (datetime.fromisoformat(each).astimezone(clock.tzinfo) for each in (begin, end))
    days = [first.date() + timedelta(days=number) for number in range((last.date() - first.date()).days + 1)]
    times = [iso(datetime.combine(day, clock)) for day in days]
    inside = [each for each in times if begin <= each <= end]
    if len(inside) == 1 or len(times) == 1:
        return (inside or times)[0]
    why = "on several days" if inside else "on no day"
    raise OutsideError(f"--at: {text} is {why} of the journal, which has {begin} to {end} (add the date)")


def _events(options: argparse.Namespace, reader: Reader, fail: Fail) -> int:
    found, waiting = Replay(), list[Line]()
    timeline = Timeline(found, options.events)
    for record in reader:
        waiting += timeline.take(record)
        if found.services.keys() & set(options.events):  # otherwise a misspelt service had the events of the daemon
            _print_lines(waiting, options)
            waiting.clear()
    if unknown := [each for each in options.events if each not in found.services]:
        return fail(f"no service {unknown[0]} in the journal (services: {', '.join(found.services) or 'none'})")
    _print_lines(waiting, options)
    return DONE


def _print_lines(lines: Iterable[Line], options: argparse.Namespace) -> None:
    for line in lines:
        if options.json:
            print(json.dumps(line.json()))
        else:
            name = f"{line.service}: " if line.service and len(options.events) > 1 else ""
            _print((f"{line.time} {name}{line.text}",))


def _what_if(options: argparse.Namespace, reader: Reader) -> int:
    changes: list[Change] = []
    if options.conf:
        from pybal.monitors.kinds import KINDS  # noqa: PLC0415  # imports all kinds of monitors

        try:
            changes += changes_of(parse(Path(options.conf).read_bytes(), options.conf, KINDS).settings)
        except ConfigError as refused:
            raise NoSuchChangeError(str(refused)) from None
    given = list(map(read_change, options.set))
    found = Comparison(alternative([*changes, *given]))
    for record in reader:
        found.take(record)
    found.finish()
    if unknown := [each for each in given if each.section not in {GLOBAL, *found.replay.services}]:
        known = ", ".join(found.replay.services) or "none"
        raise NoSuchChangeError(f"no service {unknown[0].section} in the journal (services: {known})")
    remarks = list(remarks_on([*changes, *given], given, found))
    if options.json:
        print(json.dumps(comparison_json(found, remarks), indent=1))
    else:
        _print(comparison_text(found, remarks))
    return DONE


def _mask(options: argparse.Namespace, reader: Reader) -> int:
    """Write a copy without names; an existing file is refused."""
    reader.fix()  # the copy may be in the directory of the journal
    copy = Path(options.mask)
    with copy.open("x", encoding="ascii") as file:
        try:
            file.writelines(lines_of(masked(reader)))
        except BaseException:
            copy.unlink()
            raise
    for problem in reader.problems:
        print(f"pybal: {problem}", file=sys.stderr)
    return DONE


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{printable(line)}\n")
