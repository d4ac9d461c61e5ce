"""The ownership ledger: its contents, invalid files, and failing directories."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import capturedLogs, formatEvent

from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import SCTP, TCP, Key, Mark, ServiceKey

WEB = Key(TCP, IPv4Address("10.2.1.1"), 80)
NAMES: dict[ServiceKey, str] = {
    WEB: "web",
    Key(TCP, IPv6Address("fd00:2::1"), 80): "web six",
    Key(SCTP, IPv4Address("10.2.1.1"), 80): "sctp 10.2.1.1:80",
    Mark(7): "mark 7",
    Mark(7, ipv6=True): "",
}


GOOD = '{"name": "web", "protocol": 6, "address": "10.2.1.1", "port": 80}'


def in_a_ledger(service: object) -> str:
    """Return a file with this service beside a good one."""
    return f'{{"version": 1, "services": [{GOOD}, {json.dumps(service)}]}}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ipvs-services.json"


def test_entered_service_is_read_by_the_next_process(file: Path) -> None:
    Ledger(file).enter(NAMES)
    assert Ledger(file).names == NAMES
    assert [path.name for path in file.parent.iterdir()] == ["ipvs-services.json"]


def test_struck_service_is_not_read_by_the_next_process(file: Path) -> None:
    ledger = Ledger(file)
    ledger.enter(NAMES)
    ledger.strike([WEB, Key(TCP, IPv4Address("10.2.1.9"), 80)])
    assert Ledger(file).names == {key: name for key, name in NAMES.items() if key != WEB}


def test_file_is_replaced_atomically(file: Path) -> None:
    ledger = Ledger(file)
    ledger.enter(NAMES)
    before = file.read_text()
    with file.open() as old:
        ledger.strike([WEB])
        assert old.read() == before
    assert file.read_text() != before


def test_directory_is_created(tmp_path: Path) -> None:
    file = tmp_path / "run" / "pybal" / "ipvs-services.json"
    assert Ledger(file).names == {}
    Ledger(file).enter(NAMES)
    assert Ledger(file).names == NAMES


def test_unchanged_ledger_is_not_written_again(file: Path) -> None:
    ledger = Ledger(file)
    ledger.enter(NAMES)
    file.unlink()
    ledger.enter({WEB: "web"})
    ledger.strike([])
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("[]", "not a file of version 1"),
        (
            f'{{"version": 2, "services": [{GOOD}]}}',
            "format version 2 instead of 1 (written by another PyBal); kept as ",
        ),
        ('{"version": 1}', "'services'"),
        (f'{{"version": 1, "services": {GOOD}}}', "services is not a list"),
        (in_a_ledger({"name": "web", "protocol": 6, "address": "10.2.1.1"}), "service {'name': 'web', "),
        (in_a_ledger({"name": "web", "protocol": 6, "address": "10.2.1", "port": 80}), "'10.2.1' does not appear"),
        (in_a_ledger({"name": "web", "protocol": 6, "address": "10.2.1.1", "port": 65536}), "service {'name': 'web', "),
        (in_a_ledger({"name": "web", "protocol": 256, "address": "10.2.1.1", "port": 80}), "service {'name': 'web', "),
        (in_a_ledger({"name": "", "mark": True, "ipv6": False}), "service {'name': '', 'mark': True, "),
        (in_a_ledger({"name": "", "mark": 7, "ipv6": 0}), "service {'name': '', 'mark': 7, "),
        (in_a_ledger({"name": "", "mark": 7, "ipv6": False, "port": 80}), "service {'name': '', 'mark': 7, "),
    ],
)
def test_invalid_file_is_ignored_and_logged(file: Path, text: str, reason: str) -> None:
    file.write_text(text)
    with capturedLogs() as events:
        ledger = Ledger(file)
    assert ledger.names == {}
    assert ledger.problem.startswith(f"{file}: invalid contents: {reason}")
    assert [formatEvent(event) for event in events] == [
        f"Cannot read the ownership ledger {ledger.problem}; leftover services will not be removed"
    ]
    ledger.enter({WEB: "web"})
    assert ledger.problem == ""
    assert Ledger(file).names == {WEB: "web"}


@pytest.mark.parametrize("dry_run", [False, True])
def test_ledger_of_another_version_is_set_aside_unless_dry_run(file: Path, *, dry_run: bool) -> None:
    file.write_text('{"version": 2}')
    Ledger(file, dry_run=dry_run)
    assert file.exists() == dry_run
    assert file.with_name(f"{file.name}.version-2").exists() != dry_run


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_invalid_contents_are_never_fatal(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "garbage.json"
    file.write_bytes(garbage)
    ledger = Ledger(file)
    assert (ledger.names, bool(ledger.problem)) == ({}, True)


def test_too_deeply_nested_file_is_invalid(file: Path) -> None:
    file.write_text("[" * 100_000)
    assert Ledger(file).problem.startswith(f"{file}: invalid contents: ")


def test_unreadable_ledger_is_a_problem(file: Path) -> None:
    file.mkdir()
    assert Ledger(file).problem == f"{file}: Is a directory"


def test_failed_write_is_logged_once_and_retried_at_each_change(file: Path) -> None:
    ledger = Ledger(file)
    file.mkdir()
    with capturedLogs() as events:
        ledger.enter({WEB: "web"})
        ledger.enter({WEB: "web"})
    assert [formatEvent(event) for event in events] == [
        f"Cannot write the ownership ledger {file}: Is a directory; retrying"
    ]
    assert ledger.problem == f"{file}: Is a directory"
    assert ledger.names == {WEB: "web"}
    assert [path.name for path in file.parent.iterdir()] == ["ipvs-services.json"]
    file.rmdir()
    ledger.enter({})
    assert ledger.problem == ""
    assert Ledger(file).names == {WEB: "web"}


def test_dry_run_reads_the_ledger_and_never_writes_it(file: Path) -> None:
    Ledger(file).enter(NAMES)
    dry = Ledger(file, dry_run=True)
    dry.strike([WEB])
    assert WEB not in dry.names
    assert Ledger(file).names == NAMES


def test_ledger_without_a_file_is_kept_in_memory() -> None:
    ledger = Ledger()
    ledger.enter(NAMES)
    assert (ledger.names, ledger.problem) == (NAMES, "")
