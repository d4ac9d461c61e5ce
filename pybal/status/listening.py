"""The open ports of the HTTP endpoints; a reload opens new ones before it closes old ones.

A port uses the socket that the service manager passed for its address, if there is one, and each socket is given to the
manager for the next process. At the start a port that cannot be opened is an alert and is retried: nothing that serves clients needs it. A reload is refused if one of
its new ports cannot be opened, because then the operator is present.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from pybal.config.settings import InstrumentationSettings
from pybal.core.model import Alert
from pybal.core.text import end_of
from pybal.runtime.attempt import Attempt
from pybal.runtime.inherited import Endpoint, Inherited
from pybal.runtime.reactor import Reactor
from pybal.runtime.systemd import Notifier
from pybal.status.listener import Bind, StatusFactory, bound, serve

PREFIX = "pybal-http-"
"""Begins the names of our sockets in the store of the service manager."""

_LACKING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_REMEDIES: Mapping[int, str] = MappingProxyType(
    {
        errno.EADDRINUSE: "address in use (stop the other program, or set instrumentation_port)",
        errno.EADDRNOTAVAIL: "this host lacks the address (add it, or correct instrumentation_ips)",
        errno.EAFNOSUPPORT: "this host has no IPv6 (correct instrumentation_ips)",
        errno.EACCES: "permission denied (CAP_NET_BIND_SERVICE is missing)",
    }
)


class NotListeningError(Exception):
    """A port cannot be opened at present; the text has the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A served port, its socket, and whether the socket is in the store of the service manager."""

    port: IListeningPort
    server: socket.socket
    stored: bool


class Listening:
    """The open ports that ``factory`` serves, and those that are still tried.

    ``inherited`` are the sockets that the service manager passed; ``notifier`` gives ours to its store. ``bind`` opens new ones.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        factory: StatusFactory,
        notifier: Notifier,
        inherited: Inherited | None = None,
        bind: Bind = bound,
    ) -> None:
        self._reactor = reactor
        self._factory = factory
        self._notifier = notifier
        self._bind = bind
        self._inherited = inherited or Inherited()
        self._ports: dict[Endpoint, _Open] = {}
        self._attempts: dict[Endpoint, Attempt] = {}

    def start(self, settings: InstrumentationSettings | None) -> None:
        """Open each port, now or as soon as it is possible, and close the inherited sockets of no port."""
        for endpoint in self._usable(settings):
            self._attempts[endpoint] = attempt = Attempt(
                f"cannot listen on {endpoint[0]} port {endpoint[1]}",
                partial(self._try, endpoint),
                self._reactor,
                kind="listen",
                expected=(NotListeningError,),
            )
            attempt.start()
        for (ip, port), passed in self._inherited.sockets.items():
            text = "closing the inherited socket of {place} ({name}): no HTTP endpoint of the configuration"
            self._log.warn(text, place=end_of(ip, port), name=passed.name)
            self._dispose(passed.name, passed.listener)
        self._inherited.sockets.clear()

    def open(self, settings: InstrumentationSettings | None) -> None:
        """Open each port that is neither open nor still tried: all of them or none. Raises CannotListenError."""
        opened: dict[Endpoint, _Open] = {}
        try:
            for endpoint in self._usable(settings):
                if endpoint not in self._ports | opened and endpoint not in self._attempts:
                    opened[endpoint] = self._listen(endpoint)
        except CannotListenError:
            for each in opened.values():
                maybeDeferred(each.port.stopListening)
                each.server.close()
            raise
        self._ports |= opened
        for endpoint in opened:
            self._store(endpoint)

    async def close(self, besides: InstrumentationSettings | None = None) -> None:
        """Close the ports that are not among those of ``besides``; open connections stay open."""
        kept = set(_endpoints(besides))
        for endpoint in self._attempts.keys() - kept:
            self._attempts.pop(endpoint).stop()
        for endpoint in self._ports.keys() - kept:
            closed = self._ports.pop(endpoint)
            await maybeDeferred(closed.port.stopListening)
            self._dispose(_name(endpoint) if closed.stored else "", closed.server)

    async def leave(self) -> None:
        """Serve no port any more; the service manager keeps the sockets for the next process."""
        for attempt in self._attempts.values():
            attempt.stop()
        for closed in self._ports.values():
            await maybeDeferred(closed.port.stopListening)
            closed.server.close()
        self._attempts.clear()
        self._ports.clear()

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for each port that is still tried."""
        for attempt in self._attempts.values():
            yield from attempt.alerts()

    def _usable(self, settings: InstrumentationSettings | None) -> Iterator[Endpoint]:
        for endpoint in _endpoints(settings):
            if settings is None or not settings.is_optional(endpoint[0]) or self._has(endpoint):
                yield endpoint

    def _try(self, endpoint: Endpoint) -> None:
        try:
            self._ports[endpoint] = self._listen(endpoint)
        except CannotListenError as error:
            cause: OSError = error.socketError
            reason = _REMEDIES.get(cause.errno or 0, cause.strerror or str(cause))
            raise NotListeningError(reason) from error
        self._attempts.pop(endpoint, None)
        self._store(endpoint)

    def _listen(self, endpoint: Endpoint) -> _Open:
        """Serve an endpoint on its inherited socket, or on a new one. Raises CannotListenError."""
        passed = self._inherited.take(endpoint)
        server = passed.listener if passed else self._bind(*endpoint)
        try:
            port = serve(self._reactor, self._factory, server)
        except OSError as error:
            server.close()
            raise CannotListenError(str(endpoint[0]), endpoint[1], error) from error
        # The manager holds the socket of a .socket unit itself.
        return _Open(port, server, stored=passed is None or passed.name.startswith(PREFIX))

    def _store(self, endpoint: Endpoint) -> None:
        if self._ports[endpoint].stored:
            self._notifier.store(_name(endpoint), self._ports[endpoint].server)

    def _dispose(self, name: str, server: socket.socket) -> None:
        """Close a socket, and remove it from the store if it is in it by ``name``."""
        if name.startswith(PREFIX):
            with suppress(OSError):
                # Otherwise clients wait in its backlog until the manager has closed its copy.
                server.shutdown(socket.SHUT_RDWR)
            self._notifier.forget(name)
        server.close()

    def _has(self, endpoint: Endpoint) -> bool:
        """Return whether this host has the address of an endpoint; log a warning if it lacks it."""
        try:
            self._bind(endpoint[0], 0).close()
        except CannotListenError as error:
            if error.socketError.errno in _LACKING:
                text = "not listening on {ip}: this host lacks the address (set instrumentation_ips to silence this)"
                self._log.warn(text, ip=endpoint[0])
                return False
        return True


def _endpoints(settings: InstrumentationSettings | None) -> list[Endpoint]:
    return [(ip, settings.port) for ip in (*settings.ips, *settings.advertised_ips)] if settings else []


def _name(endpoint: Endpoint) -> str:
    """Return the name of a socket in the store, which may not contain a colon."""
    return f"{PREFIX}{endpoint[1]}-{endpoint[0]}".replace(":", "_")
