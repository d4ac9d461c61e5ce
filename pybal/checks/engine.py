"""The check engine: one nested epoll object, a timing ring and deadlines, for all checks of the daemon."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.interfaces import IReactorFDSet, IReactorTime


class Engine:
    """Runs all checks."""

    def __init__(self, reactor: IReactorFDSet | IReactorTime, seconds: Callable[[], float] = time.monotonic) -> None:
        raise NotImplementedError

    def start(self) -> None: ...

    def stop(self) -> None: ...
