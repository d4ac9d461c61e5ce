"""ExaBGP as a supervised child process: start, commands and answers, deadlines, restart.

Deadlines of ExaBGP's answers are counted in the daemon's own heartbeats. While the reactor hangs it sends no heartbeat and
reads no answer, so that time does not count against ExaBGP.
"""

from __future__ import annotations

import os
import pwd
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pybal.bgp.exabgp.child import Child
from pybal.bgp.exabgp.directory import RuntimeDirectory
from pybal.bgp.exabgp.events import (
    BEAT,
    Answered,
    Event,
    HeartbeatEchoed,
    RelayConnected,
    Unrecognised,
    VersionReported,
)
from pybal.bgp.exabgp.link import Link, LinkFactory, parent

HEARTBEAT_SECONDS = 0.5
RELAY_SECONDS = 2.5
"""Time without a heartbeat from the daemon after which the relay closes the sessions."""
PING_SECONDS = 2.0
ANSWER_SECONDS = 3.0
"""Time for ExaBGP to answer a command, and for the relay to echo a heartbeat, before ExaBGP is killed."""
GREETING_SECONDS = 10.0
"""Time for ExaBGP's start, until its relay is connected."""
STOP_SECONDS = 2.0
BACKOFF_SECONDS = (0.2, 30.0)
"""Shortest and longest pause before a restart of ExaBGP; each is twice the last one."""
SETTLED_SECONDS = 60.0
"""Run time of ExaBGP that resets the pauses."""
WINDOW = 200
"""Limit of commands that await their answer."""

_PINGS = round(PING_SECONDS / HEARTBEAT_SECONDS)
_ANSWER = round(ANSWER_SECONDS / HEARTBEAT_SECONDS)
_GREETING = round(GREETING_SECONDS / HEARTBEAT_SECONDS)
_KEPT_LINES = 3
_REMARKS = ("environment file missing", "generate it using")
"""ExaBGP's remarks on the environment file, which it is kept from reading."""
_HERE = Path(__file__).parent


class ChildProcess(Protocol):
    """The part of a child process that is used here."""

    pid: int

    def kill(self) -> None: ...


class ExaBGPListener(Protocol):
    """The receiver of ExaBGP's events."""

    def configuration(self) -> tuple[str, Mapping[str, str]]:
        """Return configuration file and environment for the next start."""

    def event_received(self, event: Event) -> None:
        """Apply an event of a session."""

    def version_changed(self) -> None:
        """Read the new ``version``, which differs from the last one."""

    def heartbeat(self) -> None:
        """Do the periodic work; called with each heartbeat while the relay is connected."""

    def window_opened(self) -> None:
        """Send pending commands: half of the window is free."""

    def exabgp_ended(self, reason: str, output: str) -> bool:
        """Record the end; ``output`` has its last lines. Return whether to reset the back-off."""


class ExaBGP:
    """Keep ExaBGP running from :meth:`start` to :meth:`stop`.

    ``reason`` is why ExaBGP is not running, empty while its relay is connected. ``secrets`` are masked in the log.
    """

    _log = Logger()

    def __init__(
        self,
        listener: ExaBGPListener,
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
        self._listener = listener
        self._reactor = reactor
        self._random = random
        self._python = python
        self._spawn = spawn
        self._directory = RuntimeDirectory(directory)
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
        """The time in seconds, counted in heartbeats: it stops while the reactor hangs."""
        return self._beats * HEARTBEAT_SECONDS

    @property
    def connected(self) -> bool:
        """True if commands can be sent."""
        return self._link is not None and self._stopping is None

    @property
    def spare(self) -> int:
        """The number of commands that may be sent now."""
        return WINDOW - len(self._pending) if self.connected else 0

    @property
    def relay(self) -> tuple[str, ...]:
        """The command that ExaBGP runs as its API process."""
        return (self._python, "-I", "-S", str(_HERE / "relay.py"), str(self._directory.socket), f"{RELAY_SECONDS:g}")

    def start(self) -> None:
        """Listen, and start ExaBGP. Raises OSError or CannotListenError for the directory or the socket."""
        self._directory.create()
        factory = LinkFactory(self._is_relay, self._prepare)
        self._port = self._reactor.listenUNIX(str(self._directory.socket), factory, mode=0o600)
        self._pulse.start(HEARTBEAT_SECONDS, now=False)
        self._begin()

    async def stop(self) -> None:
        """Close all sessions, and return when ExaBGP has ended."""
        self._stopping = Deferred()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        limit = self._reactor.callLater(STOP_SECONDS, self._kill, f"did not stop within {STOP_SECONDS:g} s")
        if self._child is None:
            self._stopping.callback(None)
        elif self._link is None:
            self._kill("stopped while starting")
        else:
            self.command(b"shutdown")
        await self._stopping
        if limit.active():
            limit.cancel()
        if self._pulse.running:
            self._pulse.stop()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        self._directory.remove()

    def command(self, line: bytes, refused: Callable[[], None] | None = None) -> None:
        """Send a command; ``refused`` is called if ExaBGP answers with an error."""
        if self._link is None:
            return
        if not self._pending:
            self._answered = self._beats
        self._pending.append(refused)
        self._link.send(line)

    def reload(self) -> None:
        """Reload ExaBGP's configuration after adding or removing peers: the other sessions stay up."""
        if self.connected:
            try:
                self._directory.write_configuration(self._listener.configuration()[0])
            except OSError as error:
                self.restart(f"configuration cannot be written: {error.strerror}", soon=True)
            else:
                self.command(b"reload")
        else:
            self.restart("peers changed", soon=True)

    def restart(self, cause: str, *, soon: bool = False) -> None:
        """Restart ExaBGP, which resets every session; ``soon`` resets the back-off."""
        if soon:
            self._failures = 0
        self._kill(cause)

    # -- start and end

    def _begin(self) -> None:
        self._again = None
        self._said.clear()
        self._cause = ""
        self.reason = "starting"
        text, environ = self._listener.configuration()
        try:
            self._directory.write_configuration(text)
            launcher = (self._python, "-I", "-S", str(_HERE / "launcher.py"), str(os.getpid()))
            exabgp = (self._python, "-I", "-u", "-m", "exabgp", str(self._directory.configuration))
            self._child = self._spawn(
                self._reactor,
                [*launcher, *exabgp],
                environ=environ,
                directory=self._directory.path,
                received=self._output,
                ended=self._ended,
            )
        except OSError as error:
            self._ended(f"cannot start: {error.strerror or error}")
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
        # After a kill the last lines of output do not explain the end.
        self.reason = self._cause or (f"{reason}: {said}" if said and reason.startswith("exit") else reason)
        at_once = self._listener.exabgp_ended(self.reason, said)
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
            "exabgp ended ({reason}); restarting in {pause:.1f} s",
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

    # -- commands and events

    def _is_relay(self, process: int) -> bool:
        child = self._child
        return self._link is None and child is not None and parent(process) == child.pid

    def _prepare(self, link: Link) -> None:
        link.relay_connected = self._relay_connected
        link.event_received = self._event_received
        link.relay_lost = self._relay_lost

    def _relay_connected(self, link: Link) -> None:
        self._link = link
        self.reason = ""
        self.greeted_at = self._reactor.seconds()
        self._echoed = self._beats
        self.command(b"version")

    def _relay_lost(self) -> None:
        self._link = None
        self._kill("relay ended")

    def _event_received(self, event: Event) -> None:
        if isinstance(event, Answered):
            self._answer(event)
        elif isinstance(event, HeartbeatEchoed):
            self._echoed = self._beats
        elif isinstance(event, VersionReported):
            if event.version != self.version:
                self.version = event.version
                self._listener.version_changed()
        elif isinstance(event, Unrecognised):
            self._log.info("unrecognised line from exabgp: {line}", line=repr(event.line), system="bgp")
        elif not isinstance(event, RelayConnected):
            self._listener.event_received(event)

    def _answer(self, event: Answered) -> None:
        if not self._pending:
            self._log.info("unexpected answer from exabgp: no command is pending", system="bgp")
            return
        self._answered = self._beats
        refused = self._pending.popleft()
        if not event.accepted and refused is not None:
            refused()
        if len(self._pending) <= WINDOW // 2:
            self._listener.window_opened()

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
            self._kill(f"no heartbeat from its relay for {ANSWER_SECONDS:g} s")
        elif not self._pending and self._beats % _PINGS == 0:
            self.command(b"version")
        self._listener.heartbeat()


def user() -> str:
    """Return the name of our user, which ExaBGP needs; raises KeyError if the user has no name."""
    return pwd.getpwuid(os.geteuid()).pw_name
