"""The control socket: authorization, deadlines and size limits of its connections.

The kernel reports the credentials of each peer (SO_PEERCRED), so the mode of the socket file may allow every user to
connect. A connection of an unauthorized user receives the reason and is closed before any data is read.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override

from pybal.control.wire import (
    FAILED,
    LONGEST_REQUEST,
    CommandReply,
    Request,
    RequestError,
    read_request,
    write_reply,
)
from pybal.core.steps import finish
from pybal.runtime.peercred import Credentials, credentials, supplementary_groups
from pybal.runtime.reactor import Reactor
from pybal.runtime.turns import Turns
from pybal.runtime.user_names import THREADS, UserNames
from pybal.runtime.workers import Workers

TIMEOUT = 10.0
"""Seconds within which a request must arrive, or the client must read a reply and send the next one."""
MOST_CONNECTIONS = 16
_BACKLOG = 1024
"""Connections that wait while the loop is busy; the kernel refuses more without a reason."""
_LOG_INTERVAL = 60.0
"""Seconds between two log lines about refused connections of one user."""


class ControlError(Exception):
    """The control socket cannot be opened; the text has its path and the reason."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The user and process that sent a command.

    ``name`` is the number of a user without a name, or while the name service hangs.
    """

    name: str
    user: int
    process: int

    @classmethod
    def of(cls, peer: Credentials) -> Caller:
        return cls(str(peer.user), peer.user, peer.process)

    @override
    def __str__(self) -> str:
        return f"{self.name} (user {self.user}, process {self.process})"


Run = Callable[[Request, Caller], Awaitable[CommandReply]]


class ControlConnection(Protocol):
    """One connection: runs one request at a time and waits until the client has read its reply."""

    _log = Logger()

    def __init__(self, factory: ControlFactory) -> None:
        self._factory = factory
        self._received = bytearray()
        self._caller: Caller | None = None
        self._busy = False
        self._congested = False
        self._deadline: IDelayedCall | None = None

    @override
    def connectionMade(self) -> None:
        connection: socket.socket = self._transport.getHandle()
        peer = credentials(connection)
        if refusal := self._factory.refusal(self, peer, connection):
            self._end(refusal)
            return
        self._caller = Caller.of(peer)
        self._transport.registerProducer(self, streaming=True)
        self._start_deadline()

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._caller is None:
            return
        self._received += data
        self._next()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        del reason
        self._caller = None
        self._cancel_deadline()
        self._factory.forget(self)

    def pauseProducing(self) -> None:  # noqa: N802
        self._congested = True

    def resumeProducing(self) -> None:  # noqa: N802
        self._congested = False
        self._resume()

    def stopProducing(self) -> None:  # noqa: N802
        pass

    def abort(self) -> None:
        """Close immediately. A running command continues."""
        self._transport.abortConnection()

    @property
    def _transport(self) -> Any:  # noqa: ANN401  # Twisted's types lack the handle
        return self.transport

    def _next(self) -> None:
        """Run the next request if it is complete and the previous one is finished."""
        if self._busy or self._congested or self._caller is None:
            return
        end = self._received.find(b"\n")
        if max(end, len(self._received) if end < 0 else 0) > LONGEST_REQUEST:
            self._end(f"request exceeds {LONGEST_REQUEST} bytes")
        elif end >= 0:
            line = bytes(self._received[:end])
            del self._received[: end + 1]
            self._cancel_deadline()
            self._busy = True
            # Further data waits in the kernel until the command has finished.
            self._transport.pauseProducing()
            Deferred.fromCoroutine(self._run(line))

    async def _run(self, line: bytes) -> None:
        assert self._caller is not None  # noqa: S101  # other connections are closed
        reply = await self._factory.reply(line, await self._factory.named(self._caller))
        self._busy = False
        if self._caller is None:
            return
        self._transport.write(reply)
        self._start_deadline()
        self._resume()

    def _resume(self) -> None:
        """Run the next request, or read the rest of it, if no command is running."""
        if self._busy or self._congested or self._caller is None:
            return
        if b"\n" in self._received:
            # The rest waits in the kernel: a client may send much faster than its commands run.
            self._factory.clock.callLater(0, self._next)
        else:
            self._transport.resumeProducing()

    def _end(self, why: str) -> None:
        """Send the reason and close the connection."""
        if self._caller:
            self._transport.unregisterProducer()
        self._caller = None
        self._cancel_deadline()
        self._transport.write(finish(write_reply(CommandReply(FAILED, why))))
        self._transport.loseConnection()

    def _start_deadline(self) -> None:
        self._deadline = self._factory.clock.callLater(TIMEOUT, self.abort)

    def _cancel_deadline(self) -> None:
        if self._deadline and self._deadline.active():
            self._deadline.cancel()


class ControlFactory(Factory):
    """Accepts root, the daemon's own user and members of the GID ``group``; ``run`` runs their commands."""

    noisy = False
    _log = Logger()

    def __init__(self, run: Run, clock: IReactorTime, names: UserNames, group: int | None = None) -> None:
        self.clock = clock
        self._names = names
        self.group = group
        self._run = run
        self._turns = Turns(clock)
        self._open: set[ControlConnection] = set()
        self._refused: dict[int, float] = {}

    @override
    def buildProtocol(self, addr: IAddress | None) -> ControlConnection:
        del addr
        return ControlConnection(self)

    def refusal(self, connection: ControlConnection, peer: Credentials, handle: socket.socket) -> str:
        """Return the reason to refuse a connection; an empty text accepts it."""
        if peer.user not in (0, os.geteuid()) and not self._is_member(peer, handle):
            self._log_refusal(peer)
            group = "" if self.group is None else f" or a member of group {self.group}"
            return f"user {peer.user} is not authorized (use root, user {os.geteuid()}{group})"
        if len(self._open) >= MOST_CONNECTIONS:
            return f"too many connections (at most {MOST_CONNECTIONS}); try again"
        self._open.add(connection)
        return ""

    def forget(self, connection: ControlConnection) -> None:
        """Remove a closed connection from the count."""
        self._open.discard(connection)

    def abort(self) -> None:
        """Close all connections."""
        for connection in tuple(self._open):
            connection.abort()

    async def named(self, caller: Caller) -> Caller:
        """Return a caller with its name."""
        return replace(caller, name=await self._names.name(caller.user))

    async def reply(self, line: bytes, caller: Caller) -> bytes:
        """Run a request and return its reply as a line, made in slices, also after an error."""
        try:
            return await self._turns.run(write_reply(await self._run(read_request(line), caller)))
        except RequestError as error:
            self._log.warn("{caller}: {error}", caller=caller, error=error, system="control")
            refused = CommandReply(FAILED, str(error))
        except Exception as error:  # noqa: BLE001  # a bug: logged with its traceback; the socket stays open
            self._log.failure("Command of {caller} failed", caller=caller, system="control")
            refused = CommandReply(FAILED, f"internal error ({type(error).__name__}); see the log of pybal")
        return finish(write_reply(refused))

    def _is_member(self, peer: Credentials, connection: socket.socket) -> bool:
        return self.group is not None and self.group in (peer.group, *supplementary_groups(connection))

    def _log_refusal(self, peer: Credentials) -> None:
        now = self.clock.seconds()
        if now - self._refused.get(peer.user, now - _LOG_INTERVAL) >= _LOG_INTERVAL:
            self._refused[peer.user] = now
            Deferred.fromCoroutine(self._log_refused(Caller.of(peer)))

    async def _log_refused(self, peer: Caller) -> None:
        caller = await self.named(peer)
        self._log.warn("Connection of {caller} refused (not authorized)", caller=caller, system="control")


class ControlSocket:
    """The listener at ``path``.

    If it is ``shared`` every user may connect and is authorized by credentials. ``group`` is the GID whose members are authorized; it may be set later.
    """

    def __init__(
        self,
        path: Path,
        run: Run,
        reactor: Reactor,
        group: int | None = None,
        *,
        shared: bool | None = None,
        names: UserNames | None = None,
    ) -> None:
        self._path = path
        self._reactor = reactor
        self._mode = 0o666 if (group is not None if shared is None else shared) else 0o600
        names = names or UserNames(Workers("names", THREADS, reactor), reactor)
        self._factory = ControlFactory(run, reactor, names, group)
        self._port: IListeningPort | None = None

    def start(self) -> None:
        """Listen, and replace the socket of a dead daemon. Raises ControlError, also if a daemon is running."""
        try:
            with _locked(self._path.parent):
                _remove_stale_socket(self._path)
                self._port = self._reactor.listenUNIX(str(self._path), self._factory, _BACKLOG, self._mode)
        except CannotListenError as error:
            raise ControlError(f"{self._path}: {error.socketError}") from error
        except OSError as error:
            raise ControlError(f"{self._path}: {error.strerror or error}") from error

    def authorize(self, group: int) -> None:
        """Accept members of this group from now on."""
        self._factory.group = group

    async def stop(self) -> None:
        """Stop listening, remove the file and close all connections."""
        if self._port:
            await maybeDeferred(self._port.stopListening)
        self._factory.abort()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold an exclusive lock on a directory, so that two daemons cannot start there concurrently."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ControlError(f"{directory}: another pybal is starting here; try again") from None
        yield
    finally:
        os.close(descriptor)


def _remove_stale_socket(path: Path) -> None:
    """Remove the socket of a killed daemon. Raises ControlError if another file or a daemon is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ControlError(f"{path}: not a socket (remove it, or set control-socket to another path)")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            raise ControlError(f"{path}: in use by another pybal") from None
        peer = credentials(probe)
    raise ControlError(f"{path}: in use by another pybal, process {peer.process} of user {peer.user}")
