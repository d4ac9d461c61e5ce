"""Calls a function in a second process while this one works."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def beside(function: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Call a function in a copy of this process; the function that the context has waits for its result.

    It raises what the function raised, or EOFError if the copy was killed. The copy ends with the context. This process must
    have one thread: a lock that another one holds would be held in the copy for ever.
    """
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(function, sending), daemon=True)
    process.start()
    sending.close()

    def result() -> T:
        returned: T | Exception = receiving.recv()
        if isinstance(returned, Exception):
            raise returned
        return returned

    try:
        yield result
    finally:
        process.terminate()
        process.join()
        receiving.close()


def _call(function: Callable[[], object], sending: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process reports it
    try:
        returned = function()
    except Exception as error:  # noqa: BLE001  # the other process raises it
        returned = error
    with suppress(OSError):  # the first process was killed
        sending.send(returned)
