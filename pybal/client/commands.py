"""A command of the command line: sends it to the daemon and prints the reply as text or JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pybal.client.arguments import UNKNOWN, reads
from pybal.client.reader import HTTPReader, SocketReader
from pybal.client.reading import reading_command
from pybal.client.socket import NoReplyError, send_request
from pybal.client.terminal import Terminal
from pybal.control.place import socket_of_file
from pybal.control.wire import FAILED, Request
from pybal.core.text import escaped, printable

_ARGUMENTS = ("duration", "vip", "keep", "force", "service", "host")
"""The options of the command line that are sent as arguments of a request."""


def command(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run a command; return the exit status."""
    try:
        return _command(options, environ)
    except Exception as error:
        if not getattr(options, "check", False):
            raise
        return _cannot(options, f"internal error: {error!r} (report it)")  # 1 would be a warning of Icinga


def _command(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    try:
        if options.command == "doctor":
            from pybal.client.doctor import doctor  # noqa: PLC0415  # imports all kinds of monitors

            return doctor(options, _socket_path(options, environ), partial(fail, as_json=options.json))
        if options.command == "convert":
            from pybal.client.convert import convert_file  # noqa: PLC0415  # imports all kinds of monitors

            return convert_file(options)
        if options.command == "replay":
            from pybal.client.replay import replay  # noqa: PLC0415  # imports the decision core

            return replay(options, partial(fail, as_json=options.json))
        if reads(options.command):
            url = HTTPReader(options.url) if options.url else SocketReader(_socket_path(options, environ))
            return reading_command(options, url, environ)
        return _send(options, environ)
    except NoReplyError as error:
        return _cannot(options, str(error))
    except OSError as error:
        return _cannot(options, f"{error.filename or 'pybal'}: {error.strerror or error}")


def _cannot(options: argparse.Namespace, why: str) -> int:
    if getattr(options, "check", False) and not options.json:
        print(f"UNKNOWN - {printable(why).replace('|', '/')}")
        return UNKNOWN
    code = fail(why, as_json=options.json)
    return UNKNOWN if getattr(options, "check", False) else code


def _send(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    given = vars(options)
    arguments = {name: given[name] for name in _ARGUMENTS if given.get(name)}
    if options.command == "plan" and options.named:
        # PEP 383: the daemon receives the same bytes even if they are not UTF-8.
        text = Path(options.config).read_bytes().decode(errors="surrogateescape")
        arguments |= {"configuration": text, "file": options.config}
    request = Request(options.command, arguments, given.get("reason", ""))
    reply = send_request(_socket_path(options, environ), request)
    text = "".join(reply.text)
    if reply.exit == FAILED:
        return fail(text, as_json=options.json)
    if options.json:
        print(json.dumps(reply.document, indent=1))
    else:
        print("\n".join(Terminal(sys.stdout, environ).lines(text)))
    return reply.exit


def fail(why: str, *, as_json: bool) -> int:
    """Print the reason of a failure; return the exit status."""
    if as_json:
        print(json.dumps({"error": why}))
    else:
        print(f"pybal: {escaped(why)}", file=sys.stderr)
    return FAILED


def _socket_path(options: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    return Path(options.socket) if options.socket else socket_of_file(options.config, environ)
