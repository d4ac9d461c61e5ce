"""RunCommand: run a command for a server at an interval; exit status 0 means up, any other down.

If the command cannot be executed, an alert is raised, the check is repeated within a second, and then fails. If a local resource was
exhausted (descriptors, processes, memory), the result is inconclusive and the command is retried once immediately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from twisted.logger import Logger, LogLevel
from typing_extensions import override

from pybal.checks.command import UNRUNNABLE, CommandCheck
from pybal.checks.command_output import lines
from pybal.checks.result import INCONCLUSIVE, PASSED, Result
from pybal.config.command_options import ServerField, arguments, command
from pybal.config.convert import boolean, seconds
from pybal.config.option import option, required
from pybal.core.model import Address, Alert, Report
from pybal.core.text import format_duration
from pybal.monitors.base import Labels, Samples, Series
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
        help="leave the program CAP_NET_ADMIN, with which it can change IPVS and the network, and CAP_NET_BIND_SERVICE; it"
        " always keeps the other capabilities of the daemon, such as CAP_NET_RAW for ping",
    )


class RunCommandFactory(Factory[RunCommandSettings]):
    """Creates the monitors of one service, which share the log of its command."""

    _log = Logger()

    @override
    def _prepare(self) -> None:
        self._unrunnable: dict[RunCommand, str] = {}
        self._unrunnable_since = 0.0
        self._quiet_until = 0.0
        self.engine.alerting.add(self)

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

    def alerts(self, now: float) -> Iterator[Alert]:
        """Yield an alert while the command cannot be executed, and while its checks are late by an interval."""
        for reason in tuple(self._unrunnable.values())[:1]:
            duration = format_duration(now - self._unrunnable_since)
            yield Alert(self.service, "command", f"{reason} for {duration}; failing the checks of its servers")
        delay, late = self.engine.processes.delay(self.service, now)
        if delay >= self.settings.interval:
            text = (
                f"checks by RunCommand {format_duration(delay)} late, behind schedule for {format_duration(late)}: all places for"
                " commands are in use (find commands that hang, lower runcommand.timeout or raise runcommand.interval)"
            )
            yield Alert(self.service, "command", text, subject="late")

    def not_executed(self, monitor: RunCommand, reason: str) -> None:
        """Note that the command could not be executed, and log each reason once until it runs again."""
        if not self._unrunnable:
            self._unrunnable_since = self.engine.now
        if reason not in self._unrunnable.values():
            text = f"{reason}; failing the checks of its servers if the next one confirms it"
            self._log.error("{text}", text=text, system=self.log_system)
        self._unrunnable[monitor] = reason

    def executed(self) -> None:
        """Note that the command was executed; all servers have the same one."""
        if self._unrunnable:
            duration = format_duration(self.engine.now - self._unrunnable_since)
            text = f"{self.settings.command} is executed again after {duration}"
            self._log.info("{text}", text=text, system=self.log_system)
            self._unrunnable.clear()

    def stopped(self, monitor: RunCommand) -> None:
        """Forget a monitor."""
        self._unrunnable.pop(monitor, None)

    def log_delay(self) -> None:
        """Log, at most every 10 minutes, that a command has waited for a whole interval."""
        if self.engine.now >= self._quiet_until:
            self._quiet_until = self.engine.now + _LOG_INTERVAL
            text = f"RunCommand behind schedule: limit of {self.engine.processes.most} concurrent commands reached"
            self._log.warn("{text}", text=text, system=self.log_system)


@lru_cache(1000)
def _series(exitcodes: tuple[int, ...]) -> Series:
    return Series(((DURATION, tuple(map(_labels, exitcodes))),))


def _labels(exitcode: int) -> Labels:
    return ("result", "failed" if exitcode else "successful"), ("exitcode", str(exitcode))


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
        self._seconds: dict[int, float] = {}

    def samples(self) -> Samples:
        """Return the duration of the last run for each exit code; a signal is a negative exit code."""
        return _series(tuple(self._seconds)), tuple(self._seconds.values())

    @override
    def stop(self) -> None:
        super().stop()
        self._command.cancel()
        self._factory.stopped(self)

    @override
    def run(self) -> None:
        if not self._command.running:
            self._command.start()
        elif self._command.waiting:
            self._factory.log_delay()

    def _done(self, command: CommandCheck, result: Result) -> None:
        self._history.add(self._factory.engine.now, result)
        if result.cause == UNRUNNABLE:
            self._factory.not_executed(self, result.reason)
        elif result.verdict is not INCONCLUSIVE:
            self._factory.executed()
        if result.verdict is INCONCLUSIVE:
            self.retry()
            return
        self._retried = False
        self._seconds[command.exitcode] = result.duration
        passed = result.verdict is PASSED
        if not (passed and self.up):
            self._factory.log_output(self._host, result, command.output)
        if passed:
            self.passed(self._factory.engine.now)
        else:
            self.failed(result.text, f"{result.phase} {result.cause}", self._factory.engine.now)


KIND = Kind(
    "RunCommand",
    RunCommandSettings,
    metrics={DURATION: "Duration of the last run, by result"},
    monitor=RunCommand,
    factory=RunCommandFactory,
)
