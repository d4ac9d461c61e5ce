"""Each activity that stops and each state that becomes stale is an alert, in the documented time.

The tables of docs/alerts.md are the declaration: each row is tried in a running daemon on a Clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from types import MappingProxyType

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pybal.checks.engine import Engine
from pybal.config.settings import BGPSettings, PeerSettings
from pybal.resolve import Resolver
from pybal.runtime.activities import Activities
from pybal.runtime.activity import HUNG_SECONDS, LATE_SECONDS, Activity
from tests.harness.app_on_clock import AppOnClock, app_on_clock
from tests.harness.fake_exabgp import SpeakerHarness

ROOT = Path(__file__).parents[2]
ROUNDING = 6.0
"""Seconds until the next look at all alerts."""


def table(heading: str) -> Mapping[str, Mapping[str, float]]:
    """Return for each row of a table its alerts and their times, such as ``stalled`` and 30 s."""
    section = (ROOT / "docs/alerts.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = {}
    for line in section.splitlines():
        if line.startswith("| ") and "---" not in line:
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            pairs = re.findall(r"`([a-z-]+)` ([0-9.]+) s", cells[0])
            rows[name.strip("`")] = {kind: float(seconds) for kind, seconds in pairs}
    return MappingProxyType({name: alerts for name, alerts in rows.items() if name not in {"activity", "state"}})


ACTIVITIES = table("Periodic activities")
STATES = table("Stored states")
ELSEWHERE = frozenset(("heartbeat to ExaBGP",))


def stop(app: AppOnClock, name: str) -> None:
    """Lose the present call of an activity, and all further ones."""
    app.reactor.lose(lambda call: isinstance(owner := getattr(call, "__self__", None), Activity) and owner.name == name)


def general(name: str) -> str:
    return re.sub(r"\bweb$", "SERVICE", name)


def test_table_has_every_activity_of_a_daemon(tmp_path: Path) -> None:
    with app_on_clock(tmp_path) as app:
        names = {general(activity.name) for activity in app.reactor.activities}
    assert names == ACTIVITIES.keys() - ELSEWHERE


@pytest.mark.parametrize("name", sorted(ACTIVITIES.keys() - ELSEWHERE))
def test_activity_that_stops_is_an_alert_in_time(name: str, tmp_path: Path) -> None:
    with app_on_clock(tmp_path) as app:
        (activity, *_) = (each for each in app.reactor.activities if general(each.name) == name)
        assert isinstance(activity, Activity)
        before = app.kinds()
        stop(app, activity.name)
        activity.wake()
        for kind, seconds in sorted(ACTIVITIES[name].items(), key=lambda each: each[1]):
            assert kind not in before
            app.wait(lambda kind=kind: kind in app.kinds(), seconds + ROUNDING)  # type: ignore[misc]
        stalled = [alert for alert in app.alerts() if alert["kind"] == "stalled"]
        assert {alert["subject"] for alert in stalled} == {activity.name}


def test_heartbeat_to_exabgp_that_stops_is_an_alert(tmp_path: Path) -> None:
    peer = PeerSettings(ip_address("192.0.2.9"), 64601, router_id=IPv4Address("192.0.2.1"))
    harness = SpeakerHarness(BGPSettings((peer,)), tmp_path)
    (heartbeat,) = ELSEWHERE
    assert [activity.name for activity in harness.reactor.activities] == [heartbeat]


def test_call_without_a_result_is_an_alert() -> None:
    clock = Clock()
    activities = clock.activities = Activities()  # type: ignore[attr-defined]  # as of the daemon's reactor
    asking = Activity("ask", Deferred, clock, interval=5.0)
    asking.start(now=True)
    clock.advance(HUNG_SECONDS)
    assert list(activities.alerts()) == []
    clock.advance(1.0)
    (alert,) = activities.alerts()
    assert (alert.kind, alert.text) == ("stalled", "ask: no result for 61 s; restart pybal if this lasts")
    asking.stop()
    assert list(activities.alerts()) == []


def test_call_that_is_made_in_time_is_no_alert() -> None:
    clock = Clock()
    activities = clock.activities = Activities()  # type: ignore[attr-defined]  # as of the daemon's reactor
    beat = Activity("beat", lambda: None, clock, interval=300.0)
    woken = Activity("woken", lambda: None, clock)
    beat.start()
    woken.wake()
    for _ in range(20):
        clock.advance(LATE_SECONDS)
        assert list(activities.alerts()) == []
    del woken
    assert [activity.name for activity in activities] == ["beat"]


def test_activity_is_not_late_while_the_loop_is() -> None:
    clock = Clock()
    activities = clock.activities = Activities()  # type: ignore[attr-defined]  # as of the daemon's reactor
    beat = Activity("beat", lambda: None, clock, interval=1.0)
    asking = Activity("ask", Deferred, clock, interval=1.0)
    beat.start()
    asking.start(now=True)
    activities.reached = clock.rightNow
    clock.rightNow += 2 * HUNG_SECONDS  # the process was stopped
    assert list(activities.alerts()) == []
    activities.reached = clock.rightNow
    assert {alert.subject for alert in activities.alerts()} == {"beat", "ask"}


def lose_reads(app: AppOnClock) -> None:
    stop(app, "poll of pool files")


def lose_lookups(app: AppOnClock) -> None:
    app.reactor.lose(lambda call: isinstance(getattr(call, "__self__", None), Resolver))


def lose_checks(app: AppOnClock) -> None:
    app.reactor.lose(lambda call: isinstance(getattr(call, "__self__", None), Engine))


def lose_audits(app: AppOnClock) -> None:
    stop(app, "IPVS audit")


def edit_configuration(app: AppOnClock) -> None:
    app.file.write_text(app.file.read_text() + "# edited\n")


STALE: Mapping[str, Callable[[AppOnClock], None]] = MappingProxyType(
    {
        "the last list of a pool source": lose_reads,
        "addresses of names": lose_lookups,
        "last result of each monitor": lose_checks,
        "the kernel's table as last read": lose_audits,
        "loaded configuration": edit_configuration,
    }
)


ELSEWHERE_STATES: Mapping[str, str] = MappingProxyType(
    {
        "ownership ledger": "tests/unit/test_faults_injected.py",
        "saved drains": "tests/unit/test_faults_injected.py",
        "operators' overrides (`pybal depool`)": "tests/unit/test_control_overrides.py",
        "passwords and certificates": "tests/unit/test_runtime_file_values.py",
    }
)
"""States whose alerts have their tests in another file."""


def test_table_has_every_state_with_a_test() -> None:
    assert STALE.keys() | ELSEWHERE_STATES.keys() == STATES.keys()
    assert all("alert" in (ROOT / file).read_text() for file in ELSEWHERE_STATES.values())


@pytest.mark.parametrize("state", STALE)
def test_state_that_becomes_stale_is_an_alert_in_time(state: str, tmp_path: Path) -> None:
    with app_on_clock(tmp_path) as app:
        (kind,) = STATES[state]
        assert kind not in app.kinds()
        STALE[state](app)
        app.wait(lambda: kind in app.kinds(), STATES[state][kind] + ROUNDING)
