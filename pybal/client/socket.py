"""The client of the control socket."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

from pybal.control.wire import (
    LONGEST_REPLY,
    CommandReply,
    Request,
    RequestError,
    read_reply,
    write_request,
)

TIMEOUT = 60.0
"""Seconds to wait for each part of a reply."""
_CLOSED = "the daemon closed the connection without a reply (see its log)"


class NoReplyError(Exception):
    """The daemon is not running, does not respond, or sent an invalid reply."""


class NotFoundError(NoReplyError):
    """The daemon has no such service or server."""


def send_request(path: Path, request: Request, *, timeout: float = TIMEOUT) -> CommandReply:
    """Send a request and return the daemon's reply. Raises NoReplyError."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            return _exchange(connection, request)
    except (FileNotFoundError, ConnectionRefusedError):
        raise NoReplyError(f"no daemon listens at {path} (start pybal, or set --socket)") from None
    except ConnectionResetError:
        raise NoReplyError(_CLOSED) from None
    except PermissionError:
        raise NoReplyError(f"{path}: permission denied (run as root, or set control-group)") from None
    except TimeoutError:
        raise NoReplyError(
            f"{path}: no reply within {timeout:.0f} s (see the log of pybal; restart it if it hangs)"
        ) from None
    except OSError as error:
        raise NoReplyError(f"{path}: {error.strerror or error}") from error


def _exchange(connection: socket.socket, request: Request) -> CommandReply:
    with suppress(BrokenPipeError):  # a daemon that refuses the connection sends the reason and reads nothing
        connection.sendall(write_request(request))
    with connection.makefile("rb") as stream:
        line = stream.readline(LONGEST_REPLY)
    if not line.endswith(b"\n"):
        raise NoReplyError(_CLOSED)
    try:
        return read_reply(line)
    except RequestError as error:
        raise NoReplyError(f"invalid reply: {error} (restart pybal after an upgrade)") from error
