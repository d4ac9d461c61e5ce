"""The program ipvsadm as a backend where it lies, fails or hangs; what it does well is in tests/contract."""

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


def test_what_was_not_done_has_failed_whatever_the_status_says(program: Program) -> None:
    backend = program("-R) exit 0;;")
    reason = "ipvsadm did not do it, and does not say why"
    assert backend.apply(ADDING) == tuple(Failure(op, errno.EIO, reason) for op in ADDING)


def test_what_was_done_has_not_failed_whatever_the_status_says(program: Program) -> None:
    backend = program("-R) cat > table; echo quiet >&2; exit 2;; -Sn) cat table;;")
    assert backend.apply(ADDING) == ()


def test_of_a_batch_that_was_left_off_the_rest_has_failed_with_what_was_said(program: Program) -> None:
    backend = program("-R) head -1 > table; echo 'bad line' >&2; echo 'bad line' >&2;; -Sn) cat table;;")
    assert backend.apply(ADDING) == (Failure(ADDING[1], errno.EIO, "bad line"),)


def test_what_must_fail_is_not_sent(program: Program, tmp_path: Path) -> None:
    backend = program("-R) cat > sent;;")
    missing = Op(Command.DELETE, WEB, A)
    assert backend.apply([missing]) == (Failure(missing, errno.ESRCH, "no such service"),)
    assert not (tmp_path / "sent").exists()
    backend.apply([missing, *ADDING])
    assert (tmp_path / "sent").read_text() == "-A -t 10.2.1.1:80 -s wrr\n-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10\n"


def test_one_reading_serves_for_a_second_unless_we_write(program: Program, tmp_path: Path) -> None:
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


def test_a_reading_does_not_outlive_a_batch_of_which_nobody_knows_how_far_it_got(
    program: Program, tmp_path: Path
) -> None:
    backend = program("-R) cat > table; touch broken;; -Sn) test ! -e broken && cat table;;")
    assert backend.read(WEB.key) is None
    with raises("ipvsadm -Sn: status 1"):
        backend.apply(ADDING)
    (tmp_path / "broken").unlink()
    assert backend.read(WEB.key) is not None


def test_all_services_and_all_of_the_table_are_read_anew(program: Program, tmp_path: Path) -> None:
    backend = program("-Sn) cat table;;")
    assert backend.services() == ()
    (tmp_path / "table").write_text("-A -t 10.2.1.1:80 -s wrr\n")
    assert backend.services() == (WEB,)
    (tmp_path / "table").write_text("")
    assert backend.table() == {}


def raises(text: str) -> pytest.RaisesExc[BackendError]:
    return pytest.raises(BackendError, match=f"^{re.escape(text)}$")


def test_a_program_that_fails_is_an_error_with_its_first_line(program: Program) -> None:
    backend = program('*) echo "Can\'t initialize ipvs: Permission denied" >&2; echo more >&2; exit 2;;')
    with raises("ipvsadm -Sn: Can't initialize ipvs: Permission denied"):
        backend.services()


def test_a_program_that_fails_silently_is_an_error(program: Program) -> None:
    with raises("ipvsadm -Sn: status 3"):
        program("*) exit 3;;").read(WEB.key)


def test_a_program_that_prints_something_else_is_an_error(program: Program) -> None:
    with raises("ipvsadm -Sn printed 'hello'"):
        program("-Sn) echo hello;;").table()


def test_bytes_that_are_no_text_are_an_error(program: Program) -> None:
    with pytest.raises(BackendError, match=r"^ipvsadm -Sn printed "):
        program(r"-Sn) printf '\377\n';;").table()


def test_a_program_that_is_not_there_is_an_error() -> None:
    with raises("ipvsadm cannot be run: No such file or directory"):
        IpvsadmBackend("/nonexistent/ipvsadm").table()


def test_a_program_that_hangs_is_an_error_and_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "ipvsadm"
    file.write_text("#!/bin/sh\nexec sleep 1000\n")
    file.chmod(0o700)
    with raises("no answer from ipvsadm within 0.1 s"):
        IpvsadmBackend(str(file), timeout=0.1).table()
