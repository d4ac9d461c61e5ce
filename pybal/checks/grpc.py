"""The gRPC check: one call of grpc.health.v1.Health/Check over HTTP/2, plain or with TLS."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Self
from urllib.parse import unquote

from h2 import events as h2
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from typing_extensions import override

from pybal.checks import grpc_health
from pybal.checks.engine import Engine
from pybal.checks.result import CheckFailed, Phase, Result
from pybal.checks.socket_check import Target
from pybal.checks.stream import StreamCheck
from pybal.checks.tls import TLSStream
from pybal.core.text import printable
from pybal.runtime.file_values import FileValue

PROTOCOL = "h2"
"""The name of HTTP/2 in ALPN."""
ANSWER_LIMIT = 64 * 1024
"""Limit of the response, in bytes."""
MESSAGE_LIMIT = 1024
"""Limit of the bytes of the message; a usual one has seven."""
FRAMES_LIMIT = 100
"""Limit of the frames of a response; a usual one has ten."""
HEADERS_LIMIT = 16 * 1024
"""Limit of the bytes of header blocks and trailers."""
CONTROL_LIMIT = 4096
"""Limit of the bytes of all other frames without data: a setting takes h2 20 µs."""

_STREAM = 1
_FRAME_HEADER = 9
_DATA, _HEADERS, _SETTINGS, _GOAWAY, _CONTINUATION = 0, 1, 4, 7, 9
"""Types of frames (RFC 9113 §6); the first frame of a server is SETTINGS (§3.4)."""
_LAST_STREAM = 0x7FFFFFFF
_MESSAGE_SHOWN = 200
_STATUS = re.compile(r"[1-9][0-9]{2}", re.ASCII)
_STATUS_SHOWN = 20


class GRPCCheck(StreamCheck):
    """A check that passes when the status of a service, or of the server if it is empty, is SERVING."""

    __slots__ = (
        "_authority",
        "_connection",
        "_control_bytes",
        "_facts",
        "_first_bytes",
        "_frame_count",
        "_frames",
        "_header_bytes",
        "_message",
        "_service",
    )

    _waiting = Phase.HEADERS
    _answered = Phase.BODY

    _connection: H2Connection

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[Self, Result], None],
        *,
        service: str,
        authority: str,
        context: FileValue[ssl.SSLContext] | None,
        server_name: str,
    ) -> None:
        super().__init__(engine, target, timeout, done, context=context, server_name=server_name)
        self._service = service
        self._authority = authority
        self._first_bytes = self._frames = self._message = b""
        self._frame_count = self._header_bytes = self._control_bytes = 0
        self._facts: dict[str, str] = {}

    @override
    def _begin(self) -> None:
        self._first_bytes = self._frames = self._message = b""
        self._frame_count = self._header_bytes = self._control_bytes = 0
        self._facts = {}
        connection = self._connection = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        connection.initiate_connection()
        connection.send_headers(
            _STREAM,
            [
                (":method", "POST"),
                (":scheme", "http" if self._context is None else "https"),
                (":path", "/grpc.health.v1.Health/Check"),
                (":authority", self._authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "PyBal"),
                ("grpc-timeout", f"{max(1, round(self.timeout * 1000))}m"),
            ],
        )
        connection.send_data(_STREAM, grpc_health.request(self._service), end_stream=True)
        self._unsent = connection.data_to_send()

    @override
    def _secured(self, stream: TLSStream) -> bool:
        if stream.protocol != PROTOCOL:
            raise CheckFailed(Phase.TLS, "the server did not select HTTP/2 by ALPN", "no HTTP/2")
        return False

    @override
    def _take(self, data: bytes) -> bool:
        if not data:
            raise self._closed()
        if self._received > ANSWER_LIMIT:
            raise CheckFailed(self._phase, f"more than {ANSWER_LIMIT} bytes", "too long")
        self._check_first_frame(data)
        for frame in self._complete_frames(data):
            if _is_graceful_goaway(frame):
                continue  # h2 would ignore the rest
            try:
                events = self._connection.receive_data(frame)
            except ProtocolError as error:
                raise CheckFailed(
                    self._phase, printable(f"not HTTP/2: {error}"[:_MESSAGE_SHOWN]), "not HTTP/2"
                ) from None
            if any(self._handle(event) for event in events):
                return True
        self._unsent += self._connection.data_to_send()
        return False

    def _complete_frames(self, data: bytes) -> Iterator[bytes]:
        """Yield complete frames."""
        data, at = self._frames + data, 0
        while len(data) - at >= _FRAME_HEADER:
            end = at + _FRAME_HEADER + int.from_bytes(data[at : at + 3], "big")
            self._check_limits(data[at + 3], end - at)
            if len(data) < end:
                break
            self._count(data[at + 3], end - at)
            yield data[at:end]
            at = end
        self._frames = data[at:]

    def _count(self, kind: int, size: int) -> None:
        self._frame_count += 1
        if kind in (_HEADERS, _CONTINUATION):
            self._header_bytes += size
        elif kind != _DATA:
            self._control_bytes += size

    def _check_limits(self, kind: int, size: int) -> None:
        """Fail if a frame exceeds a limit, before it is complete."""
        if self._frame_count >= FRAMES_LIMIT:
            raise CheckFailed(self._phase, f"more than {FRAMES_LIMIT} frames", "too long")
        if kind in (_HEADERS, _CONTINUATION):
            if self._header_bytes + size > HEADERS_LIMIT:
                raise CheckFailed(self._phase, f"more than {HEADERS_LIMIT} bytes of headers", "too long")
        elif kind != _DATA and self._control_bytes + size > CONTROL_LIMIT:
            raise CheckFailed(
                self._phase, f"more than {CONTROL_LIMIT} bytes of frames without headers or data", "too long"
            )

    def _check_first_frame(self, data: bytes) -> None:
        """Fail unless the first frame is SETTINGS, instead of waiting for the length in garbage."""
        missing = _FRAME_HEADER - len(self._first_bytes)
        if missing:
            self._first_bytes += data[:missing]
            if len(self._first_bytes) == _FRAME_HEADER and self._first_bytes[3] != _SETTINGS:
                begins = repr(self._first_bytes)[1:]
                raise CheckFailed(Phase.HEADERS, f"response begins with {begins}, wanted HTTP/2", "not HTTP/2")

    def _handle(self, event: h2.Event) -> bool:
        """Handle an event; return whether the response is complete and the wanted one."""
        match event:
            case h2.ResponseReceived(headers=headers):
                self._answered_at = self._last_byte_at
                self._facts = _texts(headers)
                _check_headers(self._facts)
            case h2.DataReceived(data=data):
                self._message += data
                if len(self._message) > MESSAGE_LIMIT:
                    raise CheckFailed(self._phase, f"message of more than {MESSAGE_LIMIT} bytes", "too long")
            case h2.TrailersReceived(headers=headers):
                self._facts.update(_texts(headers))
            case h2.StreamReset(error_code=code):
                raise CheckFailed(self._phase, f"the server cancelled the call: {_error_name(code)}", "cancelled")
            case h2.ConnectionTerminated(error_code=code):
                raise CheckFailed(
                    self._phase, f"the server closes the connection (GOAWAY): {_error_name(code)}", "going away"
                )
            case h2.StreamEnded():
                _check_response(self._facts, self._message)
                return True
        return False


def _is_graceful_goaway(frame: bytes) -> bool:
    """Return whether a frame is a graceful GOAWAY after our call (RFC 9113 §6.8)."""
    last, error = frame[_FRAME_HEADER : _FRAME_HEADER + 4], frame[_FRAME_HEADER + 4 : _FRAME_HEADER + 8]
    return frame[3] == _GOAWAY and error == bytes(4) and int.from_bytes(last, "big") & _LAST_STREAM >= _STREAM


def _check_headers(facts: dict[str, str]) -> None:
    status, kind = facts.get(":status", ""), facts.get("content-type", "")
    if not _STATUS.fullmatch(status):
        raise CheckFailed(Phase.STATUS, f"HTTP status {status[:_STATUS_SHOWN]!r}, wanted 200", "bad status")
    if status != "200":
        raise CheckFailed(Phase.STATUS, f"HTTP {status}, wanted 200", f"HTTP {status}")
    if not kind.startswith("application/grpc"):
        raise CheckFailed(Phase.STATUS, f"content-type {kind[:40]!r}, wanted application/grpc", "not gRPC")


def _check_response(facts: dict[str, str], message: bytes) -> None:
    code = facts.get("grpc-status")
    if code is None:
        raise CheckFailed(Phase.STATUS, "response without a grpc-status", "no grpc-status")
    if code != "0":
        name = grpc_health.code_name(code)
        text = repr(unquote(facts.get("grpc-message", ""))[:_MESSAGE_SHOWN])
        raise CheckFailed(Phase.STATUS, f"{name} {text}, wanted OK", name)
    try:
        status = grpc_health.status(message)
    except ValueError as error:
        raise CheckFailed(Phase.STATUS, f"malformed: {error}", "malformed") from None
    if status != "SERVING":
        raise CheckFailed(Phase.STATUS, f"{status}, wanted SERVING", status)


def _texts(headers: Sequence[tuple[bytes | str, bytes | str]]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in headers}


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _error_name(code: int | ErrorCodes | None) -> str:
    return code.name if isinstance(code, ErrorCodes) else f"error {code}"
