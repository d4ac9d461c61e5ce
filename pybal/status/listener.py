"""The HTTP listeners: twisted.web's server, hardened against clients that are slow, many, huge or somebody else's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.web.http import HTTPFactory

from pybal.model import Address
from pybal.status.site import Status


class StatusFactory(HTTPFactory):
    """Serves one :class:`Status` to the clients of any number of listeners.

    ``host_names`` are names of this machine, by which clients may address it on a loopback address as well as by
    ``localhost`` and IP literals. Beyond ``max_connections`` the longest idle connection makes room for a new one.
    """

    def __init__(
        self, status: Status, clock: IReactorTime, *, host_names: Collection[str] = (), max_connections: int = 500
    ) -> None:
        super().__init__(reactor=clock)


def listen(reactor: Any, factory: StatusFactory, ip: Address, port: int) -> IListeningPort:
    """Listen on one address; port 0 takes a free one. Raises CannotListenError, which names the address."""
    raise NotImplementedError
