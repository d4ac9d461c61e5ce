"""Listening sockets that the service manager passes to the daemon (sd_listen_fds(3)).

They come from the manager's store of descriptors, to which the previous process gave them (``FDSTORE=1``), or from a ``.socket``
unit. Connections wait in their backlog while no process serves them: a restart refuses none.

=================== ============================================================
``LISTEN_FDS``      the number of descriptors, from 3 on
``LISTEN_PID``      the process that they are for
``LISTEN_FDNAMES``  their names, separated by colons
=================== ============================================================

A socket is known by its own address and port, not by its name.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from twisted.logger import Logger

from pybal.core.model import Address
from pybal.core.text import printable

FIRST = 3
"""The first passed descriptor (``SD_LISTEN_FDS_START``)."""
MOST = 1024
"""Descriptors that are looked at; a manager passes fewer."""

_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")

_NUMBER = re.compile("[0-9]{1,4}")

Endpoint = tuple[Address, int]

_log = Logger()


@dataclass(frozen=True, slots=True)
class Passed:
    """A listening TCP socket and the name by which it was passed."""

    name: str
    listener: socket.socket


@dataclass(frozen=True, slots=True)
class Inherited:
    """The passed sockets that are still unused, by address and port."""

    sockets: dict[Endpoint, Passed] = field(default_factory=dict)

    def take(self, endpoint: Endpoint) -> Passed | None:
        """Remove and return the socket of an endpoint, ``None`` without one."""
        return self.sockets.pop(endpoint, None)


def inherit(environ: MutableMapping[str, str]) -> Inherited:
    """Return the passed listening TCP sockets, and remove the variables from ``environ``.

    Other descriptors are closed, with a line in the log. No child inherits any of them.
    """
    number, process, names, _ = (environ.pop(name, "") for name in _VARIABLES)
    found = Inherited()
    if process != str(os.getpid()) or not _NUMBER.fullmatch(number):
        return found
    labels = names.split(":")
    for position in range(min(int(number), MOST)):
        name = labels[position] if position < len(labels) else ""
        _look_at(FIRST + position, name, found)
    return found


def _look_at(descriptor: int, name: str, found: Inherited) -> None:
    try:
        os.set_inheritable(descriptor, False)
        problem = next(_problems(descriptor), "")
        if not problem:
            listener = socket.socket(fileno=descriptor)
            endpoint = _endpoint(listener)
            if endpoint not in found.sockets:
                found.sockets[endpoint] = Passed(name, listener)
                return
            listener.detach()
            problem = "passed twice"
        os.close(descriptor)
    except OSError as error:
        problem = error.strerror or str(error)
    text = "ignoring descriptor {descriptor} ({name}) of the service manager: {problem}"
    _log.warn(text, descriptor=descriptor, name=printable(name), problem=problem, system="start")


def _problems(descriptor: int) -> Iterator[str]:
    """Yield why a descriptor is not a listening TCP socket."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        yield "not a socket"
        return
    with socket.socket(fileno=os.dup(descriptor)) as looked:
        if looked.family not in (socket.AF_INET, socket.AF_INET6):
            yield f"a socket of family {looked.family.name if isinstance(looked.family, socket.AddressFamily) else looked.family}"
        elif looked.type != socket.SOCK_STREAM:
            yield "not a TCP socket"
        elif not looked.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            yield "not listening"


def _endpoint(listener: socket.socket) -> Endpoint:
    host, port, *_ = listener.getsockname()
    return ip_address(host), port
