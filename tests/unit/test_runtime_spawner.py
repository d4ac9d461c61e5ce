"""Commands started through the helper process, as real processes."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pybal.runtime.spawner import RESTART_SECONDS, Spawned, Spawner

ROOT = Path(__file__).parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root holds capabilities here")


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    spawner = Spawner()
    yield spawner
    spawner.close()


def until_reaped(spawned: Spawned) -> None:
    limit = time.monotonic() + 120.0
    while not spawned.reap():
        assert time.monotonic() < limit
        time.sleep(0.001)


def output_of(spawner: Spawner, script: str) -> list[str]:
    spawned = spawner.spawn(["/bin/sh", "-c", script])
    until_reaped(spawned)
    output = os.read(spawned.output, 65536).decode()
    spawned.close()
    return output.splitlines()


def helper_of(spawner: Spawner) -> int:
    """Return the process ID of the helper process, the newest one."""
    return int(output_of(spawner, "pgrep -n -P $PPID -f spawner_[p]rocess.py")[0])


def error_of(spawner: Spawner, *arguments: str) -> int:
    spawned = spawner.spawn(arguments)
    until_reaped(spawned)
    spawned.close()
    assert not spawned.unstarted
    return spawned.error


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_command_inherits_path_and_language_only(spawner: Spawner, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY", "SECRET"):
        monkeypatch.setenv(name, "1")
    variables = {line.split("=")[0] for line in output_of(spawner, "exec /usr/bin/env")}
    assert variables - {"PWD"} == {"PATH", "LANG"}


def test_command_has_the_usual_soft_limit_and_the_same_hard_limit(spawner: Spawner) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert output_of(spawner, "ulimit -Sn; ulimit -Hn") == ["1024", str(hard)]


def test_command_inherits_three_descriptors_only(spawner: Spawner) -> None:
    inherited = os.dup(0)
    os.set_inheritable(inherited, True)
    try:
        assert output_of(spawner, "exec ls /proc/self/fd") == ["0", "1", "2", "3"]  # the last one is that of ls
    finally:
        os.close(inherited)


def test_command_has_the_default_signal_handling(spawner: Spawner) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        lines = output_of(spawner, "exec grep -E 'Sig(Blk|Ign)' /proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    of_libc = 0b11 << 31  # signals 32 and 33, which no program can set
    assert {int(line.split()[1], 16) & ~of_libc for line in lines} == {0}


def test_command_leads_its_own_session(spawner: Spawner) -> None:
    pid, group, session = output_of(spawner, "ps -o pid=,pgid=,sid= -p $$")[0].split()
    assert pid == group == session


@AS_ROOT
@pytest.mark.parametrize(("keep", "expected"), [(False, 0), (True, 1)])
def test_command_has_capabilities_over_the_network_only_if_kept(keep: bool, expected: int) -> None:
    spawner = Spawner(keep_capabilities=keep)
    lines = output_of(spawner, "exec grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status")
    spawner.close()
    masks = [int(line.split()[1], 16) for line in lines]
    assert [mask >> 12 & 1 for mask in masks] == [expected] * 3, "CAP_NET_ADMIN"
    assert [mask >> 10 & 1 for mask in masks] == [expected] * 3, "CAP_NET_BIND_SERVICE"
    assert all(mask >> 13 & 1 for mask in masks), "ping needs CAP_NET_RAW"


UNIT_CAPABILITIES = ("net_admin", "net_bind_service", "net_raw")
COMMAND_OF_USER = """
import os, sys
from pybal.runtime.spawner import Spawner
spawner = Spawner(keep_capabilities=sys.argv[1] == "keep")
spawned = spawner.spawn(["/bin/grep", "-E", "Uid|Cap(Prm|Eff|Amb)", "/proc/self/status"])
os.set_blocking(spawned.output, True)
while text := os.read(spawned.output, 65536):
    os.write(1, text)
"""


@AS_ROOT
@pytest.mark.parametrize("more", [("setpcap",), ()], ids=["with setpcap", "without"])
@pytest.mark.parametrize("keep", [True, False])
def test_command_of_an_unprivileged_daemon_gets_its_ambient_capabilities(keep: bool, more: Sequence[str]) -> None:
    # Like the unit with User= and AmbientCapabilities=. The interpreter may be in the home of root, which DAC_READ_SEARCH opens.
    held = ",".join(("-all", *(f"+{each}" for each in (*UNIT_CAPABILITIES, *more, "dac_read_search"))))
    identity = ["--reuid=54321", "--regid=54321", "--clear-groups", "--no-new-privs"]
    capabilities = [f"--bounding-set={held}", f"--inh-caps={held}", f"--ambient-caps={held}"]
    program = [sys.executable, "-c", COMMAND_OF_USER, "keep" if keep else "drop"]
    done = subprocess.run(
        ["setpriv", *identity, *capabilities, "--", *program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    user, *sets = done.stdout.splitlines()
    assert user.split()[1:] == ["54321"] * 4
    masks = [int(line.split()[1], 16) for line in sets]
    assert [mask >> 12 & 1 for mask in masks] == [int(keep)] * 3
    assert all(mask >> 13 & 1 for mask in masks), "ping needs CAP_NET_RAW"


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("#!/bin/sh\n", 0o644, errno.EACCES),
        ("", 0o755, errno.ENOEXEC),
        ("exit 0\n", 0o755, errno.ENOEXEC),
        ("#!/nonexistent/interpreter\n", 0o755, errno.ENOENT),
    ],
)
def test_program_that_cannot_be_executed_has_an_error(
    spawner: Spawner, tmp_path: Path, text: str, mode: int, expected: int
) -> None:
    assert error_of(spawner, script(tmp_path / "check", text, mode)) == expected


def test_missing_program_has_an_error_and_is_not_confused_with_status_127(spawner: Spawner, tmp_path: Path) -> None:
    assert error_of(spawner, "/nonexistent/check") == errno.ENOENT
    spawned = spawner.spawn([script(tmp_path / "check", "#!/bin/sh\nexit 127\n")])
    until_reaped(spawned)
    spawned.close()
    assert (spawned.error, spawned.exitcode) == (0, 127)


def test_arguments_arrive_unchanged(spawner: Spawner) -> None:
    spawned = spawner.spawn(["/usr/bin/printf", "%s|", "two  words", "", "'\"", "\n", "é", "$(id)"])
    until_reaped(spawned)
    assert os.read(spawned.output, 65536).decode() == "two  words||'\"|\n|é|$(id)|"
    spawned.close()


def test_command_after_the_end_of_the_helper_process_starts_another_one() -> None:
    now = 0.0
    spawner = Spawner(seconds=lambda: now)
    helper = helper_of(spawner)
    os.kill(helper, signal.SIGKILL)
    limit = time.monotonic() + 120.0
    while Path(f"/proc/{helper}").exists():
        assert time.monotonic() < limit
        time.sleep(0.001)
    with pytest.raises(OSError, match="helper process") as refused:
        spawner.spawn(["/bin/true"])
    assert refused.value.errno == errno.EAGAIN
    now += RESTART_SECONDS
    assert output_of(spawner, "echo again") == ["again"]
    spawner.close()


def test_command_of_a_helper_process_that_ended_has_the_error_eagain() -> None:
    spawner = Spawner()
    helper = helper_of(spawner)
    os.kill(helper, signal.SIGSTOP)
    spawned = spawner.spawn(["/bin/true"])
    assert not spawned.ended()
    os.kill(helper, signal.SIGKILL)
    until_reaped(spawned)
    spawned.close()
    spawner.close()
    assert (spawned.unstarted, spawned.error) == (True, errno.EAGAIN)
