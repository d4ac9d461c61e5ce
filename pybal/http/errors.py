"""Errors of the HTTP client. Pure."""

from __future__ import annotations

from enum import Enum, StrEnum


class Fault(Enum):
    """What went wrong with a request."""

    UNREACHABLE = "unreachable"
    """No address, no connection or no TLS session; the request was not sent."""
    NO_RESPONSE = "no response"
    """No complete response before the deadline or the end of the connection."""
    MALFORMED = "malformed"
    """A response that violates HTTP/1 or exceeds a limit."""


class ProtocolError(Exception):
    """A request failed; the text gives the cause."""

    def __init__(self, text: str, fault: Fault = Fault.MALFORMED) -> None:
        super().__init__(text)
        self.fault = fault


class ResponsePart(StrEnum):
    """A part of a response."""

    HEADERS = "headers"
    BODY = "body"


class ResponseError(ProtocolError):
    """A response that is invalid, too large or incomplete.

    ``cause`` is the text without measured values: equal for equal errors.
    """

    def __init__(self, part: ResponsePart, text: str, cause: str = "") -> None:
        super().__init__(text)
        self.part = part
        self.cause = cause or text
