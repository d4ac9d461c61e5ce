"""The addresses that the HTTP endpoints listen on: those that come open before those that go close."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort

from pybal.config.settings import InstrumentationSettings
from pybal.core.model import Address
from pybal.status.listener import StatusFactory, listen


class Listening:
    """The open ports of ``factory``."""

    def __init__(
        self,
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
        factory: StatusFactory,
    ) -> None:
        self._reactor = reactor
        self._factory = factory
        self._ports: dict[tuple[Address, int], IListeningPort] = {}

    def open(self, settings: InstrumentationSettings | None) -> None:
        """Open what is not open yet, all of it or nothing. Raises CannotListenError."""
        opened: dict[tuple[Address, int], IListeningPort] = {}
        try:
            for ip, port in _wanted(settings):
                if (ip, port) not in self._ports | opened:
                    opened[ip, port] = listen(self._reactor, self._factory, ip, port)
        except CannotListenError:
            for half in opened.values():
                maybeDeferred(half.stopListening)
            raise
        self._ports |= opened

    async def close(self, besides: InstrumentationSettings | None = None) -> None:
        """Close all, but for those of these settings; connections that are open are served on."""
        for place in self._ports.keys() - set(_wanted(besides)):
            await maybeDeferred(self._ports.pop(place).stopListening)


def _wanted(settings: InstrumentationSettings | None) -> list[tuple[Address, int]]:
    return [(ip, settings.port) for ip in (*settings.ips, *settings.advertised_ips)] if settings else []
