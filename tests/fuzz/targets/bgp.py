"""Lines of ExaBGP and of its relay, and the files of BGP."""

from __future__ import annotations

import re

from pybal.bgp.drains import DrainError, read, write
from pybal.bgp.exabgp import events
from pybal.bgp.exabgp.log_fold import FOLD_SECONDS, LogFold
from pybal.bgp.notification import describe
from pybal.bgp.passwords import UnusablePasswordError, read_password
from pybal.runtime.line_feed import LineFeed
from pybal.runtime.lines import LineSplitter
from tests.fuzz.scratch import scratch_file, scratch_folder
from tests.fuzz.target import Fuzzed, choices, is_line, target
from tests.harness.turning_clock import TurningClock

HEAD = b'{ "exabgp": "5.0.0", "type": "%s", "neighbor": { "address": { "peer": "10.92.1.1" }, '
LINES = (
    HEAD % b"update" + b'"direction": "send", "message": { "update": { "attribute": { "med": 7, "community": [ [ 65535, 0 ] ] }, '
    b'"announce": { "ipv4 unicast": { "10.92.1.2": [ { "nlri": "10.200.0.1/32" } ] } }, "withdraw": { "ipv4 unicast": [ "10.0.0.2/32" ] } } } } }',
    HEAD % b"fsm" + b'"state": "OPENCONFIRM" } }',
    HEAD % b"state" + b'"state": "down", "reason": "peer reset\\n" } }',
    HEAD % b"open" + b'"direction": "receive", "open": { "asn": 23456, "capabilities": { "65": { "asn4": 4200000001 }, "1": { "families": [ "ipv4/unicast" ] } } } } }',
    HEAD % b"notification" + b'"direction": "receive", "notification": { "code": 6, "subcode": 2, "data": "53687574646f776e" } } }',
    b"!hello 7",
    b"!beat",
    b'{ "answer": "done" }',
    b"error",
    b"exabgp 5.0.15",
    HEAD % b"update" + b'"direction": "send", "message": { "update": { "attribute": { "med": 1e999 }, "withdraw": { "x": [ 7 ] } } } } }',
)  # fmt: skip
WORDS = ("1e999", "null", "true", "[]", "{}", "-1", '"10.0.0.1/32"', '"nlri"', '"med"', '"code"', '"subcode"', '"asn"')


def is_event(event: events.Event | None) -> None:
    """Fail unless the texts of an event are lines."""
    match event:
        case events.StateChanged(reason=reason) if reason:
            is_line(reason, 4000)
        case events.Notified(text=text):
            is_line(text, 6000)
        case events.OpenReceived(asn=asn, families=families):
            assert type(asn) is int
            assert families <= {4, 6}
        case events.UpdateSent(announced=announced, withdrawn=withdrawn):
            assert announced or withdrawn
            assert all(type(each.med) is int for each in announced)
        case events.Unrecognised(line=line):
            assert 0 < len(line) <= 200
        case events.VersionReported(version=version):
            assert len(version) <= 40


@target("pybal.bgp.exabgp.events", seeds=LINES, words=WORDS)
def exabgp_line(data: bytes) -> None:
    """No line raises, and a line means the same with blanks around it."""
    event = events.read(data)
    is_event(event)
    assert repr(events.read(b" " + data + b"\r\n")) == repr(event)


@target(
    "pybal.runtime.line_feed",
    "pybal.runtime.lines",
    "pybal.bgp.exabgp.events",
    seeds=[
        choices(b"\n".join(LINES[5:10]) + b"\n", 9),
        choices(b"done\n" * 150, 0),
        choices(b"x" * 200 + b"\n\ndone", 3),
    ],
    words=("\n", "done\n", "!beat\n"),
)
def exabgp_stream(data: bytes) -> None:
    """A stream cut anywhere has the same events; a turn handles 100 lines at most."""
    pieces = Fuzzed(data).pieces()
    assert _received([b"".join(pieces)]) == _received(pieces)


def _received(pieces: list[bytes]) -> list[str]:
    clock, found, paused = TurningClock(), list[str](), list[bool]()
    feed = LineFeed(
        LineSplitter(100, truncate=True),
        lambda line: found.append(repr(events.read(line))),
        clock,
        pause=lambda: paused.append(True),
        resume=paused.clear,
    )
    for piece in pieces:
        before = len(found)
        feed.feed(piece)
        assert len(found) - before <= 100
        while feed.busy:
            assert paused
            before = len(found)
            clock.turn()
            assert len(found) - before <= 100
        assert not paused
    feed.close()
    assert not clock.getDelayedCalls()
    return found


@target("pybal.bgp.notification", seeds=[b"Shutdown Communication: bye\n\xff\2\6", b"\1\1"])
def notification(data: bytes) -> None:
    """Any code has a text; the words of the other operator are escaped."""
    fuzzed = Fuzzed(data)
    code, subcode = fuzzed.number(), fuzzed.number()
    text = describe(code, subcode, fuzzed.rest)
    is_line(text, 100 + 10 * len(data))
    assert text.startswith(f"notification {code}/{subcode}, ")


@target("pybal.bgp.exabgp.log_fold", seeds=[b"outgoing-7 lost\noutgoing-8 lost\n10.0.0.1 up\n"])
def log_fold(data: bytes) -> None:
    """Each line is logged or counted, and every count is in a summary."""
    fold, logged = LogFold(), list[str]()
    texts = [line.decode("utf-8", "replace") for line in data.split(b"\n")]
    for text in texts:
        if fold.admit(text, 0.0):
            logged.append(text)
    summaries = list(fold.ended(FOLD_SECONDS))
    counted = sum(int(line.rpartition(" (")[2].split()[0]) for line in summaries)
    assert len(logged) + counted == len(texts)
    assert texts[0] in logged


@target(
    "pybal.bgp.drains",
    seeds=[
        b'{"version": 1, "drains": [{"vip": "10.0.0.1", "by": "a", "reason": "b"}, {"vip": null, "by": "a", "reason": "b"}]}',
        b'{"version": 1, "drains": [{"vip": 1, "by": "\\n", "reason": ""}]}',
        b"[[[",
    ],
    words=('"drains"', '"vip"', '"by"', '"reason"', '"version"', "null"),
)  # fmt: skip
def drains_file(data: bytes) -> None:
    """A file is refused in a line, or written and read again."""
    with scratch_file(data) as file:
        try:
            found = read(file, 7.0)
        except DrainError as error:
            is_line(ascii(str(error)), 3000)
            return
    for vip, drain in found.items():
        assert drain.vip == vip
        is_line(drain.reason, 1024)
    with scratch_folder() as folder:
        write(folder / "drains", found.values())
        assert read(folder / "drains", 7.0) == found


@target("pybal.bgp.passwords", "pybal.runtime.regular_file", seeds=[b"secret\r\nx", b"a b", b"\xff", b"\n"])
def password_file(data: bytes) -> None:
    """A password is one word; a refusal never shows the content."""
    with scratch_folder() as folder:
        (folder / "password").write_bytes(data)
        try:
            found = read_password(folder / "password")
        except UnusablePasswordError as error:
            is_line(str(error), 100)
            return
    assert re.fullmatch(r"[!-~]{1,80}", found)
    assert data.decode("latin-1").lstrip().startswith(found)
