"""The open ports of the HTTP endpoints; a reload opens new ones before it closes old ones."""

from __future__ import annotations

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort

from pybal.config.settings import InstrumentationSettings
from pybal.core.model import Address
from pybal.runtime.reactor import Reactor
from pybal.status.listener import StatusFactory, listen


class Listening:
    """The open ports that ``factory`` serves."""

    def __init__(
        self,
        reactor: Reactor,
        factory: StatusFactory,
    ) -> None:
        self._reactor = reactor
        self._factory = factory
        self._ports: dict[tuple[Address, int], IListeningPort] = {}

    def open(self, settings: InstrumentationSettings | None) -> None:
        """Open each port that is not open yet: all of them or none. Raises CannotListenError."""
        opened: dict[tuple[Address, int], IListeningPort] = {}
        try:
            for endpoint in _endpoints(settings):
                if endpoint not in self._ports | opened:
                    opened[endpoint] = listen(self._reactor, self._factory, *endpoint)
        except CannotListenError:
            for port in opened.values():
                maybeDeferred(port.stopListening)
            raise
        self._ports |= opened

    async def close(self, besides: InstrumentationSettings | None = None) -> None:
        """Close every port except those of ``besides``; open connections stay open."""
        for endpoint in self._ports.keys() - set(_endpoints(besides)):
            await maybeDeferred(self._ports.pop(endpoint).stopListening)


def _endpoints(settings: InstrumentationSettings | None) -> list[tuple[Address, int]]:
    return [(ip, settings.port) for ip in (*settings.ips, *settings.advertised_ips)] if settings else []
