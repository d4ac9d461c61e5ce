"""Counts the work of a call in instructions of the interpreter, which is the same on every machine."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

_TOOL = 3
"""A number of ``sys.monitoring`` that Python reserves for no purpose."""


def opcodes(call: Callable[[], object]) -> int:
    """Return the number of Python instructions that a call executes.

    A function in C, such as a copy of a dict, counts as one. No garbage collection runs: what it finalizes is other work.
    """
    count = 0

    def executed() -> None:
        nonlocal count
        count += 1

    gc.disable()
    try:
        with _monitored(executed) if sys.version_info >= (3, 12) else _traced(executed):
            call()
    finally:
        gc.enable()
    return count


@contextmanager
def _traced(executed: Callable[[], None]) -> Iterator[None]:
    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any]:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            executed()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@contextmanager
def _monitored(executed: Callable[[], None]) -> Iterator[None]:
    """Do the same from Python 3.12 on, where a trace misses functions that were never traced before."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]  # Python 3.12

    def instruction(_code: CodeType, _offset: int) -> None:
        executed()

    event = monitoring.events.INSTRUCTION
    monitoring.use_tool_id(_TOOL, "opcodes")
    monitoring.register_callback(_TOOL, event, instruction)
    monitoring.set_events(_TOOL, event)
    try:
        yield
    finally:
        monitoring.set_events(_TOOL, 0)
        monitoring.free_tool_id(_TOOL)
