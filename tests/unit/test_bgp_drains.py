"""The file of drains: what goes in comes out, and what is not understood is not believed."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.bgp import drains
from pybal.bgp.drains import DrainError
from pybal.bgp.verdict import Drain

VIP = ip_address("192.0.2.1")
V6 = ip_address("2001:db8::1")


def test_what_is_kept_comes_back_as_if_it_began_now_and_the_rest_does_not(tmp_path: Path) -> None:
    file = tmp_path / "drains.json"
    drains.write(
        file,
        [
            Drain(VIP, 5.0, "alice", "new kernel", kept=True),
            Drain(V6, 6.0, "bob", "for a moment"),
            Drain(None, 7.0, "root", "the rack moves", kept=True),
        ],
    )
    assert drains.read(file, 100.0) == {
        VIP: Drain(VIP, 100.0, "alice", "new kernel", kept=True),
        None: Drain(None, 100.0, "root", "the rack moves", kept=True),
    }
    assert [path.name for path in tmp_path.iterdir()] == ["drains.json"]


def test_no_file_is_no_drain(tmp_path: Path) -> None:
    assert drains.read(tmp_path / "drains.json", 0.0) == {}


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "drains.json"
    drains.write(file, [Drain(VIP, 0.0, "alice", "x", kept=True)])
    (tmp_path / f"drains.json.{os.getpid()}.new").mkdir()
    with pytest.raises(DrainError, match=r"drains\.json: Is a directory"):
        drains.write(file, [])
    assert list(drains.read(file, 0.0)) == [VIP]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("[]", "not drains of version 1"),
        ('{"version": 2, "drains": []}', "not drains of version 1"),
        ('{"version": 1, "drains": {}}', "drains are not a list"),
        ('{"version": 1, "drains": [{"vip": null}]}', "a drain without exactly by, reason, vip"),
        ('{"version": 1, "drains": [{"vip": 1, "by": "a", "reason": "b"}]}', "a vip that is neither"),
        ('{"version": 1, "drains": [{"vip": "x", "by": "a", "reason": "b"}]}', "does not appear to be an IPv4"),
        ('{"version": 1, "drains": [{"vip": null, "by": "", "reason": "b"}]}', "who or why is not a line of text"),
        ('{"version": 1, "drains": [{"vip": null, "by": "a\\n", "reason": "b"}]}', "who or why is not a line"),
        (
            '{"version": 1, "drains": [{"vip": null, "by": "a", "reason": "b"}, {"vip": null, "by": "a", "reason": "b"}]}',
            "None twice",
        ),
        ("[" * 100000, "drains.json"),
    ],
)
def test_a_file_that_is_not_wholly_understood_is_refused(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "drains.json"
    file.write_text(text)
    with pytest.raises(DrainError, match=why):
        drains.read(file, 0.0)


@given(text=st.binary(max_size=200))
def test_nothing_else_is_raised_whatever_the_file_holds(text: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("drains") / "drains.json"
    file.write_bytes(text)
    with pytest.raises(DrainError):
        drains.read(file, 0.0)
