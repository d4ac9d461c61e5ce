"""ExaBGP as a supervised child process: its states, its events, and its restarts.

::

    STOPPED ──start()──▶ STARTING ──first answer──▶ RUNNING
                         ▲   │                         │
              pause over │   └────────────┬────────────┘
                         │                ▼
                         │  KILLED (deadline missed, relay lost, restart())
                         │                │
                      WAITING ◀───────────┘ process ended (also in STARTING and RUNNING)

    any state ──stop()──▶ STOPPING ──process ended──▶ STOPPED

:class:`~pybal.bgp.exabgp.run.Run` holds the state of one run, from STARTING to the end of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pybal.bgp.exabgp import arguments
from pybal.bgp.exabgp.child import Child
from pybal.bgp.exabgp.directory import RuntimeDirectory
from pybal.bgp.exabgp.events import (
    Answered,
    Event,
    HeartbeatEchoed,
    RelayConnected,
    Unrecognised,
    VersionReported,
)
from pybal.bgp.exabgp.link import Link, LinkFactory
from pybal.bgp.exabgp.log_fold import LogFold
from pybal.bgp.exabgp.run import WINDOW, ChildProcess, Run
from pybal.runtime.activity import Activity
from pybal.runtime.backoff import Backoff
from pybal.runtime.reactor import HeartbeatReactor
from pybal.runtime.workers import Threads

HEARTBEAT_SECONDS = 0.5
START_SECONDS = (10.0, 300.0)
"""Time for ExaBGP's start, until it answers its first command: at first, and at most.

The limit restarts an ExaBGP that hangs. A start takes 0.3 s of CPU time, which on a host short of CPU can be a minute; a kill
wastes the work done, and every start would be killed at the same point. The limit doubles with each start that exceeds it.
"""
STOP_SECONDS = 2.0
FILE_SECONDS = 2.0
"""Time for the file system to write or remove ExaBGP's configuration."""
BACKOFF_SECONDS = (0.2, 30.0)
"""The first and the longest pause before a restart of ExaBGP."""
SETTLED_SECONDS = 60.0
"""Run time of ExaBGP that resets the back-off."""

_REMARKS = ("environment file missing", "generate it using")
"""ExaBGP's remarks on the environment file, which it is kept from reading."""


class State(Enum):
    """The states of the supervised process; the module has their drawing."""

    STOPPED = auto()
    STARTING = auto()
    RUNNING = auto()
    KILLED = auto()
    WAITING = auto()
    STOPPING = auto()


_NEXT = {
    State.STOPPED: {State.STARTING, State.STOPPING},
    State.STARTING: {State.RUNNING, State.KILLED, State.WAITING, State.STOPPING},
    State.RUNNING: {State.KILLED, State.WAITING, State.STOPPING},
    State.KILLED: {State.WAITING, State.STOPPING},
    State.WAITING: {State.STARTING, State.STOPPING},
    State.STOPPING: {State.STOPPED},
}


class ExaBGPListener(Protocol):
    """The receiver of ExaBGP's events."""

    def configuration(self) -> tuple[str, Mapping[str, str]]:
        """Return configuration file and environment for the next start."""

    @property
    def listens(self) -> bool:
        """True if ExaBGP accepts connections."""

    def event_received(self, event: Event) -> None:
        """Apply an event of a session."""

    def version_changed(self) -> None:
        """Read the new ``version``, which differs from the last one."""

    def heartbeat(self) -> None:
        """Do the periodic work; called with each heartbeat while ExaBGP is running."""

    def window_opened(self) -> None:
        """Send pending commands: half of the window is free."""

    def exabgp_ended(self, reason: str, output: str) -> bool:
        """Record the end; ``output`` has its last lines. Return whether to reset the back-off."""


class ExaBGP:
    """Keep ExaBGP running from :meth:`start` to :meth:`stop`.

    ``since`` is the monotonic time of the last change of ``state``. ``reason`` is why ExaBGP is not running, since
    ``down_since``; empty while it is. ``secrets`` are masked in the log. ``files`` (one thread) writes the configuration.
    """

    _log = Logger()

    def __init__(
        self,
        listener: ExaBGPListener,
        *,
        reactor: HeartbeatReactor,
        directory: Path,
        random: Random,
        python: str,
        files: Threads,
        spawn: Callable[..., ChildProcess] = Child,
    ) -> None:
        self.state = State.STOPPED
        self.since = 0.0
        self.restarts = 0
        self.reason = "not started"
        self.down_since = reactor.seconds()
        self._failure = ""
        self.version = ""
        self.secrets: Sequence[str] = ()
        self._listener = listener
        self._reactor = reactor
        self._python = python
        self._spawn = spawn
        self._directory = RuntimeDirectory(directory)
        self._files = files
        self._launching: Deferred[None] | None = None
        self._port: Any = None
        self._run: Run | None = None
        self._beats = 0
        self._fold = LogFold()
        self._start_limits = Backoff(*START_SECONDS, factor=2.0)
        self._backoff = Backoff(*BACKOFF_SECONDS, random)
        self._pause: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None
        self._heartbeat = Activity("heartbeat to ExaBGP", self._beat, reactor.lane, interval=HEARTBEAT_SECONDS)

    @property
    def now(self) -> float:
        """The time in seconds, counted in heartbeats: it stops while the reactor hangs."""
        return self._beats * HEARTBEAT_SECONDS

    @property
    def spare(self) -> int:
        """The number of commands that may be sent now."""
        return self._run.spare if self._run and self.state is State.RUNNING else 0

    def relay(self, dead_after: float) -> tuple[str, ...]:
        """Return the command that ExaBGP runs as its API process."""
        return arguments.relay(self._python, self._directory.socket, dead_after)

    def start(self, *, within: float = 0.0) -> None:
        """Listen, and start ExaBGP after ``within`` seconds, or at :meth:`hasten`.

        Raises OSError or CannotListenError for the directory or the socket.
        """
        self._directory.create()
        factory = LinkFactory(self._is_relay, self._prepare, self._reactor)
        self._port = self._reactor.listenUNIX(str(self._directory.socket), factory, mode=0o600)
        self._heartbeat.start()
        if within:
            self._pause = self._reactor.callLater(within, self._begin)
        else:
            self._begin()

    def hasten(self) -> None:
        """Start ExaBGP now, if it is waiting for its first start."""
        if self.state is State.STOPPED and self._pause is not None and self._pause.active():
            self._pause.cancel()
            self._begin()

    async def stop(self) -> None:
        """Close all sessions, and return when ExaBGP has ended."""
        self._enter(State.STOPPING)
        self._cancel_launch()
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
        if self._run is not None:
            self._stopped = Deferred()
            limit = self._reactor.callLater(STOP_SECONDS, self._kill, f"did not stop within {STOP_SECONDS:g} s")
            if self._run.linked:
                self._run.send(b"shutdown")
            else:
                self._kill("stopped while starting")
            await self._stopped
            if limit.active():
                limit.cancel()
        self._enter(State.STOPPED)
        self._heartbeat.stop()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        with suppress(OSError):
            await self._run_in_thread(self._directory.remove)

    def command(self, line: bytes, refused: Callable[[], None] | None = None) -> None:
        """Send a command; ``refused`` is called if ExaBGP answers with an error."""
        if self._run is not None:
            self._run.send(line, refused)

    def reload(self) -> None:
        """Reload ExaBGP's configuration after adding or removing peers: the other sessions stay up."""
        if self.state is State.STOPPED:
            return
        if self.state is not State.RUNNING:
            self.restart("peers changed", soon=True)
            return
        Deferred.fromCoroutine(self._reload(self._run, self._listener.configuration()[0]))

    async def _reload(self, run: Run | None, text: str) -> None:
        try:
            await self._run_in_thread(partial(self._directory.write_configuration, text))
        except OSError as error:
            if run is self._run:
                self.restart(f"configuration cannot be written: {error.strerror or error}", soon=True)
        else:
            if run is self._run:
                self.command(b"reload")

    def restart(self, cause: str, *, soon: bool = False) -> None:
        """Restart ExaBGP, which resets every session; ``soon`` resets the back-off."""
        if soon:
            self._backoff.reset()
        self._kill(cause)

    # -- start and end

    def _enter(self, state: State) -> None:
        assert state in _NEXT[self.state], (self.state, state)  # noqa: S101  # a bug of this module
        self.state, self.since = state, self._reactor.seconds()

    def _begin(self) -> None:
        self._enter(State.STARTING)
        self.reason = "starting"
        if self._failure:
            self.reason += f" again, for at most {self._start_limits.following:g} s ({self._failure})"
        self._launch()

    def _launch(self) -> None:
        self._cancel_launch()
        self._launching = Deferred.fromCoroutine(self._launched())
        self._launching.addErrback(lambda failure: failure.trap(CancelledError))

    def _cancel_launch(self) -> None:
        if self._launching is not None:
            self._launching.cancel()

    async def _launched(self) -> None:
        """Write the configuration and start ExaBGP."""
        try:
            text, environ = self._listener.configuration()
            await self._run_in_thread(partial(self._directory.write_configuration, text))
            child = self._spawn(
                self._reactor,
                arguments.exabgp(self._python, self._directory.configuration, listens=self._listener.listens),
                environ=environ,
                directory=self._directory.path,
                received=self._output,
                ended=self._ended,
            )
        except CancelledError:
            raise
        except OSError as error:
            self._ended(f"cannot start: {error.strerror or error}")
        except Exception as bug:  # noqa: BLE001  # a bug must not keep ExaBGP from another start
            self._log.failure("exabgp cannot start: internal error", system="bgp")
            self._ended(f"cannot start: internal error ({type(bug).__name__})")
        else:
            self._run = Run(child, lambda: self.now)

    def _run_in_thread(self, call: Callable[[], None]) -> Deferred[None]:
        def too_late(_result: object, seconds: float) -> None:
            raise TimeoutError(f"no response from the file system for {seconds:g} s")

        return self._files.run(call).addTimeout(FILE_SECONDS, self._reactor, too_late)

    def _kill(self, cause: str) -> None:
        if self._run is not None:
            if self.state in {State.STARTING, State.RUNNING}:
                self._enter(State.KILLED)
            self._run.kill(cause)
        elif self.state is State.STARTING:
            self._launch()  # with the present configuration

    def _ended(self, reason: str) -> None:
        run, self._run = self._run, None
        output = run.output if run else ""
        settled = run is not None and run.ready is not None and self.now - run.ready > SETTLED_SECONDS
        # After a kill the last lines of output do not explain the end.
        self.reason = run.cause if run and run.cause else reason
        if output and self.reason.startswith("exit"):
            self.reason = f"{reason}: {output}"
        self._failure = self.reason
        if run is not None and run.ready is not None:
            self.down_since = self._reactor.seconds()
        if run is not None:
            run.close()
        if self.state is not State.STOPPING:
            self._enter(State.WAITING)
        remedied = False
        try:
            remedied = self._listener.exabgp_ended(self.reason, output)
        except Exception:  # noqa: BLE001  # a bug must not keep ExaBGP from another start
            self._log.failure("internal error after the end of exabgp", system="bgp")
        if self._stopped is not None:
            self._stopped.callback(None)
            return
        if settled:
            self._start_limits.reset()
        if settled or remedied:
            self._backoff.reset()
        pause = self._backoff.pause()
        self.restarts += 1
        if self._fold.admit(f"ended ({self.reason}); restarting", self._reactor.seconds()):
            self._log.warn(
                "exabgp ended ({reason}); restarting in {pause:.1f} s",
                reason=self.reason,
                pause=pause,
                system="bgp",
            )
        self._pause = self._reactor.callLater(pause, self._begin)

    def _output(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        for secret in self.secrets:
            text = text.replace(secret, "***")
        if text and not any(remark in text for remark in _REMARKS):
            if self._run is not None:
                self._run.print(text)
            if self._fold.admit(text, self._reactor.seconds()):
                self._log.info("exabgp: {text}", text=text, system="bgp")

    def _log_folded(self) -> None:
        for summary in self._fold.ended(self._reactor.seconds()):
            self._log.info("exabgp: {text}", text=summary, system="bgp")

    # -- commands and events

    def _is_relay(self, process: int) -> bool:
        return self._run is not None and self._run.is_relay(process)

    def _prepare(self, link: Link) -> None:
        link.relay_connected = self._relay_connected
        link.event_received = self._handle_event
        link.relay_lost = self._relay_lost

    def _relay_connected(self, link: Link) -> None:
        assert self._run is not None  # noqa: S101  # _is_relay
        self._run.connect(link)
        self._run.send(b"version")

    def _relay_lost(self) -> None:
        if self._run is not None:
            self._run.disconnect()
            self._kill("relay ended")

    def _handle_event(self, event: Event) -> None:
        try:
            self._event_received(event)
        except Exception:  # noqa: BLE001  # an exception would close the link, which ends every session
            self._log.failure("internal error in an event of exabgp; ignoring the event", system="bgp")

    def _event_received(self, event: Event) -> None:
        if isinstance(event, Answered):
            self._answered(event)
        elif isinstance(event, HeartbeatEchoed):
            if self._run is not None:
                self._run.echo()
        elif isinstance(event, VersionReported):
            if event.version != self.version:
                self.version = event.version
                self._listener.version_changed()
        elif isinstance(event, Unrecognised):
            self._log.info("unrecognised line from exabgp: {line}", line=repr(event.line), system="bgp")
        elif not isinstance(event, RelayConnected):
            self._listener.event_received(event)

    def _answered(self, event: Answered) -> None:
        if self._run is None or not self._run.answer(accepted=event.accepted):
            self._log.info("unexpected answer from exabgp: no command is pending", system="bgp")
            return
        if self.state is State.STARTING:
            self._enter(State.RUNNING)
            self.reason = self._failure = ""
        if self.spare >= WINDOW // 2:
            self._listener.window_opened()

    def _beat(self) -> None:
        self._beats += 1
        self._log_folded()
        if self._run is not None:
            self._run.receive()  # a busy loop may not have read it yet, and deadlines follow
        if self._run is None:
            return
        self._run.heartbeat(self._beats)
        if self.state is State.STARTING and self.now - self._run.started > self._start_limits.following:
            self._kill(f"did not start within {self._start_limits.pause():g} s")
        elif self.state is State.RUNNING:
            if cause := self._run.overdue():
                self._kill(cause)
            else:
                self._run.ping()
                self._listener.heartbeat()
