"""A command of the command line: sends it to the daemon and prints the reply as text or JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pybal.config.parse import control_socket
from pybal.control.client import NoReplyError, send_request
from pybal.control.doctor import doctor
from pybal.control.wire import FAILED, Request

_SOCKET = "control.sock"
_ARGUMENTS = ("duration", "vip", "keep", "force", "service")
"""The options of the command line that are sent as arguments of a request."""


def command(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Send a command to the daemon, or run the doctor; return the exit status."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a text stream has it
    if options.command == "doctor":
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


def socket_of_daemon(option: str, environ: Mapping[str, str]) -> Path | None:
    """Return the control socket of the configuration, or the one in the runtime directory, if any."""
    directory = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if option:
        return Path(option)
    return Path(directory) / _SOCKET if directory else None


def _socket_path(options: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    """Return the control socket. An unreadable or invalid configuration must not prevent a command."""
    if options.socket:
        return Path(options.socket)
    try:
        option = control_socket(Path(options.config).read_bytes(), options.config)
    except OSError:
        option = ""
    return socket_of_daemon(option, environ) or Path("/run/pybal") / _SOCKET
