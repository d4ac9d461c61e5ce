"""The loaded configuration and the last reload as text, JSON, metrics and alerts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from pybal.config.settings import Settings
from pybal.reload.plan import Outcome
from pybal.reload.render import Configuration, plan_text
from pybal.runtime.clocks import Clocks
from pybal.status import reload
from pybal.status.reload import plan_json
from tests.harness.fake_services import FETCH, IDLE, ONE, DaemonOnClock, web
from tests.harness.snapshots import document

CLOCKS = Clocks(100.0, datetime(2026, 11, 21, 12, 1, 40, tzinfo=UTC))
LOADED = Configuration("/etc/pybal/pybal.conf", "5ca1e", "5ca1e", 10.0)
REFUSED = Outcome(False, 40.0, ("pybal.conf:7: [web] port: found 'x'; expected a number",), ("pybal.conf:9: odd",))


def planned(*after: object, force: bool = True) -> DaemonOnClock:
    daemon = DaemonOnClock(Settings((web(monitors=(FETCH,)), web("other", "192.0.2.2"))))
    daemon.list_all(ONE)
    daemon.report_all()
    assert daemon.reload(Settings(after), force=force).accepted  # type: ignore[arg-type]  # services
    return daemon


def test_plan_lists_ipvsadm_operations_with_reasons() -> None:
    daemon = DaemonOnClock(Settings((web(), web("other", "192.0.2.2"), web("gone", "192.0.2.3"))))
    daemon.list_all(ONE)
    daemon.report_all()
    plan = daemon.plan(
        Settings(
            (
                web(scheduler="mh", monitors=(FETCH, IDLE), depool_threshold=0.75),
                web("other", "192.0.2.2"),
                web("new", "192.0.2.4"),
            ),
            max_blast_radius=0.7,
        )
    )
    assert "".join(plan_text(plan)).splitlines() == [
        "~ max-blast-radius 0.5 -> 0.7",
        "~ service web: scheduler wrr -> mh; depool-threshold 0.5 -> 0.75; monitors + IdleConnection",
        "    -E -t 192.0.2.1:80 -s mh",
        "    starts IdleConnection of 4 servers",
        "+ service new",
        "    -A -t 192.0.2.4:80 -s wrr with the first server list",
        "- service gone",
        *[f"    -e -t 192.0.2.3:80 -r 10.0.0.{n}:80 -g -w 0" for n in (1, 2, 3, 4)],
        "    -D -t 192.0.2.3:80 after 30 s",
        "    stops ProxyFetch of 4 servers",
        "1 of 4 services unchanged",
    ]
    shown = document(plan_json(plan))
    assert shown["empty"] is False
    assert shown["services"][1] == {
        "service": "other",
        "step": "keep",
        "reasons": [],
        "ipvsadm": [],
        "later": [],
        "until": "",
        "started": [],
        "stopped": [],
    }


def test_plan_begins_with_its_refusals() -> None:
    daemon = DaemonOnClock(Settings((web(),)))
    lines = list(plan_text(daemon.plan(Settings((), dry_run=True))))
    assert lines[0] == "refused: dry-run no -> yes: restart pybal to apply it\n"
    assert lines[1].startswith("refused: would remove 1 of 1 services, more than max-blast-radius = 0.5 allows")


def test_empty_plan_is_nothing_to_do() -> None:
    daemon = DaemonOnClock(Settings((web(),)))
    plan = daemon.plan(Settings((web(),)))
    assert "".join(plan_text(plan)) == "nothing to do\n1 of 1 services unchanged\n"
    assert plan.empty


def test_outcome_is_null_before_the_first_reload() -> None:
    assert (
        "".join(reload.text(LOADED, CLOCKS)) == "/etc/pybal/pybal.conf: sha256 5ca1e, loaded 2026-11-21T12:00:10.000Z\n"
    )
    assert reload.json(LOADED, CLOCKS) == {
        "file": "/etc/pybal/pybal.conf",
        "sha256": "5ca1e",
        "loaded": "2026-11-21T12:00:10.000Z",
        "changed": False,
        "last_reload": None,
    }
    assert list(reload.alerts(LOADED)) == []


def test_refused_reload_is_rendered_with_its_problems() -> None:
    changed = replace(LOADED, on_disk="0ther", last=REFUSED, refused=1)
    assert "".join(reload.text(changed, CLOCKS)).splitlines()[1:] == [
        f"/etc/pybal/pybal.conf differs from the loaded configuration; the last reload was refused: {REFUSED.problems[0]}",
        "last reload 2026-11-21T12:00:40.000Z: refused",
        "  pybal.conf:7: [web] port: found 'x'; expected a number",
        "  warning: pybal.conf:9: odd",
    ]
    (alert,) = reload.alerts(changed)
    assert (alert.service, alert.kind) == ("", "config")
    assert document(reload.json(changed, CLOCKS))["last_reload"] == {
        "time": "2026-11-21T12:00:40.000Z",
        "accepted": False,
        "problems": ["pybal.conf:7: [web] port: found 'x'; expected a number"],
        "warnings": ["pybal.conf:9: odd"],
        "plan": None,
    }


def test_accepted_reload_is_rendered_with_its_steps() -> None:
    daemon = planned(web(scheduler="mh"), web("other", "192.0.2.2"))
    assert "".join(reload.text(daemon.reloader.configuration, CLOCKS)).splitlines()[2:] == [
        "  ~ service web: scheduler wrr -> mh",
        "      -E -t 192.0.2.1:80 -s mh",
    ]


def test_changed_or_missing_file_raises_an_alert() -> None:
    assert [alert.text for alert in reload.alerts(replace(LOADED, on_disk="0ther"))] == [
        "/etc/pybal/pybal.conf differs from the loaded configuration (apply it with: pybal reload)"
    ]
    assert [alert.text for alert in reload.alerts(replace(LOADED, on_disk=""))] == [
        "/etc/pybal/pybal.conf cannot be read; keeping the loaded configuration"
    ]


def test_metrics_count_reloads_by_result() -> None:
    changed = replace(LOADED, on_disk="0ther", last=REFUSED, accepted=2, refused=1)
    values = {
        (family.name, *labels): float(value)
        for family in reload.families(changed, CLOCKS)
        for labels, value in family.series
    }
    assert values == {
        ("pybal_config_info", ("sha256", "5ca1e")): 1.0,
        ("pybal_config_loaded_timestamp_seconds",): 1795262410.0,
        ("pybal_config_changed",): 1.0,
        ("pybal_config_last_reload_successful",): 0.0,
        ("pybal_config_reloads_total", ("result", "accepted")): 2.0,
        ("pybal_config_reloads_total", ("result", "refused")): 1.0,
    }
