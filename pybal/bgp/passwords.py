"""The MD5 passwords of the peers, read from their files in threads.

A file that cannot be read is read again. Until then its peer has no session: never one without MD5 (RFC 2385).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.bgp.exabgp.config import PASSWORD
from pybal.config.settings import PeerSettings
from pybal.core.model import Address
from pybal.runtime import regular_file
from pybal.runtime.faults import describe
from pybal.runtime.workers import Threads

RETRY_SECONDS = 5.0
"""Interval at which a file that could not be read is read again."""
HUNG_SECONDS = 5.0
"""Time after which a read that has not ended is a problem."""
_LONGEST = 1000


class UnusablePasswordError(Exception):
    """A file without a usable password; the text never contains its content."""


@dataclass(slots=True)
class _File:
    """The file of a peer: its password, its problem since a time, and the start of an unfinished read."""

    path: str
    password: str | None = None
    problem: str = ""
    since: float = 0.0
    reading: float | None = None


class Passwords:
    """The passwords of the peers that need one.

    ``changed`` is called when a password becomes known or different; a password that was read once stays until it is replaced.
    """

    _log = Logger()

    def __init__(self, threads: Threads, clock: IReactorTime, changed: Callable[[], None]) -> None:
        self._threads = threads
        self._clock = clock
        self._changed = changed
        self._files: dict[Address, _File] = {}
        self._retry: IDelayedCall | None = None

    @property
    def known(self) -> dict[Address, str]:
        """The password of each peer whose file was read."""
        return {address: file.password for address, file in self._files.items() if file.password is not None}

    @property
    def settled(self) -> bool:
        """True if every file was read, or cannot be read."""
        return all(file.password is not None or file.problem for file in self._files.values())

    def missing(self, peer: PeerSettings) -> bool:
        """Return whether a peer needs a password that is not known."""
        return bool(peer.md5_password_file) and self._files[peer.address].password is None

    def problem(self, address: Address) -> str:
        """Return why the file of a peer cannot be read, and for how long; an empty text if it can."""
        file = self._files.get(address)
        if file is None:
            return ""
        now = self._clock.seconds()
        if file.reading is not None and now - file.reading >= HUNG_SECONDS:
            return f"MD5 password file {file.path}: no response from the file system for {now - file.reading:.0f} s"
        return f"MD5 password file {file.path}: {file.problem} for {now - file.since:.0f} s" if file.problem else ""

    def follow(self, peers: Iterable[PeerSettings]) -> None:
        """Replace the peers, and read all files again; known passwords of the same files stay until then."""
        files = {peer.address: peer.md5_password_file for peer in peers if peer.md5_password_file}
        before = self._files
        self._files = {
            address: before[address] if address in before and before[address].path == path else _File(path)
            for address, path in files.items()
        }
        for address, file in self._files.items():
            self._read(address, file)
        self._schedule()

    def changed(self) -> Deferred[frozenset[Address]]:
        """Return the peers whose files hold another usable password than the known one.

        A file without a response within :data:`HUNG_SECONDS` counts as unchanged.
        """
        known = {address: file for address, file in self._files.items() if file.password is not None}

        def differs(password: str, file: _File) -> bool:
            return password != file.password

        looks = []
        for file in known.values():
            look: Deferred[bool] = self._threads.run(partial(read_password, Path(file.path))).addCallback(differs, file)
            look.addErrback(lambda _: False)  # its problem has its own alert after the reload
            looks.append(look.addTimeout(HUNG_SECONDS, self._clock, lambda _result, _seconds: False))
        return gatherResults(looks).addCallback(
            lambda results: frozenset(address for address, changed in zip(known, results, strict=True) if changed)
        )

    def stop(self) -> None:
        """Stop reading."""
        self._files = {}
        self._schedule()

    def _read(self, address: Address, file: _File) -> None:
        if file.reading is not None:
            return
        file.reading = self._clock.seconds()
        done = self._threads.run(lambda: read_password(Path(file.path)))
        done.addCallbacks(self._succeeded, self._failed, callbackArgs=(address, file), errbackArgs=(address, file))

    def _succeeded(self, password: str, address: Address, file: _File) -> None:
        file.reading = None
        if self._files.get(address) is not file:
            return
        if file.problem:
            self._log.info(
                "Peer {peer}: MD5 password file {path} is readable", peer=address, path=file.path, system="bgp"
            )
            file.problem = ""
        if password != file.password:
            file.password = password
            self._changed()

    def _failed(self, failure: Failure, address: Address, file: _File) -> None:
        file.reading = None
        if self._files.get(address) is not file:
            return
        known, problem = file.password is not None, str(failure.value)
        if not failure.check(UnusablePasswordError):
            problem = describe(failure)
            self._log.failure("Peer {peer}: unexpected exception; retrying", failure, peer=address, system="bgp")
        if not file.problem:
            file.since = self._clock.seconds()
        if problem != file.problem:
            file.problem = problem
            reaction = "keeping the last password" if known else "no session until it can be read"
            self._log.error(
                "Peer {peer}: MD5 password file {path}: {problem}; {reaction}",
                peer=address,
                path=file.path,
                problem=problem,
                reaction=reaction,
                system="bgp",
            )
        if not known:
            self._changed()
        self._schedule()

    def _schedule(self) -> None:
        waiting = any(file.problem or file.reading is not None for file in self._files.values())
        if self._retry is not None and self._retry.active():
            if not waiting:
                self._retry.cancel()
        elif waiting:
            self._retry = self._clock.callLater(RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        for address, file in tuple(self._files.items()):
            if file.problem:
                self._read(address, file)
        self._schedule()


def read_password(path: Path) -> str:
    """Return the first line of a file. Raises UnusablePasswordError; may take as long as the file system."""
    try:
        password = regular_file.first_line(path, _LONGEST).decode("ascii").strip()
    except OSError as error:
        raise UnusablePasswordError(error.strerror) from None
    except UnicodeDecodeError:
        raise UnusablePasswordError("not ASCII") from None
    if not password:
        raise UnusablePasswordError("empty first line, wanted a password")
    if not PASSWORD.fullmatch(password):
        raise UnusablePasswordError('wanted 1 to 80 characters of printable ASCII without blanks and " ; { } \\')
    return password
