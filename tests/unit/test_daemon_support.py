"""The settings that are valid, but not supported by this version or this machine."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from pybal.config.settings import BGPSettings, PeerSettings, Settings, SourceSettings
from pybal.daemon.support import absent, absent_group, unsupported
from tests.harness.fake_services import web


def problems(settings: Settings) -> list[str]:
    found = [*unsupported(settings, "f"), *absent(settings, "f"), *absent_group(settings, "f")]
    return list(map(str, found))


def test_missing_group_is_a_problem_without_a_line() -> None:
    assert problems(Settings((), control_group="no-such-group")) == [
        "f: [global] control-group: found 'no-such-group'; expected an existing group"
    ]


@pytest.mark.parametrize(
    ("watchdog", "seconds", "wanted"),
    [
        ("30000000", 30.0, None),
        ("30000000", 31.0, "seconds, at most 30, WatchdogSec of the unit"),
        ("", 60.0, None),
        ("", 61.0, "seconds, at most 60, because no watchdog ends a hung daemon"),
    ],
)
def test_dead_after_is_at_most_the_watchdog(
    monkeypatch: pytest.MonkeyPatch, watchdog: str, seconds: float, wanted: str | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", watchdog)
    bgp = BGPSettings((PeerSettings(ip_address("192.0.2.254"), 64600),), dead_after=seconds)
    text = f"f: [global] bgp-dead-after: found {seconds:g}; expected {wanted}"
    assert problems(Settings((), bgp)) == ([text] if wanted else [])


def test_unknown_scheme_is_a_problem_of_its_service() -> None:
    service = replace(web(), source=SourceSettings("ftp://conf/web"), line=7)
    (problem,) = problems(Settings((service,)))
    assert problem.startswith("f:7: [web] config: found 'ftp://conf/web'; expected a supported scheme: dns+srv, etcd")


def test_settings_that_this_machine_supports_have_no_problem() -> None:
    assert problems(Settings((web(),))) == []


def test_absent_file_leaves_the_settings_supported(tmp_path: Path) -> None:
    peer = PeerSettings(ip_address("192.0.2.254"), 64600, md5_password_file=f"{tmp_path}/none")
    assert list(unsupported(Settings((), BGPSettings((peer,)), control_group="no-such-group"), "f")) == []
