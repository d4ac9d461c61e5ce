"""RunCommand: run a command for a server at an interval; exit status 0 means up, any other down.

If the command cannot be run, the result is inconclusive: an error is logged and the server keeps its state. If a local
resource was exhausted (descriptors, processes, memory), the command is retried once immediately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from twisted.logger import Logger, LogLevel
from typing_extensions import override

from pybal.checks.command import UNRUNNABLE, CommandCheck
from pybal.checks.command_output import lines
from pybal.checks.result import INCONCLUSIVE, PASSED, Result
from pybal.config.command_options import ServerField, arguments, command
from pybal.config.convert import boolean, seconds
from pybal.config.option import option, required
from pybal.core.model import Address, Report
from pybal.monitors.base import Sample
from pybal.monitors.factory import Factory
from pybal.monitors.interval import Interval, IntervalMonitor
from pybal.monitors.kind import Kind

DURATION = "pybal_monitor_runcommand_run_duration_seconds"

_LOG_INTERVAL = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommandSettings(Interval):
    """Run a program for each check, without a shell; an exit status of 0 means up."""

    command: str = required("", command, help="path of the program; arguments belong in runcommand.arguments")
    arguments: tuple[str | ServerField, ...] = option(
        (),
        arguments,
        help="list of arguments: texts in quotes, numbers, and server.host, server.ip and server.port, which are replaced"
        " by the name, address and port of the server",
    )
    timeout: float = option(20.0, seconds, help="time limit of a run, after which the program is killed, in seconds")
    interval: float = option(60.0, seconds, help="time between runs, in seconds")
    log_output: bool = option(True, boolean, help="log the output of the program")
    keep_capabilities: bool = option(
        False,
        boolean,
        help="leave the program CAP_NET_ADMIN, with which it can change IPVS and the network; it always keeps the other"
        " capabilities of the daemon, such as CAP_NET_RAW for ping",
    )


class RunCommandFactory(Factory[RunCommandSettings]):
    """Creates the monitors of one service, which share the log of its command."""

    _log = Logger()

    @override
    def _prepare(self) -> None:
        self.logged_reason = ""
        """The reason, already logged, why the command cannot be run; empty if it can."""
        self._quiet_until = 0.0

    def argv(self, host: str, address: Address) -> Sequence[str]:
        """Return the command and its arguments for one server."""
        facts = {ServerField.HOST: host, ServerField.IP: str(address), ServerField.PORT: str(self.port)}
        arguments = (facts[item] if isinstance(item, ServerField) else item for item in self.settings.arguments)
        return (self.settings.command, *arguments)

    def log_output(self, host: str, result: Result, output: bytes) -> None:
        """Log the output of a command, unless runcommand.log-output = no."""
        output_lines = lines(output) if self.settings.log_output else []
        if output_lines:
            level = LogLevel.info if result.verdict is PASSED else LogLevel.warn
            text = "\n".join((f"{host}: {result.cause or 'status 0'}, output:", *output_lines))
            self._log.emit(level, "{text}", text=text, system=self.log_system)

    def log_unrunnable(self, reason: str) -> None:
        """Log why the command cannot be run, once per reason until it runs again."""
        if self.logged_reason != reason:
            self.logged_reason = reason
            text = f"cannot run {self.settings.command}: {reason}; keeping the state of its servers"
            self._log.error("{text}", text=text, system=self.log_system)

    def log_delay(self) -> None:
        """Log, at most every 10 minutes, that a command has waited for a whole interval."""
        if self.engine.now >= self._quiet_until:
            self._quiet_until = self.engine.now + _LOG_INTERVAL
            text = f"RunCommand behind schedule: limit of {self.engine.processes.most} concurrent commands reached"
            self._log.warn("{text}", text=text, system=self.log_system)


class RunCommand(IntervalMonitor):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_command", "_factory", "_host", "_seconds")

    name = "RunCommand"

    def __init__(
        self, factory: RunCommandFactory, host: str, address: Address, report: Callable[[Report], None]
    ) -> None:
        super().__init__(factory.engine, factory.random, factory.settings, report)
        self._factory = factory
        self._host = host
        self._command = CommandCheck(
            factory.engine,
            factory.argv(host, address),
            factory.settings.timeout,
            self._done,
            owner=factory.service,
            keep_capabilities=factory.settings.keep_capabilities,
        )
        self._seconds = {0: 0.0}

    def samples(self) -> Iterator[Sample]:
        """Yield the duration of the last run for each exit code; a signal is a negative exit code."""
        for exitcode, duration in self._seconds.items():
            result = "failed" if exitcode else "successful"
            yield Sample(DURATION, (("result", result), ("exitcode", str(exitcode))), duration)

    @override
    def stop(self) -> None:
        super().stop()
        self._command.cancel()

    @override
    def run(self) -> None:
        if not self._command.running:
            self._command.start()
        elif self._command.waiting:
            self._factory.log_delay()

    def _done(self, command: CommandCheck, result: Result) -> None:
        self._history.add(self._factory.engine.now, result)
        if result.verdict is INCONCLUSIVE:
            self._inconclusive(result)
            return
        self._retried = False
        self._factory.logged_reason = ""
        self._seconds[command.exitcode] = result.duration
        passed = result.verdict is PASSED
        if not (passed and self.up):
            self._factory.log_output(self._host, result, command.output)
        if passed:
            self.passed(self._factory.engine.now)
        else:
            self.failed(result.text, f"{result.phase} {result.cause}", self._factory.engine.now)

    def _inconclusive(self, result: Result) -> None:
        if result.cause == UNRUNNABLE:
            self._factory.log_unrunnable(result.reason)
        else:
            self.retry()


KIND = Kind(
    "RunCommand",
    RunCommandSettings,
    metrics={DURATION: "Duration of the last run, by result"},
    monitor=RunCommand,
    factory=RunCommandFactory,
)
