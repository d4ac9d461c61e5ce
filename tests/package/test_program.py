"""The installed program with the libraries of Debian."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.package.machine import Machine

EXAMPLES = (
    "icinga/pybal.conf",
    "prometheus/pybal.rules.yml",
    "grafana/pybal.json",
    "pybal.conf",
    "sysctl.conf",
    "rsyslog/pybal.conf",
)
MANUAL = ("man8/pybal.8.gz", "man5/pybal.conf.5.gz", "man8/check_pybal.8.gz")
UNIT = "/lib/systemd/system/pybal.service"


def test_package_has_programs_examples_and_manual_pages(installed: Machine) -> None:
    programs = ("/usr/sbin/pybal", "/usr/bin/pybal", "/usr/lib/nagios/plugins/check_pybal")
    assert [name for name in programs if not os.access(installed.path(name), os.X_OK)] == []
    wanted = [
        *(f"/usr/share/doc/pybal/examples/{name}" for name in EXAMPLES),
        *(f"/usr/share/man/{name}" for name in MANUAL),
    ]
    wanted += ["/usr/share/bash-completion/completions/pybal", UNIT]
    wanted += ["/usr/lib/python3/dist-packages/pybal/status/page/style.css"]
    assert [name for name in wanted if not installed.path(name).is_file()] == []


def test_documentation_that_the_unit_names_exists(installed: Machine) -> None:
    lines = installed.path(UNIT).read_text().splitlines()
    (named,) = [line.removeprefix("Documentation=").split() for line in lines if line.startswith("Documentation=")]
    files = [name.removeprefix("file://") for name in named if name.startswith("file://")]
    assert files
    assert [name for name in files if not installed.path(name).is_file()] == []


def test_unit_matches_the_contract(installed: Machine) -> None:
    unit = installed.path(UNIT).read_text().splitlines()
    assert {"LimitNOFILE=infinity", "Restart=always", "SyslogIdentifier=pybal"} < set(unit)


def test_autopkgtest_passes(installed: Machine) -> None:
    script = Path(__file__).parents[2] / "debian/tests/checks-a-server"
    installed.path("/tmp/checks-a-server").write_text(script.read_text())
    installed.run("sh", "/tmp/checks-a-server")


@pytest.mark.parametrize("named", ["command first", "option first"])
def test_command_gives_up_the_name_of_the_daemon(installed: Machine, named: str) -> None:
    # A socket that accepts and never replies holds the command.
    installed.path("/tmp/pybal.conf").write_text("[global]\ncontrol-socket = /tmp/control.sock\n")
    arguments = ["status", "-c", "/tmp/pybal.conf"]
    if named == "option first":
        arguments = [*arguments[1:], "status"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(installed.path("/tmp/control.sock")))
        listener.listen()
        listener.settimeout(60)
        with started(installed, "/usr/sbin/pybal", *arguments) as command:
            connection, _ = listener.accept()
            seen = arguments_of(command)
            connection.close()
            assert command.stderr is not None
            why = command.stderr.read()
            status = command.wait(60)
    assert "/usr/sbin/pybal" not in " ".join(seen)
    assert seen[1:4] == ["-P", "-m", "pybal"]
    assert (status, why) == (1, "pybal: the daemon closed the connection without a reply (see its log)\n")


def test_daemon_keeps_its_name_among_its_arguments(installed: Machine) -> None:
    installed.path("/tmp/pybal.conf").write_text("[global]\n")
    with started(installed, "/usr/sbin/pybal", "-c", "/tmp/pybal.conf") as program:
        assert program.stderr is not None
        program.stderr.readline()
        seen = arguments_of(program)
    assert seen[:2] == ["/usr/bin/python3", "/usr/sbin/pybal"]


@contextmanager
def started(machine: Machine, *command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(machine.command(*command), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def arguments_of(process: subprocess.Popen[str]) -> list[str]:
    """Return the arguments of the program that nsenter has started."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return Path(f"/proc/{child}/cmdline").read_text().split("\0")
