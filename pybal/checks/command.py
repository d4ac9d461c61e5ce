"""The check that runs a command: exit status 0 passes, everything else fails.

There is no shell, no signal handler and no thread: a pidfd, watched by the engine, tells of the end of the process.

* All descriptors are closed before the command is executed, while we still wait for that: a socket that we close and
  a child still holds stays in the engine's epoll, and its events would go to whoever has its number next.
* A command has a session of its own: it can be killed with its children, and has no terminal to ask for a password.
  Only children that made themselves a session of their own survive it.
* The group is killed before the process is waited for; until then nobody else can have its number.
* At most so many run at once (:attr:`Engine.processes`). The place of a command that was killed is free when the
  process is gone, which for one that hangs in the kernel may be never.
* A start holds up the loop until the command is executed (1 ms with 10,000 descriptors open): its file must not be on
  a file system that may hang.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from subprocess import DEVNULL, PIPE, STDOUT, Popen
from typing import Self

from pybal.checks.command_output import CommandOutput, last_line
from pybal.checks.engine import FROZEN, Engine
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, Phase, Result
from pybal.checks.socket_check import RESOURCES
from pybal.core.text import format_duration

UNRUNNABLE = "cannot be run"
"""The cause of a result that says nothing because the command could not be executed at all."""

_LOCAL = RESOURCES | {errno.EAGAIN}
_NAMES = {number.value: number.name for number in signal.Signals}
_REAP_SECONDS = 1.0


class CommandCheck:
    """A command, run again and again, never twice at a time.

    ``done(command, result)`` is called once for each start, after the events in which the command ended and never
    from within :meth:`start`; until it returns there is ``output``, the end of what the command said. After
    :meth:`cancel`, which is for good, it is called no more.
    """

    __slots__ = (
        "_argv",
        "_done",
        "_engine",
        "_fileno",
        "_lost",
        "_output",
        "_process",
        "_started_at",
        "deadline",
        "event",
        "exitcode",
        "output",
        "running",
        "timeout",
        "waiting",
    )

    def __init__(
        self, engine: Engine, argv: Sequence[str], timeout: float, done: Callable[[Self, Result], None]
    ) -> None:
        self.timeout = timeout
        self.deadline = 0
        self.running = False
        self.waiting = False
        """Whether it has yet to be given a place."""
        self.exitcode = 0
        """The exit status of the last run, or the signal that ended it, negative."""
        self.output = b""
        self.event: Callable[[int], None] = self._look
        self._engine = engine
        self._argv = argv
        self._done: Callable[..., None] | None = done
        self._process: Popen[bytes] | None = None
        self._fileno = -1
        self._output: CommandOutput | None = None
        self._started_at = self._lost = 0.0

    def start(self) -> None:
        """Begin as soon as there is a place; not while running. To be called in a turn of the engine."""
        self.running = self.waiting = True
        self._engine.processes.enter(self._begin)

    def cancel(self) -> None:
        """End for good and tell nobody."""
        self._done = None
        if self.waiting:
            self.waiting = False
            self._engine.processes.withdraw(self._begin)
        self._kill()

    # -- for the engine

    def expire(self) -> None:
        self._kill()
        self.exitcode = -signal.SIGKILL
        said = last_line(self.output)
        output = f"output so far: {said}" if said else "no output"
        self._failed(f"timeout after {format_duration(self.timeout)}; {output}", "timeout")

    def settle(self, result: Result) -> None:
        self.running = False
        if self._done is not None:
            self._done(self, result)
        self.output = b""

    def broke(self, error: Exception) -> None:
        """Take an error that nobody thought of for ours: nothing that a command does is one."""
        if self._process is not None:
            self._kill()
            self._void(f"{type(error).__name__}: {error}", type(error).__name__)

    # -- what happens, in order

    def _begin(self) -> None:
        engine = self._engine
        self.waiting = False
        self._started_at = engine.seconds()
        self._lost = engine.lost
        try:
            process = Popen(  # noqa: S603  # the operator's own command, and no shell
                self._argv, bufsize=0, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, close_fds=True, start_new_session=True
            )
        except (OSError, ValueError) as error:
            engine.processes.leave()
            self._not_begun(error)
            return
        self._process = process
        engine.in_flight += 1
        try:
            self._output = CommandOutput(engine, process.stdout, self.broke)  # type: ignore[arg-type]  # it is a PIPE
            self._fileno = os.pidfd_open(process.pid)
            engine.watch(self, self._fileno)
        except OSError as error:
            self._kill()
            self._local(error.errno or 0)
            return
        engine.arm(self, self._started_at - engine.now + self.timeout)

    def _look(self, events: int) -> None:
        del events  # which may be those of a descriptor that had this number before
        process = self._process
        if process is None or not os.waitid(os.P_PIDFD, self._fileno, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        self._close(process)
        self.exitcode = process.wait()
        if self.exitcode == 0:
            self._engine.unheard += 1  # nobody knows whom it asked
            self._engine.settle(self, Result(PASSED, self._engine.seconds() - self._started_at, Phase.EXIT))
        else:
            self._failed(*_verdict(self.exitcode, last_line(self.output)))
        self._engine.processes.leave()

    def _kill(self) -> None:
        """End it, if there is one; its place is free as soon as it is gone."""
        process, engine = self._process, self._engine
        if process is None:
            return

        def reap() -> None:
            if process.poll() is not None:
                engine.leave(seat)
                engine.processes.leave()

        self._close(process)
        seat = engine.every(_REAP_SECONDS, reap)

    def _close(self, process: Popen[bytes]) -> None:
        """Kill what is left of it, keep what it said, and know no more of it."""
        for kill in (os.killpg, os.kill):  # the process too, should it have left its group
            with suppress(OSError):  # it may not be ours to kill
                kill(process.pid, signal.SIGKILL)
        if self._output is not None:
            self._output.close()
            self.output, self._output = self._output.kept, None
        if process.stdout is not None:
            process.stdout.close()
        if self._fileno >= 0:
            self._engine.forget(self._fileno)
            os.close(self._fileno)
            self._fileno = -1
        self.deadline = 0
        self._engine.in_flight -= 1
        self._process = None

    # -- results

    def _failed(self, reason: str, cause: str) -> None:
        """End with a failure, which proves nothing if the loop came too late for it."""
        engine, verdict = self._engine, FAILED
        lost = engine.lost - self._lost
        if lost > max(FROZEN, self.timeout / 2):
            verdict, reason = INCONCLUSIVE, f"{reason} (the checker was {format_duration(lost)} late)"
            engine.inconclusive += 1
        elif engine.excused(self._started_at):
            verdict, reason = INCONCLUSIVE, f"{reason} (nobody at all was heard)"
            engine.inconclusive += 1
        else:
            engine.unheard += 1
        engine.settle(self, Result(verdict, engine.seconds() - self._started_at, Phase.EXIT, reason, cause))

    def _not_begun(self, error: OSError | ValueError) -> None:
        """End with a result that says nothing of the server, for the command never ran."""
        number = getattr(error, "errno", None) or 0
        if number in _LOCAL:
            self._local(number)
        else:
            self._void(os.strerror(number) if number else str(error), UNRUNNABLE)

    def _local(self, number: int) -> None:
        name = self._engine.local_error(number)
        self._void(f"{os.strerror(number)} ({name})", name)

    def _void(self, reason: str, cause: str) -> None:
        self._engine.inconclusive += 1
        self._engine.settle(self, Result(INCONCLUSIVE, 0.0, Phase.START, reason, cause))


def _verdict(exitcode: int, said: str) -> tuple[str, str]:
    """Return reason and cause for an exit code that is not 0."""
    if exitcode > 0:
        cause = f"status {exitcode}"
        reason = f"{cause}, wanted 0"
    else:
        cause = reason = f"killed by {_NAMES.get(-exitcode, f'signal {-exitcode}')}"
    return f"{reason}: {said}" if said else reason, cause
