"""A command of the command line: sends it to the daemon and prints the reply as text or JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pybal.client.socket import NoReplyError, send_request
from pybal.control.place import socket_of_file
from pybal.control.wire import FAILED, Request

_ARGUMENTS = ("duration", "vip", "keep", "force", "service")
"""The options of the command line that are sent as arguments of a request."""


def command(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Send a command to the daemon, or run the doctor; return the exit status."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a text stream has it
    if options.command == "doctor":
        from pybal.client.doctor import doctor  # noqa: PLC0415  # imports all kinds of monitors

        return doctor(options, _socket_path(options, environ), partial(fail, as_json=options.json))
    given = vars(options)
    arguments = {name: given[name] for name in _ARGUMENTS if given.get(name)}
    if options.command == "plan" and options.named:
        try:
            # PEP 383: the daemon receives the same bytes even if they are not UTF-8.
            text = Path(options.config).read_bytes().decode(errors="surrogateescape")
        except OSError as error:
            return fail(f"{options.config}: {error.strerror}", as_json=options.json)
        arguments |= {"configuration": text, "file": options.config}
    try:
        reply = send_request(
            _socket_path(options, environ), Request(options.command, arguments, given.get("reason", ""))
        )
    except NoReplyError as error:
        return fail(str(error), as_json=options.json)
    text = "".join(reply.text)
    if reply.exit == FAILED:
        return fail(text, as_json=options.json)
    print(json.dumps(reply.document, indent=1) if options.json else text.removesuffix("\n"))
    return reply.exit


def fail(why: str, *, as_json: bool) -> int:
    """Print the reason of a failure; return the exit status."""
    if as_json:
        print(json.dumps({"error": why}))
    else:
        print(f"pybal: {why}", file=sys.stderr)
    return FAILED


def _socket_path(options: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    return Path(options.socket) if options.socket else socket_of_file(options.config, environ)
