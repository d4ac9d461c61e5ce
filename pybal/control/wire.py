"""Requests and answers as they go over the control socket: one JSON object a line. Pure.

===============  ==========================================================
a request        ends with a line feed, at most :data:`LONGEST_REQUEST` bytes
===============  ==========================================================
``version``      1
``command``      its name
``arguments``    an object; what is in it depends on the command; may be absent
``reason``       why it is given, one line; may be absent
===============  ==========================================================

===============  ==========================================================
an answer
===============  ==========================================================
``version``      1
``exit``         the exit status for the command line
``text``         the answer for people; what is wrong where ``exit`` is 1
``document``     the answer for machines, null where there is none
===============  ==========================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

VERSION = 1
LONGEST_REQUEST = 1 << 20
"""A whole configuration is part of a request to plan with it."""
LONGEST_ANSWER = 1 << 26
LONGEST_REASON = 500

DONE, FAILED, DIFFERENT = 0, 1, 2
"""What a command exits with: it did what it was told, or found nothing; it could not; there is a difference."""

T = TypeVar("T")


class RequestError(Exception):
    """A request that makes no sense, or cannot be met; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command, with what it is to act on and why."""

    command: str
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    reason: str = ""

    def text(self, name: str, default: str = "") -> str:
        """Return an argument that is a text. Raises RequestError."""
        return self._get(name, default, lambda value: isinstance(value, str), "a text")

    def flag(self, name: str) -> bool:
        """Return an argument that is true or false, false where it is absent. Raises RequestError."""
        return self._get(name, False, lambda value: isinstance(value, bool), "true or false")

    def seconds(self, name: str, default: float, most: float) -> float:
        """Return an argument that is a duration of more than 0 and at most ``most`` seconds. Raises RequestError."""
        return float(
            self._get(
                name,
                default,
                lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most,
                f"seconds, more than 0 and at most {most:g}",
            )
        )

    def _get(self, name: str, default: T, fits: Callable[[Any], bool], wanted: str) -> T:
        value: T = self.arguments.get(name, default)
        if not fits(value):
            raise RequestError(f"{name} {_shown(value)}, wanted {wanted}")
        return value


@dataclass(frozen=True, slots=True)
class CommandReply:
    """What a command came to: exit status, text for people, and a document that JSON can hold."""

    exit: int
    text: str
    document: Any = None


def read_request(line: bytes) -> Request:
    """Return the request on a line. Raises RequestError, whatever the line holds."""
    said = _object(line)
    if said.get("version") != VERSION:
        raise RequestError(f"version {_shown(said.get('version'))}, wanted {VERSION}")
    if unknown := said.keys() - {"version", "command", "arguments", "reason"}:
        raise RequestError(f"{_shown(min(unknown))}, wanted version, command, arguments and reason only")
    command, arguments, reason = said.get("command"), said.get("arguments", {}), said.get("reason", "")
    if not isinstance(command, str):
        raise RequestError("no command")
    if not isinstance(arguments, dict):
        raise RequestError("arguments that are not an object")
    if not isinstance(reason, str) or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise RequestError(f"reason {_shown(reason)}, wanted one line of at most {LONGEST_REASON} characters")
    return Request(command, MappingProxyType(arguments), reason.strip())


def write_request(request: Request) -> bytes:
    """Return a request as a line."""
    said = {"version": VERSION, "command": request.command, "arguments": dict(request.arguments)}
    return _line({**said, "reason": request.reason})


def read_answer(line: bytes) -> CommandReply:
    """Return the answer on a line. Raises RequestError."""
    said = _object(line)
    if said.get("version") != VERSION:
        raise RequestError(f"an answer of version {_shown(said.get('version'))}, wanted {VERSION}")
    code, text = said.get("exit"), said.get("text")
    if not isinstance(code, int) or not isinstance(text, str):
        raise RequestError("an answer without exit or text")
    return CommandReply(code, text, said.get("document"))


def write_answer(answer: CommandReply) -> bytes:
    """Return an answer as a line."""
    return _line({"version": VERSION, "exit": answer.exit, "text": answer.text, "document": answer.document})


def _line(value: Mapping[str, Any]) -> bytes:
    # Only ASCII, so that any text whatever can be written, and no line feed within.
    return json.dumps(value).encode("ascii") + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise RequestError("not a JSON object in UTF-8 on one line") from None
    if not isinstance(said, dict):
        raise RequestError("not a JSON object")
    return said


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _shown(value: object) -> str:
    text = f"of type {type(value).__name__}" if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004  # the width of a line
