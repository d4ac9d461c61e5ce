"""RunCommand with real processes: what it makes of their ends, and that nothing of them is left."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import LogEvent, LogLevel, capturedLogs, eventAsText

from pybal.checks.engine import Watcher
from pybal.checks.semaphore import Semaphore
from pybal.config.command_options import ServerField
from pybal.config.settings import RunCommandSettings
from pybal.monitors.base import Monitor
from pybal.monitors.runcommand import DURATION
from tests.harness.scripted_server import World
from tests.harness.stepped_reactor import run

SOON = 0.05
"""Seconds from run to run where a test waits for the next one."""


def settings(*argv: str | ServerField, timeout: float = 10.0, interval: float = 60.0) -> RunCommandSettings:
    return RunCommandSettings(str(argv[0]), argv[1:], timeout, interval)


def sh(script: str, *argv: str | ServerField, timeout: float = 10.0, interval: float = 60.0) -> RunCommandSettings:
    return settings("/bin/sh", "-c", script, "sh", *argv, timeout=timeout, interval=interval)


def samples(monitor: Monitor) -> dict[tuple[str, ...], float]:
    assert {sample.metric for sample in monitor.samples()} == {DURATION}
    return {tuple(value for _, value in sample.labels): sample.value for sample in monitor.samples()}


def exists(pid: int) -> bool:
    """Tell whether there is such a process, zombies included."""
    return Path(f"/proc/{pid}").exists()


def alive(pid: int) -> bool:
    """Tell whether there is such a process, zombies excluded: what is not ours to wait for is init's."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids(file: Path, count: int) -> list[int]:
    """Return the numbers that processes have written into a file, once there are so many."""
    found = file.read_text().split("\n") if file.exists() else []
    return [int(line) for line in found[:-1]] if len(found) > count else []


@pytest.fixture
def logged() -> Iterator[Sequence[LogEvent]]:
    with capturedLogs() as events:
        yield events


def texts(events: Sequence[LogEvent]) -> list[str]:
    """Return what the monitor has logged."""
    return [eventAsText(e, False, False, False) for e in events if e.get("system") == "svc RunCommand"]


def descriptors() -> set[str]:
    gc.collect()  # the reactors of other tests have some
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Let there be no more descriptors than so many."""
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestEnds:
    def test_exit_status_0_is_up(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                monitor = world.monitor(settings("/bin/true"))
                assert samples(monitor) == {("successful", "0"): 0.0}
                report = await world.report()
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
    def test_any_other_end_is_down_with_a_reason(self, script: str, exitcode: str, reason: str) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                monitor = world.monitor(sh(script))
                report = await world.report()
                assert (report.up, report.reason) == (False, reason)
                assert samples(monitor)["failed", exitcode] > 0
                assert samples(monitor)["successful", "0"] == 0

        run(main)

    def test_a_server_that_recovers_is_up_again(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                flag = tmp_path / "up"
                monitor = world.monitor(settings("/usr/bin/test", "-e", str(flag), interval=SOON))
                assert not (await world.report()).up
                flag.touch()
                assert (await world.report()).up
                flag.unlink()
                assert not (await world.report()).up
                assert (monitor.up_transitions, monitor.down_transitions) == (1, 2)

        run(main)

    def test_another_last_line_is_no_news_another_status_is(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                status = tmp_path / "status"
                status.write_text("1")
                monitor = world.monitor(sh('echo $$; exit $(cat "$1")', str(status), interval=SOON))
                await world.until(lambda: monitor.down_results >= 3)
                assert len(world.reports) == 1
                status.write_text("2")
                await world.until(lambda: len(world.reports) == 2)
                assert world.reports[1].reason.startswith("exit: status 2, wanted 0: ")

        run(main)


class TestCannotBeRun:
    @pytest.mark.parametrize(
        ("command", "reason"),
        [
            ("/nonexistent/check", "No such file or directory"),
            ("/etc/passwd", "Permission denied"),
            ("no-such-command-in-the-path", "No such file or directory"),
            ("/bin/tr\N{LATIN SMALL LETTER U WITH DIAERESIS}\ud800", "surrogates not allowed"),
        ],
    )
    def test_a_command_that_cannot_be_run_says_nothing_of_servers_and_is_logged_once(
        self, command: str, reason: str, logged: Sequence[LogEvent]
    ) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                monitor = world.monitor(settings(command, interval=SOON))
                await world.until(lambda: world.engine.inconclusive >= 5)
                assert world.engine.processes.taken == 0
                assert (monitor.up, world.reports, monitor.down_results) == (None, [], 0)
                assert samples(monitor) == {("successful", "0"): 0.0}
                assert not world.engine.local_errors

        run(main)
        (text,) = texts(logged)
        assert text.startswith(f"cannot run {command}: ")
        assert reason in text
        assert {e["log_level"] for e in logged if e.get("system") == "svc RunCommand"} == {LogLevel.error}

    def test_a_command_that_goes_missing_leaves_servers_as_they_are(
        self, tmp_path: Path, logged: Sequence[LogEvent]
    ) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:

                async def another(count: Callable[[], int]) -> None:
                    enough = count() + 3
                    await world.until(lambda: count() >= enough)

                command = tmp_path / "check"
                command.symlink_to("/bin/true")
                monitor = world.monitor(settings(str(command), interval=SOON))
                assert (await world.report()).up
                for _ in range(2):
                    command.unlink()
                    await another(lambda: world.engine.inconclusive)
                    assert (monitor.up, len(world.reports)) == (True, 1)
                    command.symlink_to("/bin/true")
                    await another(lambda: monitor.up_results)

        run(main)
        assert len(texts(logged)) == 2, "once each time"

    def test_many_that_wait_for_a_command_that_is_missing_are_all_told(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.engine.processes = Semaphore(0)
                for _ in range(2000):
                    world.monitor(settings("/nonexistent/check"))
                await world.until(lambda: len(world.engine.processes._waiting) == 2000)
                world.engine.processes.most = 1
                world.engine.soon(lambda: world.engine.processes.enter(world.engine.processes.leave))
                await world.until(lambda: world.engine.inconclusive == 2000)

        run(main)

    def test_running_out_of_descriptors_says_nothing_of_servers(self, logged: Sequence[LogEvent]) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                monitor = world.monitor(settings("/bin/true", interval=SOON))
                assert (await world.report()).up
                with descriptors_left(0):
                    await world.until(lambda: world.engine.local_errors["EMFILE"] >= 3)
                assert (monitor.up, len(world.reports), monitor.down_results) == (True, 1, 0)
                results = monitor.up_results
                await world.until(lambda: monitor.up_results > results + 2)
                await world.until(lambda: world.engine.processes.taken == 0)

        run(main)
        assert texts(logged) == []

    def test_what_the_trouble_of_the_moment_prevented_is_tried_once_more_at_once(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                with descriptors_left(0):
                    monitor = world.monitor(settings("/bin/true", interval=1000))
                    await world.until(lambda: world.engine.local_errors["EMFILE"] == 2)
                    await world.pause(0.3)
                assert world.engine.local_errors["EMFILE"] == 2
                world.engine.soon(monitor._turn)  # type: ignore[attr-defined]  # in 1000 s' time
                assert (await world.report()).up
                with descriptors_left(0):
                    world.engine.soon(monitor._turn)  # type: ignore[attr-defined]  # likewise
                    await world.until(lambda: world.engine.local_errors["EMFILE"] == 4)

        run(main)

    @pytest.mark.parametrize("count", range(1, 10))
    def test_running_out_of_descriptors_half_way_leaves_nothing_behind(self, count: int) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                before = descriptors()
                with descriptors_left(count):
                    monitor = world.monitor(settings("/bin/true"))
                    await world.until(lambda: world.engine.checks)
                monitor.stop()
                assert world.engine.local_errors or monitor.up
                await world.until(lambda: world.engine.processes.taken == 0)
                assert descriptors() <= before

        run(main)

    @pytest.mark.parametrize("full_after", [0, 1])
    def test_a_process_that_cannot_be_watched_is_killed_and_says_nothing(
        self, full_after: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                watch, watched = world.engine.watch, []

                def full(watcher: Watcher, fileno: int) -> None:
                    watched.append(fileno)
                    if len(watched) > full_after:
                        raise OSError(errno.ENOSPC, "as if /proc/sys/fs/epoll/max_user_watches were reached")
                    watch(watcher, fileno)

                monkeypatch.setattr(world.engine, "watch", full)
                before = descriptors()
                monitor = world.monitor(settings("/bin/sleep", "1000", timeout=1000))
                await world.until(lambda: world.engine.local_errors["ENOSPC"] == 2)
                await world.until(lambda: world.engine.processes.taken == 0)
                assert (monitor.up, world.reports) == (None, [])
                assert descriptors() <= before

        run(main)


class TestTimeout:
    def test_a_command_that_hangs_is_down_and_killed_with_grandchildren_that_ignore_signals(
        self, tmp_path: Path
    ) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                file = tmp_path / "pids"
                script = """
                    trap '' TERM HUP INT
                    (trap '' TERM HUP INT; sh -c 'trap "" TERM; echo $$ >> "$1"; sleep 1000; :' sh "$1" & wait) &
                    echo $$ >> "$1"; echo connecting; wait
                """
                monitor = world.monitor(sh(script, str(file), timeout=1.0))
                report = await world.report()
                assert (report.up, report.reason) == (False, "exit: timeout after 1 s; output so far: connecting")
                assert samples(monitor)["failed", "-9"] >= 1
                both = pids(file, 2)
                assert len(both) == 2
                await world.until(lambda: not any(map(alive, both)))
                await world.until(lambda: world.engine.processes.taken == 0)

        run(main)

    def test_a_command_that_hangs_in_silence_is_said_to(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.monitor(settings("/bin/sleep", "1000", timeout=0.3))
                assert (await world.report()).reason == "exit: timeout after 300 ms; no output"
                await world.until(lambda: world.engine.processes.taken == 0)

        run(main)

    def test_a_timeout_while_the_loop_was_frozen_proves_nothing(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                monitor = world.monitor(settings("/bin/sleep", "1000", timeout=5.0))
                await world.until(lambda: world.engine.in_flight)
                world.skipped += 30
                await world.until(lambda: world.engine.inconclusive)
                assert (monitor.up, world.reports) == (None, [])

        run(main)

    def test_an_end_that_came_while_the_loop_was_frozen_counts_before_the_timeout(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                file = tmp_path / "pids"
                world.monitor(sh('echo $$ >> "$1"; sleep 0.2', str(file), timeout=5.0))
                await world.until(lambda: pids(file, 1))
                os.waitid(os.P_PID, pids(file, 1)[0], os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222  # the loop is to be frozen
                world.skipped += 30
                assert (await world.report()).up

        run(main)

    def test_it_runs_again_after_a_timeout(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                flag = tmp_path / "up"
                world.monitor(sh('test -e "$1" || sleep 1000', str(flag), timeout=0.3, interval=SOON))
                assert not (await world.report()).up
                flag.touch()
                assert (await world.report()).up

        run(main)


class TestLeftovers:
    def test_a_child_that_holds_the_pipe_delays_nothing_and_is_killed(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                file = tmp_path / "pids"
                script = """(trap '' TERM HUP; sh -c 'echo $$ >> "$1"; exec sleep 1000' sh "$1") &
                            until test -s "$1"; do sleep 0.01; done; echo done"""
                world.monitor(sh(script, str(file), timeout=1000))
                assert (await world.report()).up
                (child,) = pids(file, 1)
                await world.until(lambda: not alive(child))

        run(main)

    def test_a_child_in_a_session_of_its_own_delays_nothing(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                file = tmp_path / "pids"
                script = """setsid sh -c 'echo $$ >> "$1"; exec sleep 1000' sh "$1" &
                            until test -s "$1"; do sleep 0.01; done"""
                world.monitor(sh(script, str(file), timeout=1000))
                assert (await world.report()).up
                (child,) = pids(file, 1)
                os.kill(child, signal.SIGKILL)

        run(main)

    def test_no_zombie_is_left_of_what_ends_or_is_killed(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                file = tmp_path / "pids"
                for seconds in ("0", "1000"):
                    script = 'echo $$ >> "$1"; exec sleep "$2"'
                    world.monitor(sh(script, str(file), seconds, timeout=0.5))
                await world.until(lambda: len(world.reports) == 2)
                both = pids(file, 2)
                assert len(both) == 2
                await world.until(lambda: not any(map(exists, both)))
                assert world.engine.processes.taken == 0

        run(main)


class TestStop:
    def test_stopping_kills_what_runs_and_leaves_no_zombie(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                file = tmp_path / "pids"
                script = """trap '' TERM; (trap '' TERM; echo grandchild; sleep 1000) & echo $$ >> "$1"; wait"""
                monitor = world.monitor(sh(script, str(file), timeout=1000))
                await world.until(lambda: pids(file, 1))
                (child,) = pids(file, 1)
                group = os.getpgid(child)
                assert group == child != os.getpgid(0)
                monitor.stop()
                assert (world.engine.in_flight, len(world.engine._watchers)) == (0, 0)
                await world.until(lambda: not exists(child))
                await world.until(lambda: world.engine.processes.taken == 0)
                assert world.reports == []
                monitor.stop()

        run(main)

    def test_stopping_what_waits_gives_its_turn_to_the_next(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.engine.processes = Semaphore(1)
                first = world.monitor(settings("/bin/sleep", "1000", timeout=1000))
                await world.until(lambda: world.engine.in_flight)
                file = tmp_path / "second"
                second = world.monitor(settings("/usr/bin/touch", str(file)))
                third = world.monitor(settings("/bin/true"))
                await world.until(lambda: len(world.engine.processes._waiting) == 2)
                second.stop()
                first.stop()
                assert (await world.report()).up
                assert (first.up, second.up, third.up) == (None, None, True)
                assert not file.exists()

        run(main)


class TestOutput:
    def test_a_flood_of_output_neither_delays_others_nor_takes_memory(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                flooding = world.monitor(settings("/usr/bin/yes", timeout=2.0))
                others = [world.monitor(settings("/bin/true", interval=SOON)) for _ in range(5)]
                await world.until(lambda: flooding.down_results)
                assert flooding.up is False
                assert all(other.up_results > 5 for other in others)
                assert world.engine.lost < 1
                reason = next(report.reason for report in world.reports if not report.up)
                assert reason == "exit: timeout after 2 s; output so far: y"

        run(main)

    def test_a_lot_of_output_does_not_keep_a_command_from_its_end(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.monitor(sh("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1"))
                assert (await world.report()).reason == "exit: status 1, wanted 0: the end"

        run(main)

    def test_output_is_logged_escaped_when_down_and_when_news(self, tmp_path: Path, logged: Sequence[LogEvent]) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                flag = tmp_path / "up"
                script = """test -e "$1" && echo fine && exit; printf 'a\\033[2J\\0b\\r\\n\\n  c\\n'; exit 1"""
                monitor = world.monitor(sh(script, str(flag), interval=SOON))
                await world.until(lambda: monitor.down_results == 2)
                flag.touch()
                await world.until(lambda: monitor.up_results >= 5)
                monitor.stop()

        run(main)
        *down, up = texts(logged)
        assert set(down) == {"server.example: status 1, output:\na\\x1b[2J\\x00b\n  c"}
        assert len(down) >= 2
        assert up == "server.example: status 0, output:\nfine"

    @pytest.mark.parametrize(
        "quiet", [sh("exit 1"), RunCommandSettings("/bin/sh", ("-c", "echo x; exit 1"), log_output=False)]
    )
    def test_no_output_or_no_wish_for_it_is_no_log(self, quiet: RunCommandSettings, logged: Sequence[LogEvent]) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.monitor(quiet)
                assert not (await world.report()).up

        run(main)
        assert texts(logged) == []


class TestSurroundings:
    def report_of(self, program: str, *arguments: str | ServerField) -> list[str]:
        """Return what a Python program has written into the file that is its first argument."""
        lines: list[str] = []

        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.monitor(settings(sys.executable, "-c", program, *arguments))
                report = await world.report()
                assert report.up, report.reason

        run(main)
        return lines

    def test_arguments_come_as_they_are_written(self, tmp_path: Path) -> None:
        file = tmp_path / "argv"
        program = "import sys; open(sys.argv[1], 'w').write('\\n'.join(sys.argv[2:]))"
        hostile = ["two  words", "'\"", "$(touch x)", "`id`", "; exit 1", "*", "", "-", "é\\n", "server.host"]
        self.report_of(program, str(file), *hostile, ServerField.HOST, ServerField.IP)
        assert file.read_text().split("\n") == [*hostile, "server.example", "127.0.0.1"]

    def test_standard_input_is_at_its_end_and_there_is_no_terminal(self) -> None:
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

    def test_no_descriptor_of_ours_is_inherited(self) -> None:
        reading, writing = os.pipe()
        os.set_inheritable(reading, True)
        os.set_inheritable(writing, True)
        try:
            program = "import os; f = os.listdir('/proc/self/fd'); assert len(f) == 4, f"
            self.report_of(program)
        finally:
            os.close(reading)
            os.close(writing)

    def test_signals_are_as_programs_expect_them(self) -> None:
        program = """
import signal, pathlib
masks = dict(line.split(":") for line in pathlib.Path("/proc/self/status").read_text().splitlines())
assert int(masks["SigBlk"], 16) == 0, masks
"""
        self.report_of(program)


class TestManyAtOnce:
    def overlap(self, file: Path) -> int:
        """Return how many ran at once, by their own account."""
        now = most = 0
        for line in file.read_text().split():
            now += 1 if line == "begin" else -1
            most = max(most, now)
        return most

    def test_t111899_hundreds_of_commands_are_not_forked_at_once(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                script = 'echo begin >> "$1"; sleep 0.3; echo end >> "$1"'
                monitors = [world.monitor(sh(script, str(tmp_path / "runs"))) for _ in range(200)]
                taken = 0
                while len(world.reports) < 200:
                    taken = max(taken, world.engine.processes.taken)
                    await world.pause(0.01)
                assert taken == 32
                assert all(monitor.up for monitor in monitors)

        run(main, timeout=60)
        assert 16 <= self.overlap(tmp_path / "runs") <= 32

    def test_who_waits_is_served_in_the_order_they_came_and_has_all_its_time(self, tmp_path: Path) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.engine.processes = Semaphore(1)
                file = tmp_path / "runs"
                for number in range(8):
                    script = 'echo "$2" >> "$1"; sleep 0.3'
                    world.monitor(sh(script, str(file), str(number), timeout=1.5))
                await world.until(lambda: len(world.reports) == 8)
                assert all(report.up for report in world.reports)
                assert file.read_text().split() == [str(number) for number in range(8)]

        run(main)

    def test_commands_that_hang_are_replaced_by_those_that_wait(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.engine.processes = Semaphore(2)
                for _ in range(4):
                    world.monitor(settings("/bin/sleep", "1000", timeout=0.2))
                last = world.monitor(settings("/bin/true"))
                await world.until(lambda: last.up)
                assert [report.up for report in world.reports] == [False] * 4 + [True]

        run(main)

    def test_coming_late_is_logged_but_not_often(self, logged: Sequence[LogEvent]) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.engine.processes = Semaphore(1)
                world.monitor(settings("/bin/sleep", "1000", timeout=1000))
                await world.until(lambda: world.engine.in_flight)
                world.monitor(settings("/bin/true", interval=SOON))
                await world.until(lambda: texts(logged))
                await world.pause(0.3)

        run(main)
        assert texts(logged) == ["commands come late: more than 1 want to run at once"]
