"""Requests and replies on the control socket: one JSON object per line. Pure.

===============  ==========================================================
a request        ends with a line feed, at most :data:`LONGEST_REQUEST` bytes
===============  ==========================================================
``version``      1
``command``      the name of the command
``arguments``    an object that depends on the command; optional
``reason``       one line for the log; optional
===============  ==========================================================

===============  ==========================================================
a reply
===============  ==========================================================
``version``      1
``exit``         the exit status for the command line
``text``         the result as text; the error if ``exit`` is 1
``document``     the result as JSON; null if the command has none
===============  ==========================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

from pybal.core.text import escaped
from pybal.status.json_pieces import pieces

VERSION = 1
LONGEST_REQUEST = 1 << 20
"""Bytes. The request ``plan`` contains a whole configuration."""
LONGEST_REPLY = 1 << 26
LONGEST_REASON = 500

DONE, FAILED, DIFFERENT = 0, 1, 2
"""The exit statuses of a command: done, or no difference; failed; a difference was found."""

T = TypeVar("T")


class RequestError(Exception):
    """A request that is invalid or cannot be fulfilled; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command with its arguments and reason."""

    command: str
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    reason: str = ""

    def text(self, name: str, default: str = "") -> str:
        """Return an argument that is a text. Raises RequestError."""
        return self._get(name, default, lambda value: isinstance(value, str), "a text")

    def flag(self, name: str) -> bool:
        """Return an argument that is true or false; false if it is absent. Raises RequestError."""
        return self._get(name, False, lambda value: isinstance(value, bool), "true or false")

    def seconds(self, name: str, default: float, most: float) -> float:
        """Return a duration of more than 0 and at most ``most`` seconds. Raises RequestError."""
        return float(
            self._get(
                name,
                default,
                lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most,
                f"more than 0 and at most {most:g} seconds",
            )
        )

    def _get(self, name: str, default: T, fits: Callable[[Any], bool], wanted: str) -> T:
        value: T = self.arguments.get(name, default)
        if not fits(value):
            raise RequestError(f"invalid {name} {_shown(value)} (use {wanted})")
        return value


@dataclass(frozen=True, slots=True)
class CommandReply:
    """The result of a command: exit status, text, and a document for JSON.

    A long text may be an iterator of its parts, and a document may be large (:mod:`pybal.status.json_pieces`).
    """

    exit: int
    text: Iterable[str]
    document: Any = None


def read_request(line: bytes) -> Request:
    """Return the request on a line. Raises RequestError for any other line."""
    fields = _object(line)
    if fields.get("version") != VERSION:
        raise RequestError(f"unsupported version {_shown(fields.get('version'))} (use {VERSION})")
    if unknown := fields.keys() - {"version", "command", "arguments", "reason"}:
        raise RequestError(f"unknown key {_shown(min(unknown))} (use version, command, arguments and reason)")
    command, arguments, reason = fields.get("command"), fields.get("arguments", {}), fields.get("reason", "")
    if not isinstance(command, str):
        raise RequestError("command is missing")
    if not isinstance(arguments, dict):
        raise RequestError("arguments is not an object")
    if not isinstance(reason, str) or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise RequestError(f"invalid reason {_shown(reason)} (use one line of at most {LONGEST_REASON} characters)")
    return Request(command, MappingProxyType(arguments), reason.strip())


def write_request(request: Request) -> bytes:
    """Return a request as a line."""
    fields = {"version": VERSION, "command": request.command, "arguments": dict(request.arguments)}
    return _line({**fields, "reason": request.reason})


def read_reply(line: bytes) -> CommandReply:
    """Return the reply on a line. Raises RequestError."""
    fields = _object(line)
    if fields.get("version") != VERSION:
        raise RequestError(f"unsupported version {_shown(fields.get('version'))} (use {VERSION})")
    code, text = fields.get("exit"), fields.get("text")
    if not isinstance(code, int) or not isinstance(text, str):
        raise RequestError("exit or text is missing")
    return CommandReply(code, text, fields.get("document"))


def write_reply(reply: CommandReply) -> Generator[None, None, bytes]:
    """Return a reply as a line, made in small steps; control characters in its text are escaped."""
    texts = list[str]()
    for text in [reply.text] if isinstance(reply.text, str) else reply.text:
        texts.append(escaped(text))
        yield
    head = json.dumps({"version": VERSION, "exit": reply.exit, "text": "".join(texts)})
    made = [head.removesuffix("}"), ', "document": ']
    for piece in pieces(reply.document):
        made.append(piece)
        yield
    # ASCII only: any text can be written, and the line contains no line feed.
    return "".join((*made, "}\n")).encode("ascii")


def _line(value: Mapping[str, Any]) -> bytes:
    # ASCII only: any text can be written, and the line contains no line feed.
    return json.dumps(value).encode("ascii") + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise RequestError("not a JSON object in UTF-8 on one line") from None
    if not isinstance(fields, dict):
        raise RequestError("not a JSON object")
    return fields


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _shown(value: object) -> str:
    text = f"of type {type(value).__name__}" if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004  # the width of a line
