"""The ipvsadm backend when the program returns wrong results, fails or hangs."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pybal.ipvs.backend import BackendError
from pybal.ipvs.ipvsadm import IpvsadmBackend
from pybal.ipvs.model import TCP, Command, Destination, Failure, Key, Op, VirtualService

WEB = VirtualService(Key(TCP, IPv4Address("10.2.1.1"), 80), "wrr")
A = Destination(IPv4Address("10.0.0.11"), 80, 10)
ADDING = [Op(Command.ADD_SERVICE, WEB), Op(Command.ADD, WEB, A)]

Program = Callable[[str], IpvsadmBackend]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Make a program of these cases of its first argument, whose runs are lines of ``runs``."""

    def make(cases: str) -> IpvsadmBackend:
        file = tmp_path / "ipvsadm"
        (tmp_path / "table").touch()
        file.write_text(f'#!/bin/sh\ncd {tmp_path}\necho "$*" >> runs\ncase $1 in\n{cases}\nesac\n')
        file.chmod(0o700)
        return IpvsadmBackend(str(file), clock=lambda: float((tmp_path / "time").read_text()))

    (tmp_path / "time").write_text("0")
    return make


def runs(tmp_path: Path) -> list[str]:
    return (tmp_path / "runs").read_text().splitlines()


def test_unapplied_operation_fails_with_any_exit_status(program: Program) -> None:
    backend = program("-R) exit 0;;")
    reason = "ipvsadm did not apply it and printed no reason"
    assert backend.apply(ADDING) == tuple(Failure(op, errno.EIO, reason) for op in ADDING)


def test_applied_operation_succeeds_with_any_exit_status(program: Program) -> None:
    backend = program("-R) cat > table; echo quiet >&2; exit 2;; -Sn) cat table;;")
    assert backend.apply(ADDING) == ()


def test_rest_of_an_aborted_batch_fails_with_the_text_of_ipvsadm(program: Program) -> None:
    backend = program("-R) head -1 > table; echo 'bad line' >&2; echo 'bad line' >&2;; -Sn) cat table;;")
    assert backend.apply(ADDING) == (Failure(ADDING[1], errno.EIO, "bad line"),)


def test_operation_that_must_fail_is_not_sent(program: Program, tmp_path: Path) -> None:
    backend = program("-R) cat > sent;;")
    missing = Op(Command.DELETE, WEB, A)
    assert backend.apply([missing]) == (Failure(missing, errno.ESRCH, "no such service"),)
    assert not (tmp_path / "sent").exists()
    backend.apply([missing, *ADDING])
    assert (tmp_path / "sent").read_text() == "-A -t 10.2.1.1:80 -s wrr\n-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10\n"


def test_table_is_cached_for_a_second_unless_written(program: Program, tmp_path: Path) -> None:
    backend = program("-R) cat > table;; -Sn) cat table;;")
    reading = ["-Sn", "-Ln --thresholds"]
    for time in ("100", "101"):
        (tmp_path / "time").write_text(time)
        assert backend.read(WEB.key) is None
    assert runs(tmp_path) == reading
    (tmp_path / "time").write_text("101.1")
    assert backend.read(WEB.key) is None
    assert runs(tmp_path) == 2 * reading
    backend.apply(ADDING)
    entry = backend.read(WEB.key)
    assert entry is not None
    assert list(entry.destinations.values()) == [A]
    assert runs(tmp_path) == [*3 * reading, "-R", *reading]


def test_cached_table_is_dropped_when_a_batch_fails(program: Program, tmp_path: Path) -> None:
    backend = program("-R) cat > table; touch broken;; -Sn) test ! -e broken && cat table;;")
    assert backend.read(WEB.key) is None
    with raises("ipvsadm -Sn: status 1"):
        backend.apply(ADDING)
    (tmp_path / "broken").unlink()
    assert backend.read(WEB.key) is not None


def test_services_and_table_are_always_read_from_the_kernel(program: Program, tmp_path: Path) -> None:
    backend = program("-Sn) cat table;;")
    assert backend.services() == ()
    (tmp_path / "table").write_text("-A -t 10.2.1.1:80 -s wrr\n")
    assert backend.services() == (WEB,)
    (tmp_path / "table").write_text("")
    assert backend.table() == {}


def raises(text: str) -> pytest.RaisesExc[BackendError]:
    return pytest.raises(BackendError, match=f"^{re.escape(text)}$")


def test_failing_program_raises_an_error_with_its_first_line(program: Program) -> None:
    backend = program('*) echo "Can\'t initialize ipvs: Permission denied" >&2; echo more >&2; exit 2;;')
    with raises("ipvsadm -Sn: Can't initialize ipvs: Permission denied"):
        backend.services()


def test_silently_failing_program_raises_an_error(program: Program) -> None:
    with raises("ipvsadm -Sn: status 3"):
        program("*) exit 3;;").read(WEB.key)


def test_unexpected_output_raises_an_error(program: Program) -> None:
    with raises("unexpected output of ipvsadm -Sn: 'hello'"):
        program("-Sn) echo hello;;").table()


def test_output_that_is_not_text_raises_an_error(program: Program) -> None:
    with pytest.raises(BackendError, match=r"^unexpected output of ipvsadm -Sn: "):
        program(r"-Sn) printf '\377\n';;").table()


def test_missing_program_raises_an_error() -> None:
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    with raises(f"cannot run no-ipvsadm: not found in {path} (run: apt-get install ipvsadm)"):
        IpvsadmBackend("no-ipvsadm").table()


def test_hanging_program_raises_an_error_and_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "ipvsadm"
    file.write_text("#!/bin/sh\nexec sleep 1000\n")
    file.chmod(0o700)
    with raises("ipvsadm timed out after 0.1 s"):
        IpvsadmBackend(str(file), timeout=0.1).table()


def test_program_inherits_a_clean_environment_and_one_capability(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "15000000")
    program("-Sn) env > environment; ulimit -Sn > limit; grep CapEff /proc/self/status > capabilities;;").table()
    names = {line.partition("=")[0] for line in (tmp_path / "environment").read_text().splitlines()}
    assert {"PATH", "LANG"} <= names <= {"PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_"}
    assert int((tmp_path / "limit").read_text()) <= 1024
    capabilities = int((tmp_path / "capabilities").read_text().split()[1], 16)
    assert capabilities & ~(1 << 12) == 0
