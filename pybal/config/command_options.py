"""Converters from text to value for the options of a command."""

from __future__ import annotations

from enum import StrEnum

from pybal.config.convert import texts
from pybal.config.errors import InvalidValueError, shown
from pybal.config.literals import LiteralKind, items


class ServerField(StrEnum):
    """A fact about the checked server, for which a word in ``runcommand.arguments`` stands."""

    HOST = "host"
    IP = "ip"
    PORT = "port"


def command(text: str) -> str:
    """Return the path of a program, bare or quoted."""
    found = texts(text)
    if len(found) == 1 and found[0] and "\0" not in found[0]:
        return found[0]
    raise InvalidValueError(shown(text), "the path of one program (arguments belong in runcommand.arguments)")


def arguments(text: str) -> tuple[str | ServerField, ...]:
    """Return the arguments of a command: texts, and facts about the server; empty for the empty text."""
    wanted = "a list of texts in quotes, numbers, server.host, server.ip and server.port"
    fields = {f"server.{field}": field for field in ServerField}
    found: list[str | ServerField] = []
    for item in items(text):
        if item.kind is LiteralKind.NAME:
            if item.value not in fields:
                raise InvalidValueError(shown(item.value), wanted)
            found.append(fields[item.value])
        elif "\0" in item.value:
            raise InvalidValueError(shown(item.value), "arguments without a NUL character")
        else:
            found.append(item.value)
    return tuple(found)
