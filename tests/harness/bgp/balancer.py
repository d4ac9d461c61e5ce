"""A speaker in its own process, in the balancer's namespace; tests hang, stop and kill it.

The module is also the program of the process; its arguments are a directory and the descriptor of a connection.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure
from zope.interface import implementer

from pybal.bgp.model import Announcement, Session
from pybal.bgp.speaker import Speaker
from pybal.config.settings import BGPSettings
from pybal.core.model import Address, Alert
from pybal.runtime.loop import Loop
from tests.harness.guest import namespace
from tests.harness.stepped_reactor import run


class Balancer:
    """A handle of the speaker's process. ``inside`` is a namespace; the log is ``directory/log``."""

    def __init__(self, inside: int, directory: Path, settings: BGPSettings, python: str = sys.executable) -> None:
        directory.mkdir()
        self._log = directory / "log"
        self._connection, theirs = Pipe()
        self._turn = Lock()
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            sys.executable,
            "-m",
            __name__,
            str(directory),
            str(theirs.fileno()),
        ]
        with namespace.entered(inside), self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[theirs.fileno()]
            )
        theirs.close()
        self._connection.send((settings, python))

    @property
    def log(self) -> str:
        """The end of the log, for the message of a failed test."""
        return self._log.read_text()[-3000:]

    @property
    def pid(self) -> int:
        return self._process.pid

    def announce(self, announcements: Iterable[Announcement]) -> None:
        self._call("announce", tuple(announcements))

    def announce_in_turn(self, goals: Iterable[Iterable[Announcement]]) -> None:
        """Set one goal after the other, without a pause."""
        self._call("announce_in_turn", [tuple(goal) for goal in goals])

    def reconfigure(self, settings: BGPSettings) -> None:
        """Apply other settings."""
        self._call("reconfigure", settings)

    def sessions(self) -> dict[Address, Session]:
        """Return the sessions by the peer's address."""
        return {session.peer.address: session for session in self._call("sessions")}

    def alerts(self) -> list[str]:
        """Return the texts of the alerts."""
        return [alert.text for alert in self._call("alerts")]

    def hang(self, seconds: float) -> None:
        """Block the reactor for a while; return without waiting."""
        self._connection.send(("hang", seconds))

    def suspend(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop the speaker; its reactor must be empty at the end."""
        self._connection.send(("stop",))
        assert self._process.wait(30) == 0, self.log

    def close(self) -> None:
        """Kill the process, if it is running."""
        if self._process.poll() is None:
            self.kill()
        self._connection.close()

    def _call(self, *request: object) -> Any:
        try:
            with self._turn:
                self._connection.send(request)
                return self._connection.recv()
        except (EOFError, BrokenPipeError):
            raise AssertionError(f"the speaker's process ended\n{self.log}") from None


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue  # ended while being read
        if parent == pid:
            found.append(int(stat.parent.name))
    return found


@implementer(IReadDescriptor)
class _Requests:
    """Remote calls of the speaker's methods over the connection."""

    def __init__(self, connection: Connection, speaker: Speaker, ended: Deferred[None]) -> None:
        self._connection = connection
        self._speaker = speaker
        self._ended = ended

    def fileno(self) -> int:
        return self._connection.fileno()

    def doRead(self) -> None:  # noqa: N802  # Twisted's name
        method, *arguments = self._connection.recv()
        if method == "stop":
            self._ended.callback(None)
        elif method == "hang":
            time.sleep(*arguments)
        elif method == "announce_in_turn":
            for goal in arguments[0]:
                self._speaker.announce(goal)
            self._connection.send(None)
        else:
            answer = getattr(self._speaker, method)(*arguments)
            self._connection.send(None if answer is None else [*map(_plain, answer)])

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802  # Twisted's name
        self._ended.callback(None)

    def logPrefix(self) -> str:  # noqa: N802  # Twisted's name
        return "requests"


def _plain(value: object) -> object:
    """Return a value that can be pickled."""
    if isinstance(value, Alert):
        return replace(value, data=dict(value.data))
    return replace(value, entered=dict(value.entered)) if isinstance(value, Session) else value


async def _speak(reactor: Loop, directory: Path, connection: Connection) -> None:
    settings, python = connection.recv()
    ended: Deferred[None] = Deferred()
    speaker = Speaker(
        settings,
        reactor=reactor,
        directory=directory / "run",
        random=random.Random(),
        changed=lambda: None,
        python=python,
    )
    speaker.start()
    requests = _Requests(connection, speaker, ended)
    reactor.addReader(requests)  # type: ignore[no-untyped-call]  # Twisted's
    await ended
    reactor.removeReader(requests)  # type: ignore[no-untyped-call]  # Twisted's
    await speaker.stop()


if __name__ == "__main__":
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)])
    _connection = Connection(int(sys.argv[2]))
    run(lambda reactor: _speak(reactor, Path(sys.argv[1]), _connection), timeout=600)
