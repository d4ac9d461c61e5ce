"""The internal errors that are logged while a test runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.interfaces import IReactorTime
from twisted.logger import globalLogPublisher

from pybal.runtime.faults import Faults


@contextmanager
def observed_faults(clock: IReactorTime) -> Iterator[Faults]:
    """Yield the internal errors from now on, by the time of ``clock``."""
    faults = Faults(clock.seconds)
    globalLogPublisher.addObserver(faults)
    try:
        yield faults
    finally:
        globalLogPublisher.removeObserver(faults)
