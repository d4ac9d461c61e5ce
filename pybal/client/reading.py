"""The commands that read the state of the daemon and change nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote

from pybal.client import views
from pybal.client.preflight import preflight
from pybal.client.reader import Reader
from pybal.client.socket import NoReplyError, NotFoundError
from pybal.client.terminal import Terminal
from pybal.client.watch import watch
from pybal.control.wire import DIFFERENT
from pybal.core.text import first_of

_SHOWN = 10
"""Names in a refusal."""


def reading_command(options: argparse.Namespace, reader: Reader, environ: Mapping[str, str]) -> int:
    """Run a reading command; return the exit status. Raises NoReplyError."""
    try:
        return _run(options, reader, environ)
    except (KeyError, TypeError, AttributeError) as error:
        raise NoReplyError(f"unexpected document: {error!r} (restart pybal after an upgrade)") from error


def _run(options: argparse.Namespace, reader: Reader, environ: Mapping[str, str]) -> int:
    if options.command == "watch":
        return watch(reader, options.interval, environ, as_json=options.json)
    if options.command == "status" and options.check:
        return status_check(options, reader)
    if options.command == "preflight":
        return _preflight(options, reader, environ)
    path = _path(options)
    try:
        return _print(options, reader, path, environ)
    except NotFoundError:
        if service := getattr(options, "service", ""):
            raise NoReplyError(_unknown(reader, service, getattr(options, "host", ""))) from None
        raise


def _unknown(reader: Reader, service: str, host: str) -> str:
    """Return which name of a request the daemon does not know. Raises NoReplyError."""
    pools = reader.document("/v1/pools")
    if service not in pools:
        return f"unknown service {service!r} ({_hint(service, list(pools))})"
    hosts = list(reader.document(f"/v1/pools/{quote(service, safe='')}")["servers"])
    return f"{service} has no server {host!r} ({_hint(host, hosts)})"


def _hint(name: str, names: list[str]) -> str:
    if near := get_close_matches(name, names, n=1):
        return f"did you mean {near[0]}?"
    return f"use one of {first_of(names, _SHOWN)}" if names else "it has none, see `pybal alerts`"


def _print(options: argparse.Namespace, reader: Reader, path: str, environ: Mapping[str, str]) -> int:
    if options.json:
        print(json.dumps(reader.document(path), indent=1))
        return 0
    terminal = Terminal(sys.stdout, environ)
    lines = _VIEWS[options.command]
    print("\n".join(lines(options, reader, path, terminal)))
    return 0


def _preflight(options: argparse.Namespace, reader: Reader, environ: Mapping[str, str]) -> int:
    names = ("status", "pools", "ipvs/services", "bgp", "sources")
    result = preflight(*(reader.document(f"/v1/{name}") for name in names))
    if options.json:
        print(json.dumps({"ready": not result.problems, **asdict(result)}, indent=1))
    else:
        print("\n".join(line for each in result.lines() for line in Terminal(sys.stdout, environ).lines(each)))
    return DIFFERENT if result.problems else 0


def status_check(options: argparse.Namespace, reader: Reader) -> int:
    """Print the state as Icinga wants it; return the exit status. Raises NoReplyError."""
    document = reader.document("/v1/status")
    level, lines = views.check(document)
    print(json.dumps({"status": level, "lines": lines}, indent=1) if options.json else "\n".join(lines))
    return level


def _path(options: argparse.Namespace) -> str:
    service, host = (getattr(options, name, None) for name in ("service", "host"))
    below = "".join(f"/{quote(each, safe='')}" for each in (service, host) if each)
    match options.command:
        case "pools":
            return f"/v1/pools{below}"
        case "explain" | "history":
            return f"/v1/pools{below}/{options.command}"
    return f"/v1/{options.command}"


def _pools(options: argparse.Namespace, reader: Reader, path: str, terminal: Terminal) -> list[str]:
    view: Callable[[Any, Terminal, Any], Any] = views.pool if options.service else views.pools
    return list(view(reader.document(path), terminal, reader.document("/v1/alerts/groups")))


def _alerts(_options: argparse.Namespace, reader: Reader, path: str, terminal: Terminal) -> list[str]:
    return list(views.alerts(reader.document(f"{path}/groups"), terminal))


def _text(_options: argparse.Namespace, reader: Reader, path: str, terminal: Terminal) -> list[str]:
    return list(terminal.lines(reader.text(path)))


_VIEWS: Mapping[str, Callable[[argparse.Namespace, Reader, str, Terminal], list[str]]] = {
    "pools": _pools,
    "alerts": _alerts,
    "status": _text,
    "explain": _text,
    "history": _text,
}
