"""The type of the reactor: the methods of Twisted's reactor that PyBal uses, declared once.

Twisted has one interface per capability and no type for an object with several. A protocol accepts the reactor itself and
fakes. As an implementer of IReactorTime, it is also accepted as a clock.
"""

# ruff: noqa: A002, N802, N803  # Twisted's names

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.interfaces import (
    IConnector,
    IDelayedCall,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IReadDescriptor,
)
from twisted.internet.protocol import ClientFactory
from zope.interface import implementer

from pybal.runtime.activities import Activities


@implementer(IReactorTime)
class Reactor(Protocol):
    """A reactor with time, descriptors, TCP clients, and listeners on UNIX and adopted sockets."""

    def seconds(self) -> float: ...

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> IDelayedCall: ...

    def callFromThread(self, callable: Callable[..., object], /, *args: object) -> None: ...

    def getDelayedCalls(self) -> Sequence[IDelayedCall]: ...

    def addReader(self, reader: IReadDescriptor) -> object: ...

    def removeReader(self, reader: IReadDescriptor) -> object: ...

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float = ...,
        bindAddress: tuple[str, int] | None = ...,
    ) -> IConnector: ...

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = ..., mode: int = ...
    ) -> IListeningPort: ...

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> IListeningPort: ...


class HeartbeatReactor(Reactor, Protocol):
    """A reactor with its activities, and with a clock for heartbeats.

    The calls of that clock do not wait behind other callbacks.
    """

    @property
    def activities(self) -> Activities: ...

    @property
    def lane(self) -> IReactorTime: ...
