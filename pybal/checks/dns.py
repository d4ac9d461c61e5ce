"""The DNS check: a query over UDP, and over TCP if the answer is truncated (RFC 1035 §4.2).

Both share one deadline. It passes with the first answer to its query whose code is NOERROR, with or without records, or NXDOMAIN. Answers to another
question or with another ID are ignored: the check continues to wait.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Self

from typing_extensions import override

from pybal.checks import dns_wire
from pybal.checks.datagram import DatagramCheck
from pybal.checks.dns_wire import NOERROR, NXDOMAIN, Malformed, Question, Reply
from pybal.checks.engine import Engine
from pybal.checks.result import CheckFailed, Phase, Result
from pybal.checks.socket_check import READABLE, Check, Target
from pybal.core.text import format_duration

_READ = 16 * 1024
_READS_AT_ONCE = 8
_LENGTH = 2
"""Length prefix of each message over TCP, in bytes."""
MESSAGES_LIMIT = 100
"""Messages over TCP that do not answer the query, at most."""


class DNSCheck(DatagramCheck):
    """A check of one server. ``question`` is its next query; do not change it while the check runs."""

    __slots__ = ("_fail_on_nxdomain", "_number", "_random", "_strays", "_stream", "question")

    _way = "over TCP after a truncated answer"

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[Self, Result], None],
        *,
        question: Question,
        random: Random,
        fail_on_nxdomain: bool,
    ) -> None:
        super().__init__(engine, target, timeout, done)
        self.question = question
        self._fail_on_nxdomain = fail_on_nxdomain
        self._random = random
        self._number = b""
        self._strays = 0
        self._stream: _StreamCheck | None = None

    @override
    def _datagram(self) -> bytes:
        self._number = self._random.getrandbits(16).to_bytes(2, "big")
        self._strays = self._received = 0
        return self._number + self.question.data

    @override
    def _received_datagram(self, data: bytes) -> bool:
        if not self._in_flight or self._stream is not None:
            return False
        self._received += len(data)
        try:
            reply = self._checked(data)
        except CheckFailed as failure:
            self._failed(failure)
            return True
        if reply is None:
            return False
        if reply.truncated:
            self._query_over_tcp()
        else:
            self._passed()
        return True

    def _checked(self, message: bytes) -> Reply | None:
        """Return the reply if it answers the query; raise CheckFailed if its code is a failure."""
        question = self.question
        try:
            reply = dns_wire.reply(message, self._number, question)
        except Malformed as error:
            raise CheckFailed(Phase.ANSWER, f"malformed for {question.text}: {error}", "malformed") from None
        if reply is None:
            self._strays += 1
        elif reply.code != NOERROR and (reply.code != NXDOMAIN or self._fail_on_nxdomain):
            name = dns_wire.code_name(reply.code)
            raise CheckFailed(Phase.ANSWER, f"{name} for {question.text}", name)
        return reply

    def _query_over_tcp(self) -> None:
        query = self._number + self.question.data
        self._stream = _StreamCheck(
            self._engine,
            self._target,
            self.timeout,
            self._done_over_tcp,
            query=query,
            way=self._way,
            checked=self._checked,
        )

    def _done_over_tcp(self, stream: _StreamCheck, result: Result) -> None:
        del stream
        self._stream = None
        self._end(result._replace(duration=self._engine.seconds() - self._started_at))

    @override
    def _refused(self, error: OSError) -> None:
        if not self._in_flight:
            self._close()
        elif self._stream is None:
            self._errored(error)

    @override
    @property
    def _phase(self) -> Phase:
        return Phase.QUERY

    @override
    def _overdue(self) -> CheckFailed:
        if self._stream is not None:
            return self._stream.overdue()
        others = f" ({self._strays} to other queries)" if self._strays else ""
        return CheckFailed(Phase.QUERY, f"{format_duration(self.timeout)} without an answer{others}", "timeout")

    @override
    def _close(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None
        super()._close()


class DNSCheckOverTCP(DNSCheck):
    """A DNS check over TCP only."""

    __slots__ = ()

    _way = "over TCP"

    @override
    def _send(self, data: bytes) -> int:
        del data
        self._query_over_tcp()
        return 0

    @override
    def _close(self) -> None:
        self._land()  # it has no socket
        super()._close()


class _StreamCheck(Check):
    """The query over TCP for a check whose deadline, always the earlier one, covers both."""

    __slots__ = ("_buffer", "_checked", "_messages", "_unsent", "_way")

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[_StreamCheck, Result], None],
        *,
        query: bytes,
        way: str,
        checked: Callable[[bytes], Reply | None],
    ) -> None:
        super().__init__(engine, target, timeout, done)
        self._started_at = engine.now
        self._way = way
        self._checked = checked
        self._unsent = len(query).to_bytes(_LENGTH, "big") + query
        self._buffer = b""
        self._messages = 0
        # At the next tick: a socket opened during a batch could get the descriptor of one of its events.
        self.event = self._begin
        engine.pause(self)

    def overdue(self) -> CheckFailed:
        """Return the failure of a timeout with its progress."""
        arrived = f"{len(self._buffer)} bytes" if self._buffer else "nothing"
        reason = f"{arrived} in {format_duration(self._engine.now - self._started_at)}"
        return CheckFailed(self._phase, self._error_text(reason), "timeout")

    def _begin(self, events: int) -> None:
        del events
        if self._done is not None:
            self.start()

    @override
    def _opened(self, events: int) -> None:
        self.event = self._exchange
        self._exchange(events)

    def _exchange(self, events: int) -> None:
        try:
            if self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            if not events & READABLE:
                return
            for _ in range(_READS_AT_ONCE):
                if self._take(self._socket.recv(_READ)):
                    self._passed()
                    return
            self._engine.pause(self)
        except BlockingIOError:
            return
        except CheckFailed as failure:
            self._failed(failure)
        except OSError as error:
            self._errored(error)

    def _take(self, data: bytes) -> bool:
        """Handle received data; return whether the answer is complete."""
        if not data:
            raise CheckFailed(Phase.QUERY, self._error_text("connection closed"), "connection closed")
        self._received += len(data)
        buffer, at = self._buffer + data, 0
        while len(buffer) - at >= _LENGTH:
            end = at + _LENGTH + int.from_bytes(buffer[at : at + _LENGTH], "big")
            if len(buffer) < end:
                break
            if self._checked(buffer[at + _LENGTH : end]) is not None:
                return True
            self._messages += 1
            if self._messages > MESSAGES_LIMIT:
                reason = self._error_text(f"more than {MESSAGES_LIMIT} messages that do not answer the query")
                raise CheckFailed(Phase.QUERY, reason, "other messages")
            at = end
        self._buffer = buffer[at:]
        return False

    @override
    def _end(self, result: Result) -> None:
        self._close()
        if self._done is not None:
            self._done(self, result)

    @override
    @property
    def _phase(self) -> Phase:
        return Phase.QUERY if self._connected_at else Phase.CONNECT

    @override
    def _error_text(self, cause: str) -> str:
        return f"{cause}, {self._way}"
