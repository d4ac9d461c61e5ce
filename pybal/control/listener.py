"""The control socket: who may give commands, how long and how much they may say, and the log of all that they say.

The file of the socket may be open to everybody, for it is the kernel's word on who connects that counts. A connection of
somebody else is told so and closed before a byte of it is read.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.control.wire import (
    FAILED,
    LONGEST_REQUEST,
    CommandReply,
    Request,
    RequestError,
    read_request,
    write_answer,
)
from pybal.runtime.peercred import Credentials, credentials, supplementary_groups

PATIENCE = 10.0
"""Seconds in which a request must be there, and the answer to it be taken and followed by another request."""
MOST_CONNECTIONS = 16
_QUIET = 60.0
"""Seconds for which the refusals of one user are not logged again."""


class ControlError(Exception):
    """The control socket cannot be had; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who gives a command: the name of the user, or the number of one without a name."""

    name: str
    user: int
    process: int

    @classmethod
    def of(cls, peer: Credentials) -> Caller:
        try:
            name = pwd.getpwuid(peer.user).pw_name
        except KeyError:
            name = str(peer.user)
        return cls(name, peer.user, peer.process)

    def __str__(self) -> str:
        return f"{self.name} (user {self.user}, process {self.process})"


Run = Callable[[Request, Caller], Awaitable[CommandReply]]


class Conversation(Protocol):
    """One connection: a request, its answer, the next request once that is taken."""

    _log = Logger()

    def __init__(self, factory: ControlFactory) -> None:
        self._factory = factory
        self._received = bytearray()
        self._caller: Caller | None = None
        self._busy = False
        self._untaken = False
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        connection: socket.socket = self._transport.getHandle()
        peer = credentials(connection)
        if refusal := self._factory.refusal(self, peer, connection):
            self._end(refusal)
            return
        self._caller = Caller.of(peer)
        self._transport.registerProducer(self, streaming=True)
        self._wait()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        if self._caller is None:
            return
        self._received += data
        self._next()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  # Twisted's name
        del reason
        self._caller = None
        self._wait_no_more()
        self._factory.forget(self)

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's name
        self._untaken = True

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's name
        self._untaken = False
        self._go_on()

    def stopProducing(self) -> None:  # noqa: N802  # Twisted's name
        pass

    def abort(self) -> None:
        """Close at once. A command that is under way goes on."""
        self._transport.abortConnection()

    @property
    def _transport(self) -> Any:  # noqa: ANN401  # Twisted's types do not say that it has a handle
        return self.transport

    def _next(self) -> None:
        """Take the next request, if it is whole and its turn has come."""
        if self._busy or self._untaken or self._caller is None:
            return
        end = self._received.find(b"\n")
        if max(end, len(self._received) if end < 0 else 0) > LONGEST_REQUEST:
            self._end(f"a request of more than {LONGEST_REQUEST} bytes")
        elif end >= 0:
            line = bytes(self._received[:end])
            del self._received[: end + 1]
            self._wait_no_more()
            self._busy = True
            # What is said meanwhile waits in the kernel, not here.
            self._transport.pauseProducing()
            Deferred.fromCoroutine(self._answer(line))

    async def _answer(self, line: bytes) -> None:
        assert self._caller is not None  # noqa: S101  # nobody else is heard
        answer = await self._factory.answer(line, self._caller)
        self._busy = False
        if self._caller is None:
            return
        self._transport.write(write_answer(answer))
        self._wait()
        self._go_on()

    def _go_on(self) -> None:
        """Hear the next request, or the rest of it, if it is its turn."""
        if self._busy or self._untaken or self._caller is None:
            return
        self._transport.resumeProducing()
        if self._received:
            self._factory.clock.callLater(0, self._next)

    def _end(self, why: str) -> None:
        """Say why, and hear no more."""
        if self._caller:
            self._transport.unregisterProducer()
        self._caller = None
        self._wait_no_more()
        self._transport.write(write_answer(CommandReply(FAILED, why)))
        self._transport.loseConnection()

    def _wait(self) -> None:
        self._deadline = self._factory.clock.callLater(PATIENCE, self.abort)

    def _wait_no_more(self) -> None:
        if self._deadline and self._deadline.active():
            self._deadline.cancel()


class ControlFactory(Factory):
    """Makes conversations with root, our own user and the members of ``group``, a number; ``run`` runs their commands."""

    noisy = False
    _log = Logger()

    def __init__(self, run: Run, clock: IReactorTime, group: int | None = None) -> None:
        self.clock = clock
        self._run = run
        self._group = group
        self._open: set[Conversation] = set()
        self._refused: dict[int, float] = {}

    def buildProtocol(self, addr: IAddress | None) -> Conversation:  # noqa: N802  # Twisted's name
        del addr
        return Conversation(self)

    def refusal(self, conversation: Conversation, peer: Credentials, connection: socket.socket) -> str:
        """Return why somebody is not heard; an empty text where he is."""
        if peer.user not in (0, os.geteuid()) and not self._is_member(peer, connection):
            self._say_refused(peer)
            group = "" if self._group is None else f" or a member of group {self._group}"
            return f"user {peer.user} may not give commands, wanted root, user {os.geteuid()}{group}"
        if len(self._open) >= MOST_CONNECTIONS:
            return f"{len(self._open)} connections already, wanted fewer than {MOST_CONNECTIONS}: try again"
        self._open.add(conversation)
        return ""

    def forget(self, conversation: Conversation) -> None:
        """Count a connection no longer."""
        self._open.discard(conversation)

    def abort(self) -> None:
        """Close all connections."""
        for conversation in tuple(self._open):
            conversation.abort()

    async def answer(self, line: bytes, caller: Caller) -> CommandReply:
        """Return the answer to a request, whatever becomes of it."""
        try:
            return await self._run(read_request(line), caller)
        except RequestError as error:
            self._log.warn("{caller}: {error}", caller=caller, error=error, system="control")
            return CommandReply(FAILED, str(error))
        except Exception as error:  # noqa: BLE001  # a bug: it gets its traceback, and must not end the socket
            self._log.failure("a command of {caller} failed", caller=caller, system="control")
            return CommandReply(FAILED, f"failed, see the log: {type(error).__name__}")

    def _is_member(self, peer: Credentials, connection: socket.socket) -> bool:
        return self._group is not None and self._group in (peer.group, *supplementary_groups(connection))

    def _say_refused(self, peer: Credentials) -> None:
        now = self.clock.seconds()
        if now - self._refused.get(peer.user, now - _QUIET) >= _QUIET:
            self._refused[peer.user] = now
            self._log.warn("refused a connection of {caller}", caller=Caller.of(peer), system="control")


class ControlSocket:
    """Listens at ``path``; with a group the file is open to everybody, who are then told apart by their credentials."""

    def __init__(self, path: Path, run: Run, reactor: Any, group: int | None = None) -> None:  # noqa: ANN401  # as in pybal.daemon.app
        self._path = path
        self._reactor = reactor
        self._mode = 0o600 if group is None else 0o666
        self._factory = ControlFactory(run, reactor, group)
        self._port: IListeningPort | None = None

    def start(self) -> None:
        """Listen, in place of a daemon that is gone. Raises ControlError, among others where one is there."""
        try:
            with _alone_in(self._path.parent):
                _make_room(self._path)
                self._port = self._reactor.listenUNIX(str(self._path), self._factory, mode=self._mode)
        except CannotListenError as error:
            raise ControlError(f"{self._path}: {error.socketError}") from error
        except OSError as error:
            raise ControlError(f"{self._path}: {error.strerror or error}") from error

    async def stop(self) -> None:
        """Listen no more; the file goes."""
        if self._port:
            await maybeDeferred(self._port.stopListening)
        self._factory.abort()


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Let nobody else look for a place in this directory meanwhile."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ControlError(f"{directory}: another pybal is starting there") from None
        yield
    finally:
        os.close(descriptor)


def _make_room(path: Path) -> None:
    """Remove the socket that a daemon left when it was killed. Raises ControlError for anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ControlError(f"{path}: exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            raise ControlError(f"{path}: another pybal listens there") from None
        peer = credentials(probe)
    raise ControlError(f"{path}: another pybal listens there, process {peer.process} of user {peer.user}")
