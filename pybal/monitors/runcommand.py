"""RunCommand: runs a command for a server at intervals; exit status 0 means up, anything else down.

A command that cannot be run says nothing of the server: that is an error in the log, and the server stays what it was,
or unknown. What the trouble of the moment prevented (descriptors, processes, memory) is tried once more at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from twisted.logger import Logger, LogLevel

from pybal.checks.command import UNRUNNABLE, CommandCheck
from pybal.checks.command_output import lines
from pybal.checks.engine import Engine
from pybal.checks.result import INCONCLUSIVE, PASSED, Result
from pybal.config.command_options import ServerField
from pybal.config.settings import RunCommandSettings
from pybal.core.model import Address, Report, Service
from pybal.monitors.base import Sample
from pybal.monitors.interval import IntervalMonitor

DURATION = "pybal_monitor_runcommand_run_duration_seconds"

_COMPLAIN_SECONDS = 600.0


class RunCommandFactory:
    """The command of one service."""

    name = "RunCommand"

    _log = Logger()

    def __init__(self, settings: RunCommandSettings, service: Service, *, engine: Engine, random: Random) -> None:
        self.settings = settings
        self.engine = engine
        self.random = random
        self._port = service.port
        self._system = f"{service.name} {self.name}"
        self.trouble = ""
        """Why the command cannot be run, as far as it was logged."""
        self._crowded_until = 0.0

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> RunCommand:
        """Return a monitor of this server."""
        return RunCommand(self, host, address, report)

    def argv(self, host: str, address: Address) -> Sequence[str]:
        """Return the command and its arguments for one server."""
        facts = {ServerField.HOST: host, ServerField.IP: str(address), ServerField.PORT: str(self._port)}
        arguments = (facts[item] if isinstance(item, ServerField) else item for item in self.settings.arguments)
        return (self.settings.command, *arguments)

    def ran(self, host: str, result: Result, output: bytes) -> None:
        """Log what a command said, if it is to be logged."""
        said = lines(output) if self.settings.log_output else []
        if said:
            level = LogLevel.info if result.verdict is PASSED else LogLevel.warn
            text = "\n".join((f"{host}: {result.cause or 'status 0'}, output:", *said))
            self._log.emit(level, "{text}", text=text, system=self._system)

    def unrunnable(self, reason: str) -> None:
        """Log why the command cannot be run, once until it could be, or another reason comes up."""
        if self.trouble != reason:
            self.trouble = reason
            text = f"cannot run {self.settings.command}: {reason}; its servers stay as they are"
            self._log.error("{text}", text=text, system=self._system)

    def crowded(self) -> None:
        """Log, but not often, that a command still waits for a place when its next turn has come."""
        if self.engine.now >= self._crowded_until:
            self._crowded_until = self.engine.now + _COMPLAIN_SECONDS
            text = f"commands come late: more than {self.engine.processes.most} want to run at once"
            self._log.warn("{text}", text=text, system=self._system)


class RunCommand(IntervalMonitor):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_command", "_host", "_plan", "_seconds")

    name = RunCommandFactory.name

    def __init__(self, plan: RunCommandFactory, host: str, address: Address, report: Callable[[Report], None]) -> None:
        super().__init__(plan.engine, plan.random, plan.settings, report)
        self._plan = plan
        self._host = host
        self._command = CommandCheck(plan.engine, plan.argv(host, address), plan.settings.timeout, self._done)
        self._seconds = {0: 0.0}

    def samples(self) -> Iterator[Sample]:
        """Yield the duration of the last run that ended in each way; a signal counts as a negative exit code."""
        for exitcode, seconds in self._seconds.items():
            result = "failed" if exitcode else "successful"
            yield Sample(DURATION, (("result", result), ("exitcode", str(exitcode))), seconds)

    def stop(self) -> None:
        super().stop()
        self._command.cancel()

    def _turn(self) -> None:
        if not self._command.running:
            self._command.start()
        elif self._command.waiting:
            self._plan.crowded()

    def _done(self, command: CommandCheck, result: Result) -> None:
        self._recent.add(self._plan.engine.now, result)
        if result.verdict is INCONCLUSIVE:
            self._say_nothing(result)
            return
        self._repeated = False
        self._plan.trouble = ""
        self._seconds[command.exitcode] = result.duration
        passed = result.verdict is PASSED
        if not (passed and self.up):
            self._plan.ran(self._host, result, command.output)
        if passed:
            self._passed(self._plan.engine.now)
        else:
            self._failed(result.text, f"{result.phase} {result.cause}", self._plan.engine.now)

    def _say_nothing(self, result: Result) -> None:
        if result.cause == UNRUNNABLE:
            self._plan.unrunnable(result.reason)
        else:
            self._make_up()
