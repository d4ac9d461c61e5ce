"""`pybal replay --mask`: a copy of a journal that names nothing."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from pathlib import Path

import pytest

from pybal.cli import main
from pybal.core.events import Gathered, Listed, Reported, Resolved
from pybal.core.model import Alert, Member, Report
from pybal.journal.mask import Mask, masked
from tests.harness.journaled_pool import JournaledPool

HOSTS = ("cp1001.example.org", "appserver", "192.0.2.77")
REASONS = (
    "connect: refused",
    "redirect: HTTP 302 to https://login.corp.example.org/?next=secret, wanted 200",
    'content: "Welcome, Alice" not found',
    "exit status 3: appserver lacks /srv/secret on db7",
)
NAMES = re.compile(r"cp1001|appserver|192\.0\.2\.|10\.0\.0|corp|Alice|secret|db7|lvs1|\bweb\b|new disk|login")


def copied(directory: Path, out: Path) -> str:
    assert main(["replay", str(directory), "--mask", str(out)]) == 0
    return out.read_text()


def test_copy_has_no_names_and_the_same_decisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.happen(Listed(tuple(map(Member, HOSTS))))
    recorded.happen(Resolved({host: ip_address(f"10.0.0.{n}") for n, host in enumerate(HOSTS, 1)}))
    for reason in REASONS:
        cause = reason.partition(":")[0]
        recorded.happen(Gathered([Reported(host, "ProxyFetch", Report(False, reason, 1.0, cause)) for host in HOSTS]))
    recorded.recorder.note("frozen by alice for 10 min: new disk")
    recorded.recorder.alert(Alert("web", "source", "https://appserver/secret: no response", subject="next"))
    recorded.recorder.alert(Alert("", "host", "192.0.2.77 is missing"))
    recorded.recorder.see_alerts((), 1.0)
    recorded.stop()
    assert NAMES.search((recorded.directory / "00000001.jsonl").read_text())
    text = copied(recorded.directory, tmp_path / "copy.jsonl")
    assert NAMES.findall(text) == []
    alerts = [record for record in map(json.loads, text.splitlines()) if record.get("event") == "alert"]
    assert [(each["kind"], each["service"], each["subject"], each.get("over", False)) for each in alerts] == [
        ("source", "service1", "text2", False),
        ("host", "", "", False),
        ("source", "service1", "text2", True),
        ("host", "", "", True),
    ]
    assert main(["replay", str(recorded.directory)]) == 0
    before = capsys.readouterr().out
    assert main(["replay", str(tmp_path / "copy.jsonl")]) == 0
    after = capsys.readouterr().out
    assert NAMES.findall(after) == []
    # The line of the loss has names.
    assert after.partition("Losses")[0] == before.partition("Losses")[0].replace("lvs1", "balancer").replace(
        "(web)", "(service1)"
    )
    assert after.splitlines()[-1] == before.splitlines()[-1] == "The replay made every decision as recorded"


def test_copy_keeps_the_reasons_that_name_nothing() -> None:
    mask = Mask()
    assert mask.words("connect: refused") == "connect: refused"
    assert mask.words("status: HTTP 500, wanted 200") == "status: HTTP 500, wanted 200"
    assert mask.words("no response from db7 within 5 s") == "no response from name1 within 5 s"


def test_same_name_has_the_same_replacement() -> None:
    mask = Mask()
    assert [mask.host("a.example.org"), mask.host("b"), mask.host("a.example.org")] == [
        "server1.example",
        "server2.example",
        "server1.example",
    ]
    assert [mask.address("10.0.0.1"), mask.address("fd00::1"), mask.host("10.0.0.1")] == [
        "198.18.0.1",
        "2001:db8::2",
        "198.18.0.1",
    ]


def test_record_of_an_unknown_kind_keeps_only_its_number_and_time() -> None:
    record = {"n": 7, "at": 1.5, "time": "2026-11-30T08:00:00.000Z", "event": "later", "host": "cp1001"}
    assert json.dumps(Mask().record(record)) == (
        '{"n": 7, "at": 1.5, "time": "2026-11-30T08:00:00.000Z", "event": "masked"}'
    )


def test_copy_does_not_replace_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.stop()
    (tmp_path / "copy.jsonl").write_text("mine")
    assert main(["replay", str(recorded.directory), "--mask", str(tmp_path / "copy.jsonl")]) == 1
    assert "File exists" in capsys.readouterr().err
    assert (tmp_path / "copy.jsonl").read_text() == "mine"


def test_damaged_record_keeps_its_number_only() -> None:
    record = {"n": 7, "at": 1.0, "time": "2026-11-30T08:00:00Z", "event": "list", "members": ["cp1001"]}
    assert list(masked([record])) == [{"n": 7, "at": 1.0, "time": "2026-11-30T08:00:00Z", "event": "masked"}]
