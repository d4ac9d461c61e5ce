"""Invariants of a replay: each is checked twice a second, from the moment it is added until the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_INTERVAL = 0.5


class Invariants:
    """Functions that return how an invariant is violated, or an empty text."""

    def __init__(self) -> None:
        self._rules: dict[str, Callable[[], str]] = {}
        self._violations: dict[str, str] = {}

    def add(self, name: str, violation: Callable[[], str]) -> None:
        """Add an invariant, which holds now, under a name that is the claim."""
        assert not violation(), f"{name}: {violation()}"
        self._rules[name] = violation

    def check(self) -> None:
        """Raise AssertionError if an invariant has been violated at any time."""
        assert not self._violations, "\n".join(self._violations.values())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Check all invariants during the context, and at its end."""
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        self._look()
        self.check()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_INTERVAL):
            self._look()

    def _look(self) -> None:
        for name, violation in list(self._rules.items()):
            try:
                found = violation()
            except OSError as error:
                found = repr(error)
            if found:
                self._violations.setdefault(name, f"{time.strftime('%H:%M:%S')} {name}: {found}")
