"""A command on the command line: asks the daemon, and prints its answer for people or for machines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pybal.config.parse import control_socket
from pybal.control.client import NoAnswerError, ask
from pybal.control.doctor import doctor
from pybal.control.wire import FAILED, Request

_SOCKET = "control.sock"
_ARGUMENTS = ("duration", "vip", "keep", "force")
"""The options of the command line that are arguments of a request."""


def command(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Give a command to the daemon, or look at the host; return the exit status."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a text stream has it
    if options.command == "doctor":
        return doctor(options, _where(options, environ), partial(fail, as_json=options.json))
    said = vars(options)
    arguments = {name: said[name] for name in _ARGUMENTS if said.get(name)}
    if options.command == "plan" and options.named:
        try:
            # Where it is not UTF-8 the other end gets the same bytes all the same (PEP 383).
            text = Path(options.config).read_bytes().decode(errors="surrogateescape")
        except OSError as error:
            return fail(f"{options.config}: {error.strerror}", as_json=options.json)
        arguments |= {"configuration": text, "file": options.config}
    try:
        answer = ask(_where(options, environ), Request(options.command, arguments, said.get("reason", "")))
    except NoAnswerError as error:
        return fail(str(error), as_json=options.json)
    if answer.exit == FAILED:
        return fail(answer.text, as_json=options.json)
    print(json.dumps(answer.document, indent=1) if options.json else answer.text.removesuffix("\n"))
    return answer.exit


def fail(why: str, *, as_json: bool) -> int:
    """Say why a command could not be done; return its exit status."""
    if as_json:
        print(json.dumps({"error": why}))
    else:
        print(f"pybal: {why}", file=sys.stderr)
    return FAILED


def socket_of_daemon(option: str, environ: Mapping[str, str]) -> Path | None:
    """Return where the daemon listens for commands: where its configuration says, or in its runtime directory if any."""
    directory = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if option:
        return Path(option)
    return Path(directory) / _SOCKET if directory else None


def _where(options: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    """Return where to ask. A configuration that cannot be read, or is wrong, must not stand between us and the daemon."""
    if options.socket:
        return Path(options.socket)
    try:
        option = control_socket(Path(options.config).read_bytes(), options.config)
    except OSError:
        option = ""
    return socket_of_daemon(option, environ) or Path("/run/pybal") / _SOCKET
