"""The control socket, the state files, secrets and the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address

from pybal.control.overrides import FILE, Overrides
from pybal.control.wire import (
    LONGEST_REASON,
    CommandReply,
    RequestError,
    read_reply,
    read_request,
    write_reply,
    write_request,
)
from pybal.core.steps import finish
from pybal.http.trust import UnusableFile
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import Key, Mark, ServiceKey
from pybal.runtime.clocks import Clocks
from pybal.runtime.regular_file import read
from pybal.runtime.systemd import watchdog_seconds
from pybal.sources.cache import CachedList, ListCache
from pybal.sources.credentials import secret
from tests.fuzz.scratch import scratch_folder
from tests.fuzz.target import Fuzzed, choices, is_line, target
from tests.harness.fake_workers import FakeWorkers
from tests.harness.immediate import result_of
from tests.harness.turning_clock import TurningClock

WALL = datetime(2026, 11, 29, 12, tzinfo=UTC)


@target(
    "pybal.control.wire",
    seeds=[
        b'{"version": 1, "command": "depool", "arguments": {"service": "web", "duration": 5, "force": true}, "reason": "x"}',
        b'{"version": 2, "x": NaN}',
        b'{"version": 1, "command": [], "reason": "\\n"}',
    ],
    words=('"version"', '"command"', '"arguments"', '"reason"', "1e999", "true", "null"),
)
def control_request(data: bytes) -> None:
    """A line is a request with one line of a reason, or refused in a line; it is written and read again."""
    try:
        request = read_request(data)
    except RequestError as error:
        is_line(str(error), 300)
        return
    assert request.reason.isprintable()
    assert len(request.reason) <= LONGEST_REASON
    line = write_request(request)
    assert line.count(b"\n") == 1
    if b"Infinity" not in line:  # a float that is too large
        assert read_request(line) == request
    for name in request.arguments:
        for reads in (request.text, request.flag, lambda each: request.seconds(each, 1.0, 10.0)):
            try:
                reads(name)
            except RequestError as error:
                assert len(str(error)) < 200 + 6 * len(name)


@target(
    "pybal.control.wire",
    "pybal.status.json_pieces",
    seeds=[b'{"version": 1, "exit": 0, "text": "a\\u001b", "document": {"a": [1]}}', b'{"version": 1, "exit": true}'],
)
def control_reply(data: bytes) -> None:
    """A line is a reply, or refused in a line; it is written and read again, escaped."""
    try:
        reply = read_reply(data)
    except RequestError as error:
        is_line(str(error), 300)
        return
    assert isinstance(reply.exit, int)
    line = finish(write_reply(CommandReply(reply.exit, reply.text, reply.document)))
    assert line.count(b"\n") == 1
    again = read_reply(line)
    assert repr(again.document) == repr(reply.document)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", "".join(again.text))


@target(
    "pybal.control.overrides",
    seeds=[
        (b'{"version": 1, "overrides": [{"service": "web", "host": "a", "by": "x", "reason": "y", '
        b'"since": "2026-11-29T11:00:00Z", "until": "2026-11-29T13:00:00+00:00"}]}'),
        b'{"version": 1, "overrides": [{"service": "web", "host": "a", "by": "x", "reason": "y", "since": "0001-01-01", "until": "9999-12-31T23:59:59-23:59"}]}',
    ],
    words=('"overrides"', '"service"', '"host"', '"by"', '"reason"', '"since"', '"until"', "9999-12-31T23:59:59.999999-23:59"),
)  # fmt: skip
def overrides_file(data: bytes) -> None:
    """A file is read, or an alert has the reason; each override ends within a day."""
    clock = TurningClock()
    clock.advance(1000)
    with scratch_folder() as folder:
        (folder / FILE).write_bytes(data)
        overrides = Overrides(folder, FakeWorkers(clock), clock, lambda: Clocks(clock.seconds(), WALL))
        result_of(overrides.load())
        for alert in overrides.alerts():
            is_line(ascii(alert.text), 6000)
            assert alert.since is None or alert.since <= 1000
        clock.advance(86400)
        clock.settle()
        assert not [alert for alert in overrides.alerts() if alert.kind == "depooled"]
        overrides.stop()
    assert not [call for call in clock.getDelayedCalls() if call.active()]


@target(
    "pybal.ipvs.ledger",
    seeds=[
        b'{"version": 1, "services": [{"name": "web", "protocol": 6, "address": "10.2.1.1", "port": 80}, {"name": "mark 7", "mark": 7, "ipv6": false}]}',
        b'{"version": 1, "services": [{"name": "web", "protocol": true, "address": "x", "port": 65536}]}',
    ],
    words=('"services"', '"name"', '"protocol"', '"address"', '"port"', '"mark"', '"ipv6"', '"::"'),
)  # fmt: skip
def ledger_file(data: bytes) -> None:
    """All of a file is valid, or it has a problem and no service; a valid one is written and read again."""
    with scratch_folder() as folder:
        file = folder / "ledger"
        file.write_bytes(data)
        ledger = Ledger(file)
        if ledger.problem:
            assert not ledger.names
            assert [alert.kind for alert in ledger.alerts()] == ["ipvs-ledger"]
            return
        found: Mapping[ServiceKey, str] = dict(ledger.names)
        assert all(isinstance(key, Key | Mark) and isinstance(name, str) for key, name in found.items())
        extra = Key(6, ip_address("192.0.2.99"), 1)
        ledger.enter({extra: "extra"})
        assert Ledger(file).names == {**found, extra: "extra"}


@target(
    "pybal.sources.cache",
    seeds=[
        b'{"version": 1, "source": "etcd://a", "time": "2026-11-20T03:00:00+00:00", "members": [["web1", 10, true]], "departed": {"b": 4.2}}',
        b'{"version": 1, "source": 1, "time": "9999-12-31T23:59:59-23:59", "members": ["abc"], "departed": {"b": NaN}}',
    ],
    words=('"members"', '"departed"', '"time"', '"source"', '"version"', "1e999", "NaN"),
)  # fmt: skip
def cached_list(data: bytes) -> None:
    """A saved list is read, or damaged; what is read is written and read again."""
    with scratch_folder() as folder:
        cache = ListCache(folder, "web")
        cache.path.write_bytes(data)
        try:
            found = cache.read()
        except ValueError as error:
            assert len(str(error)) < 3000
            return
        if found is None:
            return
        assert found.time.tzinfo is UTC
        for member in found.members:
            assert member.weight >= 0
        for age in found.departed.values():
            assert 0 <= age < float("inf"), age
        cache.write(found)
        again = cache.read()
        assert isinstance(again, CachedList)
        assert again == found


@target(
    "pybal.sources.credentials",
    "pybal.runtime.regular_file",
    seeds=[choices(b"t0ken\n", 0), choices(b"pass word\r\nx", 1), choices(b"\xff", 1)],
)
def secret_file(data: bytes) -> None:
    """A secret is the first line; a refusal never shows it."""
    fuzzed = Fuzzed(data)
    option = fuzzed.pick(("token-file", "password-file"))
    with scratch_folder() as folder:
        file = folder / "f"
        file.write_bytes(fuzzed.rest)
        assert read(file, 2048) == fuzzed.rest
        try:
            found = secret(option, str(file))
        except UnusableFile as error:
            is_line(str(error).replace(str(file), "FILE"), 300)
            return
    is_line(found, 2048)
    assert fuzzed.rest.startswith(found.encode())


@target("pybal.runtime.systemd", seeds=[b"30000000", b"-1", "٣".encode(), b"1" * 400], longest=8192)
def service_environment(data: bytes) -> None:
    """The interval of the watchdog is a number of seconds, 0 for anything else."""
    text = data.decode("utf-8", "replace")
    found = watchdog_seconds({"WATCHDOG_USEC": text})
    assert 0 <= found < float("inf")
    if found:
        assert found == int(text) / 1e6
