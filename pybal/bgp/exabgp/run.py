"""One run of ExaBGP: the process, the link to its relay, and the commands that await an answer.

``now`` returns the time in seconds, counted in the daemon's own heartbeats. While the reactor hangs it sends no heartbeat and
reads no answer, so that time does not count against ExaBGP.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from pybal.bgp.exabgp.events import BEAT
from pybal.bgp.exabgp.link import Link, parent

PING_SECONDS = 2.0
ANSWER_SECONDS = 3.0
"""Time for ExaBGP to answer a command, and for the relay to echo a heartbeat, before ExaBGP is killed."""
WINDOW = 200
"""Limit of commands that await their answer."""

_KEPT_LINES = 3


class ChildProcess(Protocol):
    """The part of a child process that is used here."""

    pid: int

    def kill(self) -> None: ...


class Run:
    """The state of one run, up to the end of its process.

    ``ready`` is the time of the first answer, ``None`` before. ``cause`` is the reason of a kill, else empty.
    """

    def __init__(self, child: ChildProcess, now: Callable[[], float]) -> None:
        self.started = now()
        self.ready: float | None = None
        self.cause = ""
        self._child = child
        self._now = now
        self._link: Link | None = None
        self._output: deque[str] = deque(maxlen=_KEPT_LINES)
        self._pending: deque[Callable[[], None] | None] = deque()
        self._answered = self._echoed = self.started

    @property
    def linked(self) -> bool:
        """True while the relay is connected."""
        return self._link is not None

    @property
    def spare(self) -> int:
        """The number of commands that may be sent now."""
        return WINDOW - len(self._pending)

    @property
    def output(self) -> str:
        """The last lines of output."""
        return "; ".join(self._output)

    def print(self, text: str) -> None:
        """Record a line of output."""
        self._output.append(text)

    def is_relay(self, process: int) -> bool:
        """Return whether a process is the relay that is expected to connect."""
        return self._link is None and parent(process) == self._child.pid

    def connect(self, link: Link) -> None:
        """Use the relay's link."""
        self._link = link
        self._echoed = self._now()

    def disconnect(self) -> None:
        """Record that the relay ended."""
        self._link = None

    def send(self, line: bytes, refused: Callable[[], None] | None = None) -> None:
        """Send a command; ``refused`` is called if ExaBGP answers with an error."""
        if self._link is None:
            return
        if not self._pending:
            self._answered = self._now()
        self._pending.append(refused)
        self._link.send(line)

    def answer(self, *, accepted: bool) -> bool:
        """Record an answer to the oldest command; return whether a command was pending."""
        if not self._pending:
            return False
        self._answered = self._now()
        if self.ready is None:
            self.ready = self._answered
        refused = self._pending.popleft()
        if not accepted and refused is not None:
            refused()
        return True

    def echo(self) -> None:
        """Record that the relay echoed a heartbeat."""
        self._echoed = self._now()

    def receive(self) -> None:
        """Read what the relay has sent."""
        if self._link is not None:
            self._link.receive_now()

    def heartbeat(self, number: int) -> None:
        """Send a heartbeat to the relay."""
        if self._link is not None:
            self._link.send_now(b"%s %d" % (BEAT, number))

    def ping(self) -> None:
        """Send a command at regular intervals, unless one is pending."""
        if not self._pending and self._now() % PING_SECONDS == 0:
            self.send(b"version")

    def overdue(self) -> str:
        """Return the deadline that ExaBGP or its relay missed, else an empty text."""
        if self._link is not None and self._link.busy:
            return ""  # the answer may be among the lines that are not handled yet
        if self._pending and self._now() - self._answered > ANSWER_SECONDS:
            return f"no answer to a command for {ANSWER_SECONDS:g} s"
        if self._now() - self._echoed > ANSWER_SECONDS:
            return f"no heartbeat from its relay for {ANSWER_SECONDS:g} s"
        return ""

    def kill(self, cause: str) -> None:
        """Kill the process; the first cause is kept."""
        self.cause = self.cause or cause
        self._child.kill()

    def close(self) -> None:
        """Close the link, after the end of the process."""
        if self._link is not None:
            self._link.close()
            self._link = None
