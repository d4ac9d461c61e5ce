"""The check that runs a command: exit status 0 passes, everything else fails.

It uses no shell, no signal handler and no thread: the engine watches a pidfd for the end of the process.

* A helper process starts commands (:mod:`pybal.runtime.spawner`); nothing here waits for it.
* A command has its own session: it is killed with its children and has no terminal. Only children with their own session survive.
* The group is killed before the process is waited for; until then its number cannot be reused.
* Services share the number of concurrent commands fairly (:attr:`Engine.processes`). A killed command releases its unit when the
  process has ended, which may be never for one that hangs in the kernel.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Hashable, Sequence
from typing import Self

from pybal.checks.command_output import CommandOutput, last_line
from pybal.checks.engine import Engine
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, Phase, Result
from pybal.checks.socket_check import RESOURCES
from pybal.core.text import format_duration
from pybal.runtime.spawner import Spawned, Spawner

UNRUNNABLE = "cannot be run"
"""The cause of a result of a command that could not be executed."""

_LOCAL = RESOURCES | {errno.EAGAIN, errno.ETXTBSY}
_NAMES = {number.value: number.name for number in signal.Signals}
_REAP_SECONDS = 1.0
_NOT_EXECUTED = 127
"""The exit status of a program that cannot be executed, as in shells."""


class CommandCheck:
    """A command that runs repeatedly, never twice at the same time.

    ``owner`` shares its units with other owners; ``keep_capabilities`` leaves the command all capabilities.
    ``done(command, result)`` is called once per start, after the events of the turn and never within :meth:`start`; ``output``,
    the end of the command's output, is valid until it returns. :meth:`cancel` is final; ``done`` is not called afterwards.
    A program that cannot be executed is inconclusive the first time, and a failure if the next start confirms it.
    """

    __slots__ = (
        "_argv",
        "_done",
        "_engine",
        "_fileno",
        "_lost",
        "_output",
        "_owner",
        "_process",
        "_spawner",
        "_started_at",
        "_unrunnable",
        "deadline",
        "event",
        "exitcode",
        "output",
        "running",
        "timeout",
        "waiting",
    )

    def __init__(
        self,
        engine: Engine,
        argv: Sequence[str],
        timeout: float,
        done: Callable[[Self, Result], None],
        *,
        owner: Hashable,
        keep_capabilities: bool = False,
    ) -> None:
        self.timeout = timeout
        self.deadline = 0
        self.running = False
        self.waiting = False
        """True while it waits for the semaphore."""
        self.exitcode = 0
        """The exit status of the last run, or the signal that ended it, negative."""
        self.output = b""
        self.event: Callable[[int], None] = self._look
        self._engine = engine
        self._argv = argv
        self._owner = owner
        self._spawner: Spawner = engine.spawners[keep_capabilities]
        self._done: Callable[..., None] | None = done
        self._process: Spawned | None = None
        self._fileno = -1
        self._output: CommandOutput | None = None
        self._started_at = self._lost = 0.0
        self._unrunnable = False

    def start(self) -> None:
        """Start when the semaphore allows it; not while running. Call it in a turn of the engine."""
        self.running = self.waiting = True
        self._engine.processes.acquire(self._begin, self._owner, self._engine.seconds())

    def cancel(self) -> None:
        """Cancel without a result."""
        self._done = None
        if self.waiting:
            self.waiting = False
            self._engine.processes.cancel(self._begin, self._owner)
        self._kill()

    # -- for the engine

    @property
    def name(self) -> str:
        return f"command {self._argv[0]}"

    def expire(self) -> None:
        process = self._process
        if process is not None and not process.ended() and not process.pid:
            self._kill()
            self._local(errno.EAGAIN)
            return
        self._kill()
        self.exitcode = -signal.SIGKILL
        line = last_line(self.output)
        output = f"output so far: {line}" if line else "no output"
        self._failed(f"timeout after {format_duration(self.timeout)}; {output}", "timeout")

    def settle(self, result: Result) -> None:
        self.running = False
        if self._done is not None:
            self._done(self, result)
        self.output = b""

    def broke(self, error: Exception) -> None:
        """Treat an unexpected exception as a local problem: no behaviour of a command raises one."""
        if self._process is not None:
            self._kill()
            self._inconclusive(f"{type(error).__name__}: {error}", type(error).__name__)

    # -- steps, in order

    def _begin(self) -> None:
        engine = self._engine
        self.waiting = False
        self._started_at = engine.seconds()
        self._lost = engine.lost
        try:
            process = self._process = self._spawner.spawn(self._argv)
        except (OSError, ValueError) as error:
            engine.processes.release(self._owner)
            self._not_started(getattr(error, "errno", None) or 0, str(error))
            return
        engine.in_flight += 1
        try:
            self._output = CommandOutput(engine, process.output, self.name, self.broke)
            engine.watch(self, process.status)
        except OSError as error:
            self._kill()
            self._local(error.errno or 0)
            return
        engine.arm(self, self._started_at - engine.now + self.timeout)

    def _look(self, events: int) -> None:
        del events  # may be events of an earlier descriptor with this number
        process = self._process
        if process is None:
            return
        if not process.ended():
            if process.pid and self._fileno < 0:
                self._watch_end(process.pid)
            return
        self._release()
        process.reap()
        process.close()
        self._engine.processes.release(self._owner)
        if process.error:
            self._not_started(process.error)
            return
        self._unrunnable = False
        self.exitcode = process.exitcode
        if self.exitcode == 0:
            self._engine.unanswered += 1  # a command may pass without a response of the server
            self._engine.settle(self, Result(PASSED, self._engine.seconds() - self._started_at, Phase.EXIT))
        else:
            self._failed(*_failure(self.exitcode, last_line(self.output)))

    def _watch_end(self, pid: int) -> None:
        try:
            self._fileno = os.pidfd_open(pid)
            self._engine.watch(self, self._fileno)
        except OSError as error:
            self._kill()
            self._local(error.errno or 0)

    def _kill(self) -> None:
        """Kill the process, if any; release its unit when it has ended."""
        process, engine = self._process, self._engine
        if process is None:
            return

        def reap() -> None:
            if process.reap():
                process.close()
                engine.leave(timer)
                engine.processes.release(self._owner)
            else:
                process.kill()  # it may have been started in the meantime

        self._release()
        timer = engine.every(_REAP_SECONDS, reap)

    def _release(self) -> None:
        """Kill the rest of the group, keep the output, and stop to watch the process."""
        process, engine = self._process, self._engine
        if process is None:
            return
        process.kill()
        if self._output is not None:
            self._output.close()
            self.output, self._output = self._output.kept, None
        engine.forget(process.status)
        if self._fileno >= 0:
            engine.forget(self._fileno)
            os.close(self._fileno)
            self._fileno = -1
        self.deadline = 0
        engine.in_flight -= 1
        self._process = None

    # -- results

    def _failed(self, reason: str, cause: str) -> None:
        """End with a failure, which is inconclusive if the loop was too late."""
        engine, outcome = self._engine, FAILED
        lost = engine.lost - self._lost
        if engine.too_late(lost, self.timeout):
            outcome, reason = INCONCLUSIVE, f"{reason} (the event loop was {format_duration(lost)} late)"
            engine.inconclusive += 1
        elif engine.excused(self._started_at):
            outcome, reason = INCONCLUSIVE, f"{reason} (no server responds)"
            engine.inconclusive += 1
        else:
            engine.unanswered += 1
        engine.settle(self, Result(outcome, engine.seconds() - self._started_at, Phase.EXIT, reason, cause))

    def _not_started(self, number: int, text: str = "") -> None:
        """End without a run: inconclusive for a local error, or until the next start confirms it."""
        if number in _LOCAL:
            self._local(number)
            return
        reason = f"cannot execute {self._argv[0]} ({_unrunnable(number) if number else text})"
        if self._unrunnable:
            self.exitcode = _NOT_EXECUTED
            self._engine.unanswered += 1
            self._engine.settle(self, Result(FAILED, 0.0, Phase.START, reason, UNRUNNABLE))
        else:
            self._unrunnable = True
            self._inconclusive(reason, UNRUNNABLE)

    def _local(self, number: int) -> None:
        name = self._engine.local_error(number)
        self._inconclusive(f"{os.strerror(number)} ({name})", name)

    def _inconclusive(self, reason: str, cause: str) -> None:
        self._engine.inconclusive += 1
        self._engine.settle(self, Result(INCONCLUSIVE, 0.0, Phase.START, reason, cause))


def _unrunnable(number: int) -> str:
    """Return why a program cannot be executed, with what to look for."""
    text = os.strerror(number)
    if number == errno.ENOENT:
        return f"{text}: the file, or the interpreter in its first line"
    if number == errno.ENOEXEC:
        return f"{text}: a script needs a first line such as #!/bin/sh"
    return text


def _failure(exitcode: int, line: str) -> tuple[str, str]:
    """Return reason and cause for an exit code that is not 0."""
    if exitcode > 0:
        cause = f"status {exitcode}"
        reason = f"{cause}, wanted 0"
    else:
        cause = reason = f"killed by {_NAMES.get(-exitcode, f'signal {-exitcode}')}"
    return f"{reason}: {line}" if line else reason, cause
