"""RunCommand with real processes: the evaluation of their exits, and no leftovers."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import LogEvent, LogLevel, capturedLogs, eventAsText

from pybal.checks.poller import Watcher
from pybal.checks.shares import Shares
from pybal.config.command_options import ServerField
from pybal.monitors.base import Monitor
from pybal.monitors.runcommand import DURATION, RunCommandSettings
from pybal.status import checks
from tests.harness.samples import samples_of
from tests.harness.scripted_server import MonitoredServer
from tests.harness.stepped_reactor import run

SOON = 0.05
"""Seconds from run to run where a test waits for the next one."""


def settings(*argv: str | ServerField, timeout: float = 10.0, interval: float = 60.0) -> RunCommandSettings:
    return RunCommandSettings(command=str(argv[0]), arguments=argv[1:], timeout=timeout, interval=interval)


def sh(script: str, *argv: str | ServerField, timeout: float = 10.0, interval: float = 60.0) -> RunCommandSettings:
    return settings("/bin/sh", "-c", script, "sh", *argv, timeout=timeout, interval=interval)


def samples(monitor: Monitor) -> dict[tuple[str, ...], float]:
    assert {sample.metric for sample in samples_of(monitor)} <= {DURATION}
    return {tuple(value for _, value in sample.labels): sample.value for sample in samples_of(monitor)}


def command_alerts(setup: MonitoredServer) -> list[str]:
    return [alert.text for alert in checks.alerts(setup.engine) if alert.kind == "command"]


def exists(pid: int) -> bool:
    """Return whether a process exists, including zombies."""
    return Path(f"/proc/{pid}").exists()


def alive(pid: int) -> bool:
    """Return whether a process runs; init reaps orphaned zombies."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids(file: Path, count: int) -> list[int]:
    """Return the process IDs in a file, once it has ``count`` of them."""
    found = file.read_text().split("\n") if file.exists() else []
    return [int(line) for line in found[:-1]] if len(found) > count else []


@pytest.fixture
def logged() -> Iterator[Sequence[LogEvent]]:
    with capturedLogs() as events:
        yield events


def texts(events: Sequence[LogEvent]) -> list[str]:
    """Return the log lines of the monitor."""
    return [eventAsText(e, False, False, False) for e in events if e.get("system") == "svc RunCommand"]


def descriptors() -> set[str]:
    gc.collect()  # reactors of other tests hold some
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Limit the number of free descriptors."""
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestExit:
    def test_exit_status_0_is_up(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(settings("/bin/true"))
                assert samples(monitor) == {}
                report = await setup.report()
                assert (report.up, report.reason, monitor.up) == (True, "", True)
                assert 0 < samples(monitor)["successful", "0"] < 10

        run(main)

    @pytest.mark.parametrize(
        ("script", "exitcode", "reason"),
        [
            ("exit 3", "3", "exit: status 3, wanted 0"),
            ("echo first; echo 'no route' >&2; echo; exit 255", "255", "exit: status 255, wanted 0: no route"),
            ("kill -SEGV $$", "-11", "exit: killed by SIGSEGV"),
            ("echo so far; kill -KILL $$", "-9", "exit: killed by SIGKILL: so far"),
            ("kill -40 $$", "-40", "exit: killed by signal 40"),
            (r"printf 'red \033[31m \377 \r\n'; exit 1", "1", r"exit: status 1, wanted 0: red \x1b[31m \xff"),
        ],
    )
    def test_other_exit_is_down_with_a_reason(self, script: str, exitcode: str, reason: str) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(sh(script))
                report = await setup.report()
                assert (report.up, report.reason) == (False, reason)
                assert samples(monitor).keys() == {("failed", exitcode)}
                assert samples(monitor)["failed", exitcode] > 0

        run(main)

    def test_recovered_server_is_up_again(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                flag = tmp_path / "up"
                monitor = setup.monitor(settings("/usr/bin/test", "-e", str(flag), interval=SOON))
                assert not (await setup.report()).up
                flag.touch()
                assert (await setup.report()).up
                flag.unlink()
                assert not (await setup.report()).up
                assert (monitor.up_transitions, monitor.down_transitions) == (1, 2)

        run(main)

    def test_changed_status_is_reported_changed_output_is_not(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                status = tmp_path / "status"
                status.write_text("1")
                monitor = setup.monitor(sh('echo $$; exit $(cat "$1")', str(status), interval=SOON))
                await setup.until(lambda: monitor.down_results >= 3)
                assert len(setup.reports) == 1
                status.write_text("2")
                await setup.until(lambda: len(setup.reports) == 2)
                assert setup.reports[1].reason.startswith("exit: status 2, wanted 0: ")

        run(main)


class TestUnrunnable:
    @pytest.mark.parametrize(
        ("command", "reason"),
        [
            ("/nonexistent/check", "No such file or directory"),
            ("/etc/passwd", "Permission denied"),
            ("no-such-command-in-the-path", "No such file or directory"),
            ("/bin/tr\N{LATIN SMALL LETTER U WITH DIAERESIS}\ud800", "surrogates not allowed"),
        ],
    )
    def test_unrunnable_command_fails_once_confirmed_and_is_logged_once(
        self, command: str, reason: str, logged: Sequence[LogEvent]
    ) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(settings(command, interval=SOON))
                await setup.until(lambda: monitor.down_results >= 3)
                assert (setup.engine.inconclusive, setup.engine.processes.taken) == (1, 0)
                (report,) = setup.reports
                assert not report.up
                assert report.reason.startswith("start: cannot execute ")
                assert reason in report.reason
                assert samples(monitor) == {("failed", "127"): 0.0}
                assert not setup.engine.local_errors

        run(main)
        (text,) = texts(logged)
        assert text.startswith(f"cannot execute {command} (")
        assert reason in text
        assert {e["log_level"] for e in logged if e.get("system") == "svc RunCommand"} == {LogLevel.error}

    def test_missing_command_is_an_alert_until_it_is_back(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                command = tmp_path / "check"
                command.symlink_to("/bin/true")
                monitor = setup.monitor(settings(str(command), interval=SOON))
                assert (await setup.report()).up
                assert command_alerts(setup) == []
                for _ in range(2):
                    command.unlink()
                    await setup.until(lambda: command_alerts(setup))
                    (alert,) = command_alerts(setup)
                    assert alert.startswith(f"cannot execute {command} (No such file or directory: ")
                    await setup.until(lambda: monitor.up is False)
                    command.symlink_to("/bin/true")
                    await setup.until(lambda: monitor.up)
                    assert command_alerts(setup) == []

        run(main)

    def test_alert_ends_with_the_monitors(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(settings("/nonexistent/check"))
                await setup.until(lambda: command_alerts(setup))
                monitor.stop()
                assert command_alerts(setup) == []

        run(main)

    def test_missing_command_ends_all_waiting_checks(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                units = setup.engine.processes = Shares(1)
                units.acquire(lambda: None, "svc", 0.0)
                for _ in range(2000):
                    setup.monitor(settings("/nonexistent/check"))
                await setup.until(lambda: units.waiting == 2000)
                setup.engine.soon(lambda: units.release("svc"))
                await setup.until(lambda: setup.engine.checks >= 2000)

        run(main)

    def test_descriptor_exhaustion_is_inconclusive(self, logged: Sequence[LogEvent]) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(settings("/bin/true", interval=SOON))
                assert (await setup.report()).up
                with descriptors_left(0):
                    await setup.until(lambda: setup.engine.local_errors["EMFILE"] >= 3)
                assert (monitor.up, len(setup.reports), monitor.down_results) == (True, 1, 0)
                results = monitor.up_results
                await setup.until(lambda: monitor.up_results > results + 2)
                await setup.until(lambda: setup.engine.processes.taken == 0)

        run(main)
        assert texts(logged) == []

    def test_local_error_is_retried_once_immediately(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                with descriptors_left(0):
                    setup.monitor(settings("/bin/true", interval=1000))
                    await setup.until(lambda: setup.engine.local_errors["EMFILE"] == 2)
                    await setup.pause(0.3)
                assert setup.engine.local_errors["EMFILE"] == 2
                setup.skip_to(1000)
                assert (await setup.report()).up
                await setup.until(lambda: setup.engine.processes.taken == 0)
                with descriptors_left(0):
                    setup.skip_to(2000)
                    await setup.until(lambda: setup.engine.local_errors["EMFILE"] == 4)

        run(main)

    @pytest.mark.parametrize("count", range(1, 10))
    def test_descriptor_exhaustion_half_way_releases_everything(self, count: int) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(settings("/bin/true"))
                await setup.report()  # the helper process runs
                before, checks = descriptors(), setup.engine.checks
                with descriptors_left(count):
                    monitor = setup.monitor(settings("/bin/true"))
                    await setup.until(lambda: setup.engine.checks > checks)
                monitor.stop()
                assert setup.engine.local_errors or monitor.up
                await setup.until(lambda: setup.engine.processes.taken == 0)
                assert descriptors() <= before

        run(main)

    @pytest.mark.parametrize("full_after", [0, 1, 2])
    def test_unwatchable_process_is_killed_and_inconclusive(
        self, full_after: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(settings("/bin/true"))
                await setup.report()  # the helper process runs
                setup.reports.clear()
                watch, watched = setup.engine.watch, []

                def full(watcher: Watcher, fileno: int) -> None:
                    watched.append(fileno)
                    if len(watched) > full_after:
                        raise OSError(errno.ENOSPC, "as if /proc/sys/fs/epoll/max_user_watches were reached")
                    watch(watcher, fileno)

                monkeypatch.setattr(setup.engine, "watch", full)
                before = descriptors()
                monitor = setup.monitor(settings("/bin/sleep", "1000", timeout=1000))
                await setup.until(lambda: setup.engine.local_errors["ENOSPC"] == 2)
                await setup.until(lambda: setup.engine.processes.taken == 0)
                assert (monitor.up, setup.reports) == (None, [])
                assert descriptors() <= before

        run(main)


class TestTimeout:
    def test_hanging_command_is_killed_with_its_grandchildren(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                file = tmp_path / "pids"
                script = """
                    trap '' TERM HUP INT
                    (trap '' TERM HUP INT; sh -c 'trap "" TERM; echo $$ >> "$1"; sleep 1000; :' sh "$1" & wait) &
                    echo $$ >> "$1"; echo connecting; wait
                """
                monitor = setup.monitor(sh(script, str(file), timeout=1.0))
                report = await setup.report()
                assert (report.up, report.reason) == (False, "exit: timeout after 1 s; output so far: connecting")
                assert samples(monitor)["failed", "-9"] >= 1
                both = pids(file, 2)
                assert len(both) == 2
                await setup.until(lambda: not any(map(alive, both)))
                await setup.until(lambda: setup.engine.processes.taken == 0)

        run(main)

    def test_hanging_command_without_output_is_reported_so(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(settings("/bin/sleep", "1000", timeout=0.3))
                assert (await setup.report()).reason == "exit: timeout after 300 ms; no output"
                await setup.until(lambda: setup.engine.processes.taken == 0)

        run(main)

    def test_timeout_during_a_freeze_is_inconclusive(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(settings("/bin/sleep", "1000", timeout=5.0))
                await setup.until(lambda: setup.engine.in_flight)
                setup.skipped += 30
                await setup.until(lambda: setup.engine.inconclusive)
                assert (monitor.up, setup.reports) == (None, [])

        run(main)

    def test_exit_during_a_freeze_counts(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                file = tmp_path / "pids"
                setup.monitor(sh('echo $$ >> "$1"; sleep 0.2', str(file), timeout=5.0))
                await setup.until(lambda: pids(file, 1))
                os.waitid(os.P_PID, pids(file, 1)[0], os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222  # the loop is to be frozen
                setup.skipped += 30
                assert (await setup.report()).up

        run(main)

    def test_command_runs_again_after_a_timeout(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                flag = tmp_path / "up"
                setup.monitor(sh('test -e "$1" || sleep 1000', str(flag), timeout=0.3, interval=SOON))
                assert not (await setup.report()).up
                flag.touch()
                assert (await setup.report()).up

        run(main)


class TestLeftovers:
    def test_child_that_holds_the_pipe_is_killed(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                file = tmp_path / "pids"
                script = """(trap '' TERM HUP; sh -c 'echo $$ >> "$1"; exec sleep 1000' sh "$1") &
                            until test -s "$1"; do sleep 0.01; done; echo done"""
                setup.monitor(sh(script, str(file), timeout=1000))
                assert (await setup.report()).up
                (child,) = pids(file, 1)
                await setup.until(lambda: not alive(child))

        run(main)

    def test_child_in_its_own_session_does_not_delay_the_result(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                file = tmp_path / "pids"
                script = """setsid sh -c 'echo $$ >> "$1"; exec sleep 1000' sh "$1" &
                            until test -s "$1"; do sleep 0.01; done"""
                setup.monitor(sh(script, str(file), timeout=1000))
                assert (await setup.report()).up
                (child,) = pids(file, 1)
                os.kill(child, signal.SIGKILL)

        run(main)

    def test_commands_leave_no_zombie(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                file = tmp_path / "pids"
                for seconds in ("0", "1000"):
                    script = 'echo $$ >> "$1"; exec sleep "$2"'
                    setup.monitor(sh(script, str(file), seconds, timeout=0.5))
                await setup.until(lambda: len(setup.reports) == 2)
                both = pids(file, 2)
                assert len(both) == 2
                await setup.until(lambda: not any(map(exists, both)))
                assert setup.engine.processes.taken == 0

        run(main)


class TestStop:
    def test_stop_kills_the_command_and_leaves_no_zombie(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                file = tmp_path / "pids"
                script = """trap '' TERM; (trap '' TERM; echo grandchild; sleep 1000) & echo $$ >> "$1"; wait"""
                monitor = setup.monitor(sh(script, str(file), timeout=1000))
                await setup.until(lambda: pids(file, 1))
                (child,) = pids(file, 1)
                group = os.getpgid(child)
                assert group == child != os.getpgid(0)
                monitor.stop()
                assert (setup.engine.in_flight, setup.engine.watched) == (0, 0)
                await setup.until(lambda: not exists(child))
                await setup.until(lambda: setup.engine.processes.taken == 0)
                assert setup.reports == []
                monitor.stop()

        run(main)

    def test_stop_of_a_waiting_command_starts_the_next(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.engine.processes = Shares(1)
                first = setup.monitor(settings("/bin/sleep", "1000", timeout=1000))
                await setup.until(lambda: setup.engine.in_flight)
                file = tmp_path / "second"
                second = setup.monitor(settings("/usr/bin/touch", str(file)))
                third = setup.monitor(settings("/bin/true"))
                await setup.until(lambda: setup.engine.processes.waiting == 2)
                second.stop()
                first.stop()
                assert (await setup.report()).up
                assert (first.up, second.up, third.up) == (None, None, True)
                assert not file.exists()

        run(main)


class TestOutput:
    def test_output_flood_delays_no_check_and_takes_no_memory(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                flooding = setup.monitor(settings("/usr/bin/yes", timeout=2.0))
                others = [setup.monitor(settings("/bin/true", interval=SOON)) for _ in range(5)]
                await setup.until(lambda: flooding.down_results)
                assert flooding.up is False
                assert all(other.up_results > 5 for other in others)
                assert setup.engine.lost < 1
                reason = next(report.reason for report in setup.reports if not report.up)
                assert reason == "exit: timeout after 2 s; output so far: y"

        run(main)

    def test_large_output_does_not_block_the_exit(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(sh("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1"))
                assert (await setup.report()).reason == "exit: status 1, wanted 0: the end"

        run(main)

    def test_output_is_logged_escaped_on_failures_and_transitions(
        self, tmp_path: Path, logged: Sequence[LogEvent]
    ) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                flag = tmp_path / "up"
                script = """test -e "$1" && echo fine && exit; printf 'a\\033[2J\\0b\\r\\n\\n  c\\n'; exit 1"""
                monitor = setup.monitor(sh(script, str(flag), interval=SOON))
                await setup.until(lambda: monitor.down_results == 2)
                flag.touch()
                await setup.until(lambda: monitor.up_results >= 5)
                monitor.stop()

        run(main)
        *down, up = texts(logged)
        assert set(down) == {"server.example: status 1, output:\na\\x1b[2J\\x00b\n  c"}
        assert len(down) >= 2
        assert up == "server.example: status 0, output:\nfine"

    @pytest.mark.parametrize(
        "quiet",
        [sh("exit 1"), RunCommandSettings(command="/bin/sh", arguments=("-c", "echo x; exit 1"), log_output=False)],
    )
    def test_output_is_not_logged_when_empty_or_disabled(
        self, quiet: RunCommandSettings, logged: Sequence[LogEvent]
    ) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(quiet)
                assert not (await setup.report()).up

        run(main)
        assert texts(logged) == []


class TestEnvironment:
    def report_of(self, program: str, *arguments: str | ServerField) -> list[str]:
        """Return the lines that a Python program writes into the file of its first argument."""
        lines: list[str] = []

        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(settings(sys.executable, "-c", program, *arguments))
                report = await setup.report()
                assert report.up, report.reason

        run(main)
        return lines

    def test_arguments_are_passed_unchanged(self, tmp_path: Path) -> None:
        file = tmp_path / "argv"
        program = "import sys; open(sys.argv[1], 'w').write('\\n'.join(sys.argv[2:]))"
        hostile = ["two  words", "'\"", "$(touch x)", "`id`", "; exit 1", "*", "", "-", "é\\n", "server.host"]
        self.report_of(program, str(file), *hostile, ServerField.HOST, ServerField.IP)
        assert file.read_text().split("\n") == [*hostile, "server.example", "127.0.0.1"]

    def test_standard_input_is_empty_without_a_terminal(self) -> None:
        program = """
import os, sys
assert sys.stdin.read() == ""
assert os.getsid(0) == os.getpgid(0) == os.getpid()
try:
    os.open("/dev/tty", os.O_RDWR)
except OSError:
    sys.exit(0)
sys.exit("a terminal")
"""
        self.report_of(program)

    def test_descriptors_are_not_inherited(self) -> None:
        reading, writing = os.pipe()
        os.set_inheritable(reading, True)
        os.set_inheritable(writing, True)
        try:
            program = "import os; f = os.listdir('/proc/self/fd'); assert len(f) == 4, f"
            self.report_of(program)
        finally:
            os.close(reading)
            os.close(writing)

    def test_signals_have_their_default_actions(self) -> None:
        program = """
import signal, pathlib
masks = dict(line.split(":") for line in pathlib.Path("/proc/self/status").read_text().splitlines())
assert int(masks["SigBlk"], 16) == 0, masks
"""
        self.report_of(program)


class TestConcurrency:
    def overlap(self, file: Path) -> int:
        """Return the maximum number of commands that ran concurrently, from their own records."""
        now = most = 0
        for line in file.read_text().split():
            now += 1 if line == "begin" else -1
            most = max(most, now)
        return most

    def test_t111899_concurrent_commands_are_limited(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                script = 'echo begin >> "$1"; sleep 0.3; echo end >> "$1"'
                monitors = [setup.monitor(sh(script, str(tmp_path / "runs"))) for _ in range(200)]
                taken = 0
                while len(setup.reports) < 200:
                    taken = max(taken, setup.engine.processes.taken)
                    await setup.pause(0.01)
                assert taken == 32
                assert all(monitor.up for monitor in monitors)

        run(main, timeout=60)
        assert 16 <= self.overlap(tmp_path / "runs") <= 32

    def test_waiting_commands_run_in_order_with_their_full_timeout(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.engine.processes = Shares(1)
                file = tmp_path / "runs"
                for number in range(8):
                    script = 'echo "$2" >> "$1"; sleep 0.3'
                    setup.monitor(sh(script, str(file), str(number), timeout=1.5))
                await setup.until(lambda: len(setup.reports) == 8)
                assert all(report.up for report in setup.reports)
                assert file.read_text().split() == [str(number) for number in range(8)]

        run(main)

    def test_hanging_commands_are_replaced_by_waiting_ones(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.engine.processes = Shares(2)
                for _ in range(4):
                    setup.monitor(settings("/bin/sleep", "1000", timeout=0.2))
                last = setup.monitor(settings("/bin/true"))
                await setup.until(lambda: last.up is True and len(setup.reports) == 5)
                assert sorted(report.up for report in setup.reports) == [False] * 4 + [True]

        run(main)

    def test_late_check_is_an_alert_until_it_runs(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.engine.processes = Shares(1)
                hanging = setup.monitor(settings("/bin/sleep", "1000", timeout=1000))
                await setup.until(lambda: setup.engine.in_flight)
                late = setup.monitor(settings("/bin/true", interval=SOON))
                await setup.until(lambda: command_alerts(setup))
                (alert,) = command_alerts(setup)
                assert " late, behind schedule for " in alert
                hanging.stop()
                await setup.until(lambda: late.up and not command_alerts(setup))

        run(main)

    def test_hung_commands_of_a_service_do_not_delay_another_one(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                for _ in range(96):
                    setup.monitor(settings("/bin/sleep", "1000", timeout=1000))
                await setup.until(lambda: setup.engine.processes.waiting == 64)
                other = setup.made(settings("/bin/true", interval=SOON), setup.service(name="other"))
                other.start()
                setup.monitors.append(other)
                await setup.until(lambda: other.up_results >= 5)
                assert setup.engine.processes.taken <= 34

        run(main)

    def test_delay_is_logged_rarely(self, logged: Sequence[LogEvent]) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.engine.processes = Shares(1)
                setup.monitor(settings("/bin/sleep", "1000", timeout=1000))
                await setup.until(lambda: setup.engine.in_flight)
                setup.monitor(settings("/bin/true", interval=SOON))
                await setup.until(lambda: texts(logged))
                await setup.pause(0.3)

        run(main)
        assert texts(logged) == ["RunCommand behind schedule: limit of 1 concurrent commands reached"]
