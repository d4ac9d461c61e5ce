"""Calls a function in a second process while this one works."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")

_STREAMS = (0, 1, 2)


@contextmanager
def beside(function: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Call a function in a copy of this process; the function that the context has waits for its result.

    It raises what the function raised. If there can be no copy, or it was killed, it calls the function itself. The copy
    ends with the context. This process must have one thread: a lock that another one holds would be held in the copy for ever.
    """
    try:
        copy, receiving = _start(function)
    except OSError:  # no more processes or descriptors
        yield function
        return

    def result() -> T:
        try:
            returned: T | Exception = receiving.recv()
        except EOFError:
            return function()
        if isinstance(returned, Exception):
            raise returned
        return returned

    try:
        yield result
    finally:
        receiving.close()
        copy.kill()
        copy.join()


def _start(function: Callable[[], object]) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    with sending:
        copy = context.Process(target=_call, args=(function, sending, receiving), daemon=True)
        # An interrupt in the middle of the fork would print a traceback.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            copy.start()
        except OSError:
            receiving.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return copy, receiving


def _call(function: Callable[[], object], sending: Connection, receiving: Connection) -> None:
    """Send the result of a function; SIGINT stays blocked: the first process ends this one."""
    receiving.close()  # or the end of the first process would not be noticed
    with open(os.devnull, "r+b", buffering=0) as nothing:  # noqa: PTH123  # a descriptor
        for stream in _STREAMS:  # a reader of the first process's output does not wait for this one
            os.dup2(nothing.fileno(), stream)
    try:
        returned = function()
    except Exception as error:  # noqa: BLE001  # the other process raises it
        returned = error
    with suppress(OSError):  # the first process was killed
        sending.send(returned)
