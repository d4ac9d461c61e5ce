"""The drains file: kept drains are restored, and an invalid file is refused."""

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


def test_drains_file_restores_kept_drains_only(tmp_path: Path) -> None:
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


def test_missing_file_gives_no_drains(tmp_path: Path) -> None:
    assert drains.read(tmp_path / "drains.json", 0.0) == {}


def test_file_of_another_version_without_drains_gives_no_drains(tmp_path: Path) -> None:
    file = tmp_path / "drains.json"
    file.write_text('{"version": 2, "drains": [], "more": 1}')
    assert drains.read(file, 0.0) == {}


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
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
        ("[]", "not a file of version 1"),
        ('{"version": 2, "drains": [1]}', r"format version 2 instead of 1 .*; not announcing \(correct or remove"),
        ('{"version": 1, "drains": {}}', "'drains' is not a list"),
        ('{"version": 1, "drains": [{"vip": null}]}', "a drain needs exactly the keys by, reason, vip"),
        ('{"version": 1, "drains": [{"vip": 1, "by": "a", "reason": "b"}]}', "'vip' is neither"),
        ('{"version": 1, "drains": [{"vip": "x", "by": "a", "reason": "b"}]}', "does not appear to be an IPv4"),
        (
            '{"version": 1, "drains": [{"vip": null, "by": "", "reason": "b"}]}',
            "'by' and 'reason' must be one line of text",
        ),
        (
            '{"version": 1, "drains": [{"vip": null, "by": "a\\n", "reason": "b"}]}',
            "'by' and 'reason' must be one line",
        ),
        (
            '{"version": 1, "drains": [{"vip": null, "by": "a", "reason": "b"}, {"vip": null, "by": "a", "reason": "b"}]}',
            "duplicate drain of all VIPs",
        ),
        ("[" * 100000, "drains.json"),
    ],
)
def test_invalid_file_is_refused_as_a_whole(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "drains.json"
    file.write_text(text)
    with pytest.raises(DrainError, match=why):
        drains.read(file, 0.0)


@given(text=st.binary(max_size=200))
def test_arbitrary_content_raises_drain_error_only(text: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("drains") / "drains.json"
    file.write_bytes(text)
    with pytest.raises(DrainError):
        drains.read(file, 0.0)
