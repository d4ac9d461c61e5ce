"""ExaBGP as a child of ours, and the conversation with it: begun, greeted, asked, waited for, killed, begun again.

All deadlines on ExaBGP's answers are counted in our own heartbeats: while our loop hangs we do not beat, and what came in
meanwhile has yet to be read, so it is not ExaBGP that is late.
"""

from __future__ import annotations

import os
import pwd
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pybal.bgp.exabgp.child import Child
from pybal.bgp.exabgp.events import BEAT, Answered, Beaten, Event, Greeted, Strange, Versioned
from pybal.bgp.exabgp.link import Link, LinkFactory, parent
from pybal.runtime import atomic_file

HEARTBEAT_SECONDS = 0.5
RELAY_SECONDS = 2.5
"""Without a heartbeat of ours for this long, the relay has the sessions closed."""
PING_SECONDS = 2.0
ANSWER_SECONDS = 3.0
"""An answer later than this, of ExaBGP to a command or of the relay to a heartbeat, and ExaBGP is killed."""
GREETING_SECONDS = 10.0
"""ExaBGP's start, until its relay is connected."""
STOP_SECONDS = 2.0
BACKOFF_SECONDS = (0.2, 30.0)
"""The pause before ExaBGP is begun again: the first, and the longest; each is double the one before."""
SETTLED_SECONDS = 60.0
"""After a life of this length the pauses are short again."""
WINDOW = 200
"""Commands without an answer."""

_PINGS = round(PING_SECONDS / HEARTBEAT_SECONDS)
_ANSWER = round(ANSWER_SECONDS / HEARTBEAT_SECONDS)
_GREETING = round(GREETING_SECONDS / HEARTBEAT_SECONDS)
_KEPT_LINES = 3
_REMARKS = ("environment file missing", "generate it using")
"""What ExaBGP says of the file that it is kept from reading."""
_HERE = Path(__file__).parent


class ChildProcess(Protocol):
    """What is needed of a child."""

    pid: int

    def kill(self) -> None: ...


class ExaBGPOwner(Protocol):
    """Who has an ExaBGP run."""

    def configuration(self) -> tuple[str, Mapping[str, str]]:
        """Return configuration file and environment for the next start."""

    def happened(self, event: Event) -> None:
        """Take an event of a session."""

    def versioned(self) -> None:
        """Take note that its version is known, or is another than the last one's."""

    def beat(self) -> None:
        """Do what is to be done at every heartbeat while there is an ExaBGP."""

    def room(self) -> None:
        """Tell what there is to tell: there is room for commands."""

    def ended(self, reason: str, said: str) -> bool:
        """Take note of the end; ``said`` are the last lines of output. Return whether to begin again at once."""


class ExaBGP:
    """ExaBGP, kept running from :meth:`start` to :meth:`stop`.

    ``reason`` is why it does not run, empty while its relay is connected. ``secrets`` never get into the log.
    """

    _log = Logger()

    def __init__(
        self,
        client: ExaBGPOwner,
        *,
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
        directory: Path,
        random: Random,
        python: str,
        spawn: Callable[..., ChildProcess] = Child,
    ) -> None:
        self.restarts = 0
        self.reason = "not started"
        self.version = ""
        self.secrets: Sequence[str] = ()
        self.greeted_at = 0.0
        self._client = client
        self._reactor = reactor
        self._random = random
        self._python = python
        self._spawn = spawn
        self._directory = directory
        self._made = False
        self._socket = directory / "exabgp.sock"
        self._file = directory / "exabgp.conf"
        self._port: Any = None
        self._child: ChildProcess | None = None
        self._link: Link | None = None
        self._cause = ""
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._pending: deque[Callable[[], None] | None] = deque()
        self._beats = self._answered = self._echoed = self._begun = 0
        self._begun_at = 0.0
        self._failures = 0
        self._again: IDelayedCall | None = None
        self._stopping: Deferred[None] | None = None
        self._pulse = LoopingCall(self._beat)
        self._pulse.clock = reactor

    @property
    def now(self) -> float:
        """The time in seconds that our loop has been seen to turn."""
        return self._beats * HEARTBEAT_SECONDS

    @property
    def connected(self) -> bool:
        """Whether commands can be given."""
        return self._link is not None and self._stopping is None

    @property
    def spare(self) -> int:
        """How many commands may be given now."""
        return WINDOW - len(self._pending) if self.connected else 0

    @property
    def relay(self) -> tuple[str, ...]:
        """The command that ExaBGP runs as its API process."""
        return (self._python, "-I", "-S", str(_HERE / "relay.py"), str(self._socket), f"{RELAY_SECONDS:g}")

    def start(self) -> None:
        """Listen, and begin. Raises OSError or CannotListenError when the directory or the socket cannot be made."""
        if not self._directory.exists():
            self._directory.mkdir(mode=0o700, parents=True)
            self._made = True
        status = self._directory.stat()
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PermissionError(
                f"{self._directory} is of user {status.st_uid} with mode {status.st_mode & 0o777:o}, "
                f"wanted of user {os.geteuid()} with mode 700"
            )
        self._socket.unlink(missing_ok=True)
        factory = LinkFactory(self._trusted, self._prepare)
        self._port = self._reactor.listenUNIX(str(self._socket), factory, mode=0o600)
        self._pulse.start(HEARTBEAT_SECONDS, now=False)
        self._begin()

    async def stop(self) -> None:
        """Have all sessions closed, and return when ExaBGP is gone."""
        self._stopping = Deferred()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        limit = self._reactor.callLater(STOP_SECONDS, self._kill, f"did not end within {STOP_SECONDS:g} s")
        if self._child is None:
            self._stopping.callback(None)
        elif self._link is None:
            self._kill("stopped before it ran")
        else:
            self.command(b"shutdown")
        await self._stopping
        if limit.active():
            limit.cancel()
        if self._pulse.running:
            self._pulse.stop()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        self._file.unlink(missing_ok=True)
        if self._made:
            with suppress(OSError):
                self._directory.rmdir()

    def command(self, line: bytes, refused: Callable[[], None] | None = None) -> None:
        """Give a command; ``refused`` is called should ExaBGP answer with an error."""
        if self._link is None:
            return
        if not self._pending:
            self._answered = self._beats
        self._pending.append(refused)
        self._link.send(line)

    def reload(self) -> None:
        """Have it read its configuration anew, with peers that come or go: the other sessions stay up."""
        if self.connected:
            try:
                atomic_file.replace(self._file, self._client.configuration()[0].encode("ascii"), mode=0o600)
            except OSError as error:
                self.restart(f"its configuration cannot be written: {error.strerror}", soon=True)
            else:
                self.command(b"reload")
        else:
            self.restart("its peers have changed", soon=True)

    def restart(self, cause: str, *, soon: bool = False) -> None:
        """End it for a reason, with all sessions, and begin again; ``soon`` forgets that it has failed before."""
        if soon:
            self._failures = 0
        self._kill(cause)

    # -- its life

    def _begin(self) -> None:
        self._again = None
        self._said.clear()
        self._cause = ""
        self.reason = "starts"
        text, environ = self._client.configuration()
        try:
            atomic_file.replace(self._file, text.encode("ascii"), mode=0o600)
            launcher = (self._python, "-I", "-S", str(_HERE / "launcher.py"), str(os.getpid()))
            exabgp = (self._python, "-I", "-u", "-m", "exabgp", str(self._file))
            self._child = self._spawn(
                self._reactor,
                [*launcher, *exabgp],
                environ=environ,
                directory=self._directory,
                said=self._output,
                ended=self._ended,
            )
        except OSError as error:
            self._ended(f"cannot be begun: {error.strerror or error}")
            return
        self._begun, self._begun_at = self._beats, self._reactor.seconds()

    def _kill(self, cause: str) -> None:
        if self._child is not None:
            self._cause = self._cause or cause
            self._child.kill()

    def _ended(self, reason: str) -> None:
        if self._link is not None:
            self._link.close()
        lived = self._reactor.seconds() - self._begun_at if self._child is not None else 0.0
        self._child = self._link = None
        self._pending.clear()
        said = "; ".join(self._said)
        # Who is killed has said nothing about that.
        self.reason = self._cause or (f"{reason}: {said}" if said and reason.startswith("exit") else reason)
        at_once = self._client.ended(self.reason, said)
        if self._stopping is not None:
            self._stopping.callback(None)
            return
        if lived > SETTLED_SECONDS or at_once:
            self._failures = 0
        first, longest = BACKOFF_SECONDS
        pause = min(longest, first * 2**self._failures) * self._random.uniform(0.8, 1.2)
        self._failures = min(self._failures + 1, 16)
        self.restarts += 1
        self._log.warn(
            "exabgp has ended ({reason}) and starts again in {pause:.1f} s",
            reason=self.reason,
            pause=pause,
            system="bgp",
        )
        self._again = self._reactor.callLater(pause, self._begin)

    def _output(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        for secret in self.secrets:
            text = text.replace(secret, "***")
        if text and not any(remark in text for remark in _REMARKS):
            self._said.append(text)
            self._log.info("exabgp: {text}", text=text, system="bgp")

    # -- the conversation

    def _trusted(self, process: int) -> bool:
        child = self._child
        return self._link is None and child is not None and parent(process) == child.pid

    def _prepare(self, link: Link) -> None:
        link.greeted = self._greeted
        link.heard = self._heard
        link.lost = self._lost

    def _greeted(self, link: Link) -> None:
        self._link = link
        self.reason = ""
        self.greeted_at = self._reactor.seconds()
        self._echoed = self._beats
        self.command(b"version")

    def _lost(self) -> None:
        self._link = None
        self._kill("its relay has ended")

    def _heard(self, event: Event) -> None:
        if isinstance(event, Answered):
            self._answer(event)
        elif isinstance(event, Beaten):
            self._echoed = self._beats
        elif isinstance(event, Versioned):
            if event.version != self.version:
                self.version = event.version
                self._client.versioned()
        elif isinstance(event, Strange):
            self._log.info("exabgp said what makes no sense: {line}", line=repr(event.line), system="bgp")
        elif not isinstance(event, Greeted):
            self._client.happened(event)

    def _answer(self, event: Answered) -> None:
        if not self._pending:
            self._log.info("exabgp answered without having been asked", system="bgp")
            return
        self._answered = self._beats
        refused = self._pending.popleft()
        if not event.taken and refused is not None:
            refused()
        if len(self._pending) <= WINDOW // 2:
            self._client.room()

    def _beat(self) -> None:
        self._beats += 1
        if self._link is None:
            if self._child is not None and self._beats - self._begun > _GREETING:
                self._kill(f"did not start within {GREETING_SECONDS:g} s")
            return
        self._link.send(b"%s %d" % (BEAT, self._beats))
        if self._stopping is not None:
            return
        if self._pending and self._beats - self._answered > _ANSWER:
            self._kill(f"no answer to a command for {ANSWER_SECONDS:g} s")
        elif self._beats - self._echoed > _ANSWER:
            self._kill(f"no heartbeat of its relay for {ANSWER_SECONDS:g} s")
        elif not self._pending and self._beats % _PINGS == 0:
            self.command(b"version")
        self._client.beat()


def user() -> str:
    """Return the name of our user, without which ExaBGP does not start; raises KeyError if we have none."""
    return pwd.getpwuid(os.geteuid()).pw_name
