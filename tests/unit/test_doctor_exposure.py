"""The rules about secrets, endpoints and commands that others can reach, and the facts that they need."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pybal.config.parse import ParsedConfig, parse
from pybal.doctor.access import gather_access
from pybal.doctor.exposure import exposures, findings
from pybal.doctor.finding import Finding, Grade
from pybal.doctor.host import Access, FileAccess
from pybal.monitors.kinds import KINDS

CONF = """\
[global]
instrumentation = yes
instrumentation_ips = {ips}
control-group = {group}

[http h]
token-file = {token}

[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
config = https://h/pool

[api]
protocol = tcp
ip = 192.0.2.1
port = 81
scheduler = wrr
config = https://user:word@other/pool
"""
PRIVATE = FileAccess(0o100600, 0)


def parsed(ips: str = "127.0.0.1", group: str = "", token: str = "/token") -> ParsedConfig:
    return parse(CONF.format(ips=ips, group=group, token=token), "/etc/pybal.conf", KINDS)


def found(of: ParsedConfig, access: Access) -> list[str]:
    return [str(each.problem) for each in exposures(of.sensitive, of.settings, access)]


def with_token(file: FileAccess) -> Access:
    return Access({"/token": file, "/etc/pybal.conf": PRIVATE}, groups=frozenset((0, 117)))


@pytest.mark.parametrize(
    ("file", "readers"),
    [
        (FileAccess(0o100644, 0), "every user (mode 644)"),
        (FileAccess(0o100604, 117), "every user (mode 604)"),
        (FileAccess(0o100640, 4), "group 4 (mode 640)"),
        (FileAccess(0o100644, 4, reached=False), "group 4 (mode 644)"),
    ],
)
def test_secret_that_others_can_read_is_named_with_its_file(file: FileAccess, readers: str) -> None:
    (line,) = found(parsed(), with_token(file))
    assert line == (
        f"/etc/pybal.conf:7: [http h] token-file: /token readable by {readers}; the secret is known to them"
        " (chmod 640 /token, and if the daemon does not run as root chgrp pybal /token)"
    )


@pytest.mark.parametrize(
    "file",
    [
        FileAccess(0o100600, 0),
        FileAccess(0o100640, 0),
        FileAccess(0o100640, 117),
        FileAccess(0o100622, 4),
        FileAccess(0o100644, 4, reached=False, reached_by_group=False),
    ],
)
def test_secret_that_only_the_daemon_can_read_is_no_exposure(file: FileAccess) -> None:
    assert found(parsed(), with_token(file)) == []


def test_configuration_with_a_secret_that_others_can_read_is_named() -> None:
    access = Access({"/etc/pybal.conf": FileAccess(0o100644, 0)}, groups=frozenset((0,)))
    (line,) = found(parsed(), access)
    assert line.startswith("/etc/pybal.conf:21: [api] config: secret in this file readable by every user (mode 644)")


def test_configuration_that_others_can_write_is_named() -> None:
    access = Access({"/etc/pybal.conf": FileAccess(0o100620, 4)}, groups=frozenset((0,)))
    (line,) = found(parsed(), access)
    assert line == (
        "/etc/pybal.conf: this file writable by group 4 (mode 620); a reload runs the commands that they write into it"
        " (chmod go-w /etc/pybal.conf)"
    )


@pytest.mark.parametrize(
    ("ips", "public"),
    [
        ("['127.0.0.1', '8.8.8.8', '2600::1']", "8.8.8.8, 2600::1"),
        ("0.0.0.0", "9.9.9.9 (by 0.0.0.0)"),
        ("::", "2a00::1 (by ::), 9.9.9.9 (by ::)"),
    ],
)
def test_endpoint_on_a_public_address_is_named(ips: str, public: str) -> None:
    ours = frozenset(map(ip_address, ("127.0.0.1", "10.0.0.1", "9.9.9.9", "2a00::1", "fd00::1")))
    (line,) = found(parsed(ips), Access({}, frozenset(), addresses=ours))
    assert line.startswith(
        f"/etc/pybal.conf:3: [global] instrumentation_ips: port 9090 open on public addresses: {public};"
    )


@pytest.mark.parametrize("ips", ["['127.0.0.1', '10.0.0.1', 'fd00::1', '100.64.0.1']", "0.0.0.0"])
def test_endpoint_on_private_addresses_is_no_exposure(ips: str) -> None:
    ours = frozenset(map(ip_address, ("127.0.0.1", "10.0.0.1")))
    assert found(parsed(ips), Access({}, frozenset(), addresses=ours)) == []


def test_control_group_with_many_members_is_named() -> None:
    names = {f"user{number:02}" for number in range(11)}
    (line,) = found(parsed(group="staff"), Access({}, frozenset(), members=frozenset(names)))
    assert line.startswith(
        "/etc/pybal.conf:4: [global] control-group: group staff has 11 members (user00, user01, user02 and 8 more);"
    )
    assert found(parsed(group="staff"), Access({}, frozenset(), members=frozenset(names - {"user00"}))) == []


def test_exposures_of_one_option_are_different_findings() -> None:
    text = CONF.format(ips="127.0.0.1", group="", token="/token").replace("https://h/", "http://h/")
    of = parse(text, "f", KINDS)
    shown = findings(of.sensitive, of.settings, with_token(FileAccess(0o100644, 0)))
    assert [each.about for each in shown] == ["f:7: [http h] token-file: secret", "f:7: [http h] token-file: /token"]
    assert {each.grade for each in shown} == {Grade.WARN}


def test_configuration_without_exposures_is_a_good_finding() -> None:
    of = parsed()
    assert findings(of.sensitive, of.settings, with_token(PRIVATE)) == (
        Finding("exposure", Grade.OK, "none; 2 secrets"),
    )


# The facts.


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that every user can enter; each session of pytest makes its own ones private."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def token(open_path: Path) -> Path:
    tmp_path = open_path
    (tmp_path / "private").mkdir(mode=0o755)
    file = tmp_path / "private/token"
    file.write_text("word\n")
    return file


def readers(token: Path) -> list[str]:
    of = parsed(token=str(token))
    return found(of, gather_access(of.sensitive, of.settings))


def test_mode_of_a_secret_file_is_read_again(token: Path) -> None:
    token.chmod(0o644)
    assert len(readers(token)) == 1
    token.chmod(0o600)
    assert readers(token) == []


def test_secret_in_a_private_directory_is_no_exposure(token: Path) -> None:
    token.chmod(0o644)
    token.parent.chmod(0o700)
    assert readers(token) == []


def test_link_to_a_secret_file_is_followed(token: Path, tmp_path: Path) -> None:
    token.chmod(0o644)
    (tmp_path / "closed").mkdir(mode=0o700)
    link = tmp_path / "closed/link"
    link.symlink_to(token)
    assert len(readers(link)) == 1


@pytest.mark.parametrize("kind", ["absent", "loop", "fifo", "socket"])
def test_file_that_is_no_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    file = tmp_path / kind
    make: dict[str, Callable[[], object]] = {
        "absent": lambda: None,
        "loop": lambda: file.symlink_to(file),
        "fifo": partial(os.mkfifo, file, 0o600),
        "socket": lambda: socket.socket(socket.AF_UNIX).bind(str(file)),
    }
    make[kind]()
    assert isinstance(readers(file), list)


def test_daemons_group_may_read_a_secret(token: Path, tmp_path: Path) -> None:
    token.chmod(0o640)
    os.chown(token, -1, 4242)
    (tmp_path / "7").mkdir()
    (tmp_path / "7/status").write_text("Name:\tpybal\nGid:\t4241\t4241\t4241\t4241\nGroups:\t4242 4243 \n")
    of = parsed(token=str(token))
    assert found(of, gather_access(of.sensitive, of.settings, process=7, proc=tmp_path)) == []
    assert len(found(of, gather_access(of.sensitive, of.settings, process=8, proc=tmp_path))) == 1


def test_members_of_a_group_include_users_whose_primary_group_it_is(tmp_path: Path) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_text("alice:x:1000:1::/:/bin/sh\nbob:x:1001:2::/:/bin/sh\nbroken\n")
    of = parsed(group="1")
    assert "alice" in gather_access(of.sensitive, of.settings, passwd=passwd).members
    assert "bob" not in gather_access(of.sensitive, of.settings, passwd=passwd).members
    unknown = parsed(group="no-such-group")
    assert gather_access(unknown.sensitive, unknown.settings).members == frozenset()
