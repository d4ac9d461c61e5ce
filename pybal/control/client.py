"""The command line's end of the control socket: asks the daemon, prints its answer."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

from pybal.control.wire import (
    LONGEST_ANSWER,
    CommandReply,
    Request,
    RequestError,
    read_answer,
    write_request,
)

PATIENCE = 60.0
"""Seconds for which the daemon may be silent."""


class NoAnswerError(Exception):
    """The daemon does not run, does not answer, or what answers is not the daemon."""


def ask(path: Path, request: Request) -> CommandReply:
    """Return the daemon's answer. Raises NoAnswerError."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(path))
            return _ask(connection, request)
    except (FileNotFoundError, ConnectionRefusedError):
        raise NoAnswerError(f"pybal does not run: nobody listens at {path}") from None
    except PermissionError:
        raise NoAnswerError(f"{path}: this user may not give commands") from None
    except TimeoutError:
        raise NoAnswerError(f"{path}: no answer within {PATIENCE:.0f} s") from None
    except OSError as error:
        raise NoAnswerError(f"{path}: {error.strerror or error}") from error


def _ask(connection: socket.socket, request: Request) -> CommandReply:
    with suppress(BrokenPipeError):  # who refuses us says why, and closes without hearing us
        connection.sendall(write_request(request))
    with connection.makefile("rb") as stream:
        line = stream.readline(LONGEST_ANSWER)
    if not line.endswith(b"\n"):
        raise NoAnswerError("the daemon closed the connection without an answer")
    try:
        return read_answer(line)
    except RequestError as error:
        raise NoAnswerError(f"not an answer of this version of pybal: {error}") from error
