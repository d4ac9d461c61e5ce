"""A stand-in for systemd: starts the daemon, receives notifications, keeps and passes descriptors."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.daemon_process import Daemon, wait_for

# Descriptors begin at 3; LISTEN_PID is the process that the shell becomes.
LAUNCH = 'export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$@"'


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification: its monotonic time in seconds, and its variables."""

    at: float
    variables: Mapping[str, str]


@dataclass
class ServiceManager:
    """Runs the daemon of ``directory`` as systemd does; :meth:`close` ends it.

    ``notifications`` are those of all processes, ``store`` the kept sockets with their names. ``more`` are sockets that a unit of
    type socket would pass, with their names.
    """

    directory: Path
    endpoint: str = ""
    watchdog: float = 30.0
    more: Sequence[tuple[str, socket.socket]] = ()
    notifications: list[Notification] = field(default_factory=list)
    store: list[tuple[str, socket.socket]] = field(default_factory=list)
    daemon: Daemon | None = None

    def __post_init__(self) -> None:
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.bind(str(self.directory / "notify"))
        threading.Thread(target=self._receive, daemon=True).start()

    def start(self) -> Daemon:
        """Start a process with the kept sockets, and return it."""
        passed = [*self.more, *self.store]
        begin = len(self.notifications)
        self._begin = begin
        variables = {
            "NOTIFY_SOCKET": self.directory / "notify",
            "WATCHDOG_USEC": round(self.watchdog * 1e6),
            "LISTEN_FDS": len(passed),
            "LISTEN_FDNAMES": ":".join(name for name, _ in passed),
        }
        moves = [f"{3 + number}<&{each.fileno()}" for number, (_, each) in enumerate(passed)]
        closed = [f"{each.fileno()}<&-" for _, each in passed if each.fileno() >= 3 + len(passed)]
        prefix = [
            "env",
            *(f"{name}={value}" for name, value in variables.items()),
            "bash",
            "-c",
            " ".join((LAUNCH, *moves, *closed)),
            "bash",
        ]
        descriptors = [each.fileno() for _, each in passed]
        self.daemon = Daemon(self.directory, prefix=prefix, endpoint=self.endpoint, descriptors=descriptors)
        return self.daemon

    def restart(self) -> Daemon:
        """Stop the process and start the next one, as ``systemctl restart`` does."""
        assert self.daemon is not None
        assert self.daemon.stop() == 0
        return self.start()

    def wait_until_ready(self) -> Notification:
        """Return the first READY=1 of the present process."""
        found = self.wait_for_state("READY", "1")
        assert found is not None
        return found

    def wait_for_state(self, name: str, value: str) -> Notification:
        """Return the first notification of the present process with this variable."""
        found: list[Notification] = []

        def seen() -> bool:
            found.extend(each for each in self.notifications[self._begin :] if each.variables.get(name) == value)
            return bool(found)

        assert self.daemon is not None
        self.daemon.wait(seen, f"{name}={value} of {self.notifications}")
        return found[0]

    def wait_for_store(self, name: str) -> None:
        """Wait until a socket of this name is kept."""
        wait_for(lambda: any(kept == name for kept, _ in self.store), lambda: f"{name} in {self.store}")

    @property
    def status(self) -> str:
        """The last STATUS of the present process."""
        texts = [each.variables["STATUS"] for each in self.notifications[self._begin :] if "STATUS" in each.variables]
        return texts[-1] if texts else ""

    def statuses(self) -> list[str]:
        """Return each STATUS of the present process."""
        return [each.variables["STATUS"] for each in self.notifications[self._begin :] if "STATUS" in each.variables]

    def wait_for_status(self, text: str) -> None:
        """Wait for a STATUS of the present process that contains a text."""
        wait_for(lambda: any(text in each for each in self.statuses()), lambda: f"{text} in {self.statuses()}")

    def close(self) -> None:
        """Kill the process, and close the kept sockets."""
        if self.daemon is not None and self.daemon.process.poll() is None:
            self.daemon.process.kill()
            self.daemon.process.wait()
        with contextlib.suppress(OSError):
            self._inbox.shutdown(socket.SHUT_RDWR)
        self._inbox.close()
        for _, each in self.store:
            each.close()

    def _receive(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._inbox, 8192, 16)
            except OSError:
                return
            if not data:
                return
            variables = dict(line.partition("=")[::2] for line in data.decode().split("\n"))
            self._keep(variables, [socket.socket(fileno=each) for each in descriptors])
            self.notifications.append(Notification(time.monotonic(), variables))

    def _keep(self, variables: Mapping[str, str], sockets: Sequence[socket.socket]) -> None:
        name = variables.get("FDNAME", "stored")
        if variables.get("FDSTOREREMOVE") == "1":
            for kept in [each for each in self.store if each[0] == name]:
                self.store.remove(kept)
                kept[1].close()
        for each in sockets:
            known = any(os.path.sameopenfile(each.fileno(), kept.fileno()) for _, kept in self.store)
            if variables.get("FDSTORE") == "1" and not known:
                self.store.append((name, each))
            else:
                each.close()


@contextlib.contextmanager
def service_manager(directory: Path, endpoint: str = "", **options: object) -> Iterator[ServiceManager]:
    """Run a service manager for the daemon of a directory."""
    manager = ServiceManager(directory, endpoint, **options)  # type: ignore[arg-type]
    try:
        yield manager
    finally:
        manager.close()
