"""A server as a process on a host of the network, which a test starts, pauses, kills and starts again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from typing_extensions import override

from tests.harness.guest.network import Host
from tests.harness.servers.process import Server


class HostProgram(Server):
    """A program on ``host``, ready when ``ready()`` is true there; it is killed at the end of the network."""

    def __init__(self, host: Host, command: Sequence[str], directory: Path, ready: Callable[[], bool]) -> None:
        super().__init__(command, directory, ready)
        self._host = host
        self._paused = False
        host.stack.callback(self.kill)

    @property
    def responds(self) -> bool:
        """Return whether it was started and is not paused."""
        return self._process is not None and not self._paused

    @override
    def start(self) -> None:
        with self._host.entered():
            super().start()

    @override
    def pause(self) -> None:
        super().pause()
        self._paused = True

    @override
    def resume(self) -> None:
        super().resume()
        self._paused = False
