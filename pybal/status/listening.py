"""The open ports of the HTTP endpoints; a reload opens new ones before it closes old ones.

At the start a port that cannot be opened is an alert and is retried: nothing that serves clients needs it. A reload is refused if one of
its new ports cannot be opened, because then the operator is present.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from pybal.config.settings import InstrumentationSettings
from pybal.core.model import Address, Alert
from pybal.runtime.attempt import Attempt
from pybal.runtime.reactor import Reactor
from pybal.status.listener import StatusFactory, listen

Endpoint = tuple[Address, int]

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


class Listening:
    """The open ports that ``factory`` serves, and those that are still tried."""

    _log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        factory: StatusFactory,
    ) -> None:
        self._reactor = reactor
        self._factory = factory
        self._ports: dict[Endpoint, IListeningPort] = {}
        self._attempts: dict[Endpoint, Attempt] = {}

    def start(self, settings: InstrumentationSettings | None) -> None:
        """Open each port, now or as soon as it is possible."""
        for endpoint in _endpoints(settings):
            if settings is not None and settings.is_optional(endpoint[0]) and not self._has(endpoint):
                continue
            self._attempts[endpoint] = attempt = Attempt(
                f"cannot listen on {endpoint[0]} port {endpoint[1]}",
                partial(self._try, endpoint),
                self._reactor,
                kind="listen",
                expected=(NotListeningError,),
            )
            attempt.start()

    def open(self, settings: InstrumentationSettings | None) -> None:
        """Open each port that is neither open nor still tried: all of them or none. Raises CannotListenError."""
        opened: dict[Endpoint, IListeningPort] = {}
        try:
            for endpoint in _endpoints(settings):
                if endpoint in self._ports | opened or endpoint in self._attempts:
                    continue
                if settings is not None and settings.is_optional(endpoint[0]) and not self._has(endpoint):
                    continue
                opened[endpoint] = listen(self._reactor, self._factory, *endpoint)
        except CannotListenError:
            for port in opened.values():
                maybeDeferred(port.stopListening)
            raise
        self._ports |= opened

    async def close(self, besides: InstrumentationSettings | None = None) -> None:
        """Close every port except those of ``besides``; open connections stay open."""
        kept = set(_endpoints(besides))
        for endpoint in self._attempts.keys() - kept:
            self._attempts.pop(endpoint).stop()
        for endpoint in self._ports.keys() - kept:
            await maybeDeferred(self._ports.pop(endpoint).stopListening)

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for each port that is still tried."""
        for attempt in self._attempts.values():
            yield from attempt.alerts()

    def _try(self, endpoint: Endpoint) -> None:
        try:
            self._ports[endpoint] = listen(self._reactor, self._factory, *endpoint)
        except CannotListenError as error:
            cause: OSError = error.socketError
            reason = _REMEDIES.get(cause.errno or 0, cause.strerror or str(cause))
            raise NotListeningError(reason) from error
        self._attempts.pop(endpoint, None)

    def _has(self, endpoint: Endpoint) -> bool:
        """Return whether this host has the address of an endpoint; log a warning if it lacks it."""
        try:
            maybeDeferred(listen(self._reactor, self._factory, endpoint[0], 0).stopListening)
        except CannotListenError as error:
            if error.socketError.errno in _LACKING:
                text = "not listening on {ip}: this host lacks the address (set instrumentation_ips to silence this)"
                self._log.warn(text, ip=endpoint[0])
                return False
        return True


def _endpoints(settings: InstrumentationSettings | None) -> list[Endpoint]:
    return [(ip, settings.port) for ip in (*settings.ips, *settings.advertised_ips)] if settings else []
