"""`pybal replay --set` and `--conf`: the decisions of other settings on the recorded events."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pybal.cli import main
from pybal.core.events import Gathered, Reconfigured
from tests.harness.journaled_pool import JournaledPool
from tests.harness.pool_events import down, service, up

CONF = """\
[global]

[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
config = file:///etc/pybal/pools/web
monitors = ['ProxyFetch']
proxyfetch.url = http://www.example.org/
depool-threshold = {threshold}
"""


@pytest.fixture(name="journal")
def make_journal(tmp_path: Path) -> Path:
    """Record three servers of four that fail at 1, 2 and 3 s; one returns at 13 s; the end is at 20 s."""
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    for host in "abc":
        recorded.clock.advance(1.0)
        recorded.happen(Gathered([down(host)]))
    recorded.clock.advance(10.0)
    recorded.happen(Gathered([up("c")]))
    recorded.clock.advance(6.0)
    recorded.stop()
    return recorded.directory


def subjects(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = json.loads(capsys.readouterr().out)["subjects"]
    return found


def test_higher_threshold_keeps_dead_servers_pooled(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(journal), "--json", "--set", "web.depool-threshold=0.75"]) == 0
    web = subjects(capsys)["web"]
    assert web["recorded"] == {
        "fewest_pooled": 2,
        "fewest_serving": 1,
        "of_pooled": 2,
        "most_down_pooled": 1,
        "seconds_down_pooled": 10.0,
        "server_seconds_down_pooled": 10.0,
        "most_held": 0,
        "most_kept_out": 2,
        "seconds_kept_out": pytest.approx(19.0),
        "server_seconds_kept_out": pytest.approx(1 + 2 * 18),
        "seconds_without_server": 0.0,
    }
    # At 2 s the second one must stay, at 3 s the third one; at 13 s only that one is up again.
    assert web["what_if"]["most_down_pooled"] == 2
    assert web["what_if"]["seconds_down_pooled"] == pytest.approx(18.0)
    assert web["what_if"]["server_seconds_down_pooled"] == pytest.approx(1 + 2 * 10 + 7)
    assert web["what_if"]["most_kept_out"] == 1
    assert web["seconds_different"] == pytest.approx(18.0)


def test_comparison_is_printed_with_the_moments_of_its_differences(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(journal), "--set", "web.depool-threshold=0.75"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "web.depool-threshold = 0.75 instead of 0.5"
    assert printed[1].split() == ["RECORDED", "OTHER"]
    assert "  serving of the pooled ones, fewest          1 of 2      1 of 3" in printed
    assert "  2026-11-30T08:00:02.000Z web: b forced instead of not pooled" in printed
    assert "  2026-11-30T08:00:13.000Z web: c equal again" not in printed  # it is down in neither side's pool


def test_equal_settings_make_the_same_decisions(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "draft.conf"
    file.write_text(CONF.format(threshold=0.5))
    same = "These settings would have made the same decisions\n"
    assert main(["replay", str(journal), "--set", "web.depool-threshold=0.5"]) == 0
    assert capsys.readouterr().out == f"web.depool-threshold = 0.5, as recorded\n{same}"
    assert main(["replay", str(journal), "--conf", str(file)]) == 0
    assert capsys.readouterr().out == same


def test_configuration_file_is_compared(journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "draft.conf"
    file.write_text(CONF.format(threshold=0.75))
    assert main(["replay", str(journal), "--json", "--conf", str(file)]) == 0
    assert subjects(capsys)["web"]["what_if"]["most_down_pooled"] == 2


def test_suspect_check_hold_keeps_correlated_failures_pooled(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(journal), "--json", "--set", "web.suspect-check=hold"]) == 0
    web = subjects(capsys)["web"]
    assert (web["what_if"]["most_down_pooled"], web["what_if"]["most_held"]) == (3, 3)
    assert main(["replay", str(journal), "--set", "web.suspect-check=hold"]) == 0
    printed = capsys.readouterr().out
    assert "  2026-11-30T08:00:03.000Z web: a, b held instead of not pooled; c held instead of forced\n" in printed


def test_differences_of_the_first_start_are_kept_apart(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(journal), "--json", "--set", "web.initial-state=up"]) == 0
    found = json.loads(capsys.readouterr().out)
    web = found["subjects"]["web"]
    assert web["recorded"] == web["what_if"]
    assert (found["moments"], [each["text"] for each in found["start_moments"]]) == (
        [],
        ["c, d pooled instead of not pooled", "c equal again", "equal again"],
    )


def test_bgp_options_have_no_effect_without_bgp(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["--set", "web.bgp-withdraw-below=1", "--set", "global.bgp-announce-hold=5"]
    assert main(["replay", str(journal), *changes]) == 0
    assert capsys.readouterr().out == (
        "web.bgp-withdraw-below, global.bgp-announce-hold: no effect, because BGP is off in this journal\n"
        "These settings would have made the same decisions\n"
    )


def test_other_settings_stay_after_a_reload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.happen(Reconfigured(service(0.25)))
    recorded.happen(*map(down, "abc"))
    recorded.stop()
    assert main(["replay", str(recorded.directory), "--json", "--set", "web.depool-threshold=1"]) == 0
    web = subjects(capsys)["web"]
    assert (web["recorded"]["most_down_pooled"], web["what_if"]["most_down_pooled"]) == (0, 3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("web.proxyfetch.url=http://a/", "web.proxyfetch.url: not an option that changes a decision"),
        ("web.dns-move-wait=5", "web.dns-move-wait: not an option that changes a decision"),
        ("global.suspect-self=off", "global.suspect-self: not an option that changes a decision"),
        ("web.depool-threshold=70", "web.depool-threshold: found"),
        ("api.depool-threshold=0.7", "no service api in the journal (services: web)"),
        ("depool-threshold", "invalid change 'depool-threshold' (use SERVICE.OPTION=VALUE"),
    ],
)
def test_change_without_an_effect_on_decisions_is_refused(
    journal: Path, change: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(journal), "--set", change]) == 1
    assert capsys.readouterr().err.startswith(f"pybal: {reason}")


def test_invalid_configuration_is_refused(journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "draft.conf"
    file.write_text(CONF.format(threshold=7))
    assert main(["replay", str(journal), "--conf", str(file)]) == 1
    assert "depool-threshold" in capsys.readouterr().err
