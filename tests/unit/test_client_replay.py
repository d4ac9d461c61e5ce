"""`pybal replay`: the summary of a journal, and the explanation of a moment."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pybal.cli import main
from pybal.client import replay
from pybal.core.events import Gathered, Reconfigured, Reported
from pybal.core.model import Alert, Member, Report, SuspectCheck
from pybal.journal.reader import JournalError, Reader
from tests.harness.journaled_pool import JournaledPool
from tests.harness.pool_events import M, N, down, listed, moved, off, resolved, service, up

LOSS = (
    "  web: 2026-11-30T08:00:01.000Z to the end of the journal (3 s): 3 of 4 servers down (a, b, c), ProxyFetch connect: refused;"
    " at worst 1 of 2 pooled servers served, servers forced for 1 s, at most 1"
)
NO_BGP = "BGP: off, the journal has no decision on announcements"


@pytest.fixture(name="journal")
def make_journal(tmp_path: Path) -> Path:
    """Record three servers of four that fail one after the other, a second apart."""
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    for host in "abc":
        recorded.clock.advance(1.0)
        recorded.happen(Gathered([down(host)]))
    recorded.stop()
    return recorded.directory


@pytest.mark.parametrize("large", [replay.LARGE, 0])
def test_replay_prints_summary_and_succeeds(
    journal: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(replay, "LARGE", large)
    assert main(["replay", str(journal)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Journal of lvs1, pybal 2.0.0: 2026-11-30T08:00:00.000Z to 2026-11-30T08:00:04.000Z, 1 start, 1 segment",
        "1 service (web), 9 events with 7 reports, 7 changes of placement",
        NO_BGP,
        "Losses, the worst for clients first",
        LOSS,
        "The replay made every decision as recorded",
    ]


def test_replay_fails_with_the_first_difference(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (segment,) = journal.iterdir()
    segment.write_text(segment.read_text().replace('"placed":{"c":"forced"}', '"placed":{"c":"out"}'))
    assert main(["replay", str(journal)]) == 2
    assert capsys.readouterr().out.splitlines()[-1] == (
        "1 difference; the first is record 11 of web at 2026-11-30T08:00:03.000Z:"
        " placed {'c': 'forced'} and 1 serving, recorded {'c': 'out'} and 1 serving"
    )


def test_fixed_reader_reads_what_was_there(journal: Path) -> None:
    (segment,) = journal.iterdir()
    fixed, text = Reader(journal), segment.read_text()
    assert fixed.fix() == len(text)
    segment.write_text(text + text.splitlines(keepends=True)[-1])
    (journal / "00000002.jsonl").write_text(text)
    assert list(fixed) == list(map(json.loads, text.splitlines()))
    segment.unlink()
    with pytest.raises(JournalError):
        list(fixed)
    assert fixed.problems == ["00000001.jsonl: deleted by the daemon during the reading"]


def test_problem_that_both_processes_find_is_shown_once(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (segment,) = journal.iterdir()
    with segment.open("a") as file:
        file.write('{"n":')
    monkeypatch.setattr(replay, "LARGE", 0)
    reader = Reader(journal)
    replay.checked(reader)
    assert len(reader.problems) == 1


@pytest.mark.parametrize("text", ["", "root:x:0:0:root:/root:/bin/bash\n"])
def test_replay_refuses_a_file_that_is_no_journal(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text(text)
    assert main(["replay", str(tmp_path / "file")]) == 1
    assert "no journal: it has no record" in capsys.readouterr().err


def test_copy_may_be_in_the_directory_of_the_journal(journal: Path) -> None:
    (segment,) = journal.iterdir()
    copy = journal / "00000002.jsonl"
    assert main(["replay", str(journal), "--mask", str(copy)]) == 0
    assert len(copy.read_text().splitlines()) == len(segment.read_text().splitlines())


def test_copy_of_a_damaged_journal_is_removed(journal: Path) -> None:
    (journal / "00000002.jsonl").write_text('{"journal":99}\n')
    for _ in range(2):
        assert main(["replay", str(journal), "--mask", str(journal / "copy")]) == 1
        assert not (journal / "copy").exists()


def test_pipe_is_refused_for_a_moment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert main(["replay", str(tmp_path / "pipe"), "--at", "08:00:00Z", "web"]) == 1
    assert "write it to a file first" in capsys.readouterr().err


def test_other_settings_are_compared_after_a_difference(tmp_path: Path) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.recorder.begin_segment()
    recorded.happen(Gathered([down("a")]))
    recorded.stop()
    last = max(recorded.directory.iterdir())
    last.write_text(last.read_text().replace('"server":"d"', '"server":"f"'))
    assert main(["replay", str(recorded.directory)]) == 2
    assert main(["replay", str(recorded.directory), "--set", "web.depool-threshold=0.9"]) == 0


def test_damage_is_no_traceback(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (segment,) = journal.iterdir()
    lines = segment.read_text().splitlines(keepends=True)
    damaged = [line.replace('"reason"', '"reasons"').replace('"event":"reports"', '"event":{}') for line in lines]
    segment.write_text("".join(damaged))
    for mode in (
        [],
        ["--json"],
        ["--events", "web"],
        ["--at", "08:00:02Z", "web"],
        ["--set", "web.depool-threshold=1"],
    ):
        assert main(["replay", str(journal), *mode]) in {0, 1, 2}


def test_replay_explains_a_moment(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(journal), "--at", "2026-11-30T09:00:02.500+01:00", "web"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        """\
web at 2026-11-30T08:00:02.500Z
web (tcp 192.0.2.1:80): 2 of 4 servers pooled, 2 serving.
Floor: depool-threshold 0.5 x 4 servers = 2; 2 serving: reached.
A server that goes down now stays pooled, forced.
Down: a (not pooled), b (not pooled)
BGP: off, the journal has no decision on announcements
Settings: depool-threshold = 0.5, suspect-check = alert, initial-state = unknown, monitors ProxyFetch, longest interval of checks 10 s, dns-move-wait = 60
Servers
  a 10.0.0.1 weight 10: not pooled, down: ProxyFetch connect: refused, since 2026-11-30T08:00:00.000Z
  b 10.0.0.2 weight 10: not pooled, down: ProxyFetch connect: refused, since 2026-11-30T08:00:00.000Z
  c 10.0.0.3 weight 10: pooled, up
  d 10.0.0.4 weight 10: pooled, up
Last events
"""
    )
    assert printed.endswith(
        """\
  2026-11-30T08:00:01.000Z checks: a ProxyFetch down: connect: refused => a pooled -> not pooled (3 pooled, serving 3 of 4, floor 2, 0 forced)
  2026-11-30T08:00:02.000Z checks: b ProxyFetch down: connect: refused => b pooled -> not pooled (2 pooled, serving 2 of 4, floor 2, 0 forced)
"""
    )


def test_replay_explains_a_moment_as_json(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(journal), "--json", "--at", "2026-11-30T08:00:03.500Z", "web"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["servers"][2] == {
        "host": "c",
        "address": "10.0.0.3",
        "weight": 10,
        "enabled": True,
        "enabled_by": "enabled by the pool source",
        "placement": "forced",
        "held": False,
        "health": "down",
        "down_since": "2026-11-30T08:00:00.000Z",
        "why": "down, but needed to reach the floor: ProxyFetch connect: refused",
    }
    checks, alert = document["events"][-2:]
    assert checks["text"] == (
        "checks: c ProxyFetch down: connect: refused => c pooled -> forced (2 pooled, serving 1 of 4, floor 2, 1 forced)"
    )
    assert checks["changes"] == [{"host": "c", "before": "pooled", "after": "forced"}]
    assert document["alerts"] == [
        {
            "kind": "suspect-check",
            "service": "web",
            "subject": "ProxyFetch ",
            "text": alert["text"].removeprefix("alert suspect-check: "),
            "since": "2026-11-30T08:00:03.000Z",
        }
    ]
    assert document["settings"]["depool_threshold"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--at", "yesterday", "web"], "--at: invalid time 'yesterday' (use 2026-11-30T03:00:00Z"),
        (["--at", "2026-11-30T08:00:02Z", "api"], "no service api in the journal until 2026-11-30T08:00:02.000Z"),
    ],
)
def test_replay_refuses_moment_that_it_cannot_find(
    journal: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(journal), *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"pybal: {reason}")


def test_replay_refuses_directory_without_a_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path)]) == 1
    assert "no journal in this directory (set journal = yes in [global])" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "absent")]) == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_replay_lists_the_events_of_a_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.happen(Gathered([down("a"), down("b")]), listed("acd", Member("e"), Member("d", 5), off("a")))
    recorded.happen(listed(off("a"), "cde"), Reconfigured(service(0.25)))
    recorded.recorder.note("reloaded")
    recorded.stop()
    assert main(["replay", str(recorded.directory), "--events", "web"]) == 0
    begin, *printed = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert begin == "pybal 2.0.0 started"
    assert printed[0] == "first list of 4 servers (0 pooled, serving 0 of 4, floor 2, 0 forced, 4 unknown)"
    assert printed[6:] == [
        "checks: a, b ProxyFetch down: connect: refused => a, b pooled -> not pooled (2 pooled, serving 2 of 4, floor 2, 0 forced)",
        (
            "list of 4 servers: b removed, a disabled by the pool source, d weight 10 -> 5, e added"
            " (2 pooled, serving 2 of 4, floor 2, 0 forced, 1 disabled, 1 unknown)"
        ),
        "list of 4 servers: d weight 5 -> 10 (2 pooled, serving 2 of 4, floor 2, 0 forced, 1 disabled, 1 unknown)",
        "settings: depool-threshold 0.5 -> 0.25 (2 pooled, serving 2 of 4, floor 1, 0 forced, 1 disabled, 1 unknown)",
        "reloaded",
        "pybal stopped",
    ]


def test_replay_lists_events_and_gaps_as_json(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (segment,) = journal.iterdir()
    lines = segment.read_text().splitlines(keepends=True)
    segment.write_text("".join(lines[:-3] + lines[-2:]))
    assert main(["replay", str(journal), "--json", "--events", "web"]) == 0
    *_, gap, stopped = map(json.loads, capsys.readouterr().out.splitlines())
    assert gap["text"] == "Gap: 1 record missing between 2026-11-30T08:00:01.000Z and 2026-11-30T08:00:03.000Z"
    assert stopped == {
        "time": "2026-11-30T08:00:04.000Z",
        "service": "",
        "text": "pybal stopped",
        "event": "stop",
    }


def test_replay_refuses_events_of_an_unknown_service(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(journal), "--events", "api"]) == 1
    assert capsys.readouterr() == ("", "pybal: no service api in the journal (services: web)\n")


def test_edit_of_a_list_is_no_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.happen(listed("a", off("b"), off("c"), "d"))
    recorded.stop()
    assert main(["replay", str(recorded.directory)]) == 0
    assert "Losses" not in capsys.readouterr().out


def test_forced_time_counts_servers_forced_before_the_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = JournaledPool(tmp_path, 40_000)
    recorded.begin()
    recorded.happen(Gathered([down("a"), down("b"), down("c")]))
    recorded.recorder.begin_segment()
    recorded.clock.advance(30.0)
    recorded.happen(Gathered([up("a")]))
    recorded.stop()
    assert main(["replay", str(max(recorded.directory.iterdir()))]) == 0
    assert "at worst 1 of 2 pooled servers served, servers forced for 30 s, at most 1" in capsys.readouterr().out


def summary(directory: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of the losses."""
    assert main(["replay", str(directory)]) == 0
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]


def test_loss_ends_when_its_servers_are_up_or_disabled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.clock.advance(100.0)
    recorded.happen(Gathered([down("a"), down("b")]))
    recorded.clock.advance(5.0)
    recorded.happen(listed("abc", Member("d", 5)), Gathered([up("a")]))
    recorded.clock.advance(5.0)
    recorded.happen(listed("a", off("b"), "cd"))
    recorded.clock.advance(5.0)
    recorded.stop()
    assert summary(recorded.directory, capsys) == [
        (
            "  web: 2026-11-30T08:01:40.000Z to 08:01:50.000Z (10 s): 2 of 4 servers down (a, b), ProxyFetch connect: refused;"
            " at worst 2 of 2 pooled servers served"
        )
    ]


def test_later_failure_is_another_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.happen(listed(off("a"), "bcd"), Gathered([down("b")]))
    recorded.clock.advance(100.0)
    recorded.happen(Gathered([down("c", reason="status: HTTP 500, wanted 200")]))
    recorded.clock.advance(5.0)
    recorded.happen(Gathered([up("c")]))
    recorded.stop()
    assert summary(recorded.directory, capsys) == [
        (
            "  web: 2026-11-30T08:01:40.000Z to 08:01:45.000Z (5 s): 1 of 4 servers down (c), ProxyFetch status: HTTP 500, wanted 200;"
            " at worst 1 of 2 pooled servers served, servers forced for 5 s, at most 1;"
            " before it no more servers could be depooled, 1 disabled by the pool source (a)"
        ),
        (
            "  web: 2026-11-30T08:00:00.000Z to the end of the journal (106 s): 1 of 4 servers down (b), ProxyFetch connect: refused;"
            " at worst 2 of 2 pooled servers served; before it 1 disabled by the pool source (a)"
        ),
    ]


def test_flapping_servers_are_one_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    for _ in range(3):
        recorded.clock.advance(10.0)
        recorded.happen(Gathered([down("a")]))
        recorded.clock.advance(10.0)
        recorded.happen(Gathered([up("a")]))
    recorded.stop()
    (loss,) = summary(recorded.directory, capsys)
    assert "(50 s): 1 of 4 servers down (a), 3 failures, ProxyFetch connect: refused;" in loss


def test_server_that_was_never_up_is_down_at_the_first_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.happen(listed("ab"), resolved("ab"), down("a"), up("b"))
    recorded.stop()
    (loss,) = summary(recorded.directory, capsys)
    assert loss.startswith(
        "  web: down at the first check, 2026-11-30T08:00:00.000Z to the end of the journal (1 s): 1 of 2"
    )


def test_loss_of_names_is_a_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.happen(moved(a=None))
    recorded.stop()
    (loss,) = summary(recorded.directory, capsys)
    assert "1 of 4 servers down (a), host name has no address" in loss


def test_losses_as_json_name_all_servers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.happen(listed("abcdefgh"), resolved("abcdefgh"), *map(up, "abcdefgh"))
    recorded.happen(Gathered(list(map(down, "abcdefg"))))
    recorded.stop()
    assert main(["replay", str(recorded.directory), "--json"]) == 0
    (loss,) = json.loads(capsys.readouterr().out)["losses"]
    assert (loss["servers"], loss["most_down"], loss["end"]) == (list("abcdefg"), 7, None)
    assert loss["reasons"] == {"ProxyFetch connect: refused": list("abcdefg")}
    assert loss["worst"] == {"serving": 1, "pooled": 4}


def test_events_tell_forced_servers_from_pooled_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.happen(Gathered(list(map(down, "abcd"))), Gathered([up("c")]), Gathered([up("a")]))
    recorded.stop()
    assert main(["replay", str(recorded.directory), "--events", "web"]) == 0
    printed = capsys.readouterr().out
    assert "checks: c ProxyFetch up => c forced -> pooled (2 pooled, serving 1 of 4, floor 2, 1 forced)" in printed
    assert "checks: a ProxyFetch up => a not pooled -> pooled; d forced -> not pooled (floor reached)" in printed
    assert (
        'alert suspect-check: 4 of 4 servers began to fail ProxyFetch with "connect: refused" within 1 s'
        " (suspect-check = alert: an alert only)" in printed
    )
    assert "alert suspect-check ended: ProxyFetch \n" in printed


TIME = "2026-11-30T08:00:"


def events(recorded: JournaledPool, capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    """Return the events of the service web, their times without the date and the hour."""
    assert main(["replay", str(recorded.directory), "--events", "web", *more]) == 0
    return [line.removeprefix(TIME) for line in capsys.readouterr().out.splitlines()]


def moment(
    journal: Path, second: str, capsys: pytest.CaptureFixture[str], *, service: str = "web"
) -> tuple[list[str], list[str]]:
    """Return the alerts and the last events of a service at a second."""
    assert main(["replay", str(journal), "--at", f"{TIME}{second}Z", service]) == 0
    state, _, last = capsys.readouterr().out.partition("Last events\n")
    alerts = [line.removeprefix("Alert ") for line in state.splitlines() if line.startswith("Alert ")]
    return alerts, [line.strip().removeprefix(TIME) for line in last.splitlines()]


def suspect(monitor: str, reason: str, servers: int = 4) -> str:
    """Return the alert about failures of servers of four that began at the same time."""
    return (
        f'{servers} of 4 servers began to fail {monitor} with "{reason}" within 1 s'
        " (suspect-check = alert: an alert only)"
    )


def test_events_name_each_check_that_becomes_suspect_and_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = JournaledPool(tmp_path, monitors=(M, N))
    recorded.happen(listed("abcd"), resolved("abcd"), *(up(host, each) for host in "abcd" for each in (M, N)))
    for monitor, text in ((M, "connect: refused"), (N, "closed")):
        recorded.clock.advance(1.0)
        failed = Report(False, text, recorded.clock.seconds(), text)
        recorded.happen(Gathered([Reported(host, monitor, failed) for host in "abcd"]))
    for monitor in (M, N):
        recorded.clock.advance(1.0)
        recorded.happen(Gathered([up(host, monitor) for host in "abcd"]))
    recorded.stop()
    assert [line for line in events(recorded, capsys) if "alert" in line] == [
        f"01.000Z alert suspect-check: {suspect('ProxyFetch', 'connect: refused')}",
        f"02.000Z alert suspect-check: {suspect('IdleConnection', 'closed')}",
        "03.000Z alert suspect-check ended: ProxyFetch connect: refused",
        "04.000Z alert suspect-check ended: IdleConnection closed",
    ]
    assert moment(recorded.directory, "03.500", capsys)[0] == [
        f"suspect-check since {TIME}02.000Z: {suspect('IdleConnection', 'closed')}"
    ]


def test_moment_shows_suspect_check_among_the_last_events(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = suspect("ProxyFetch", "connect: refused", 3)
    assert moment(journal, "02.500", capsys)[0] == []
    alerts, last = moment(journal, "03.500", capsys)
    assert alerts == [f"suspect-check since {TIME}03.000Z: {text}"]
    assert last[-1] == f"03.000Z alert suspect-check: {text}"


def test_moment_shows_starts_and_notes_among_the_last_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.happen(listed("a"))
    recorded.recorder.note("No response from any of 12 hosts in 4 services for 3 s")
    recorded.stop()
    assert moment(recorded.directory, "00.500", capsys)[1] == [
        "00.000Z pybal 2.0.0 started",
        "00.000Z first list of 1 server (0 pooled, serving 0 of 1, floor 1, 0 forced, 1 unknown)",
        "00.000Z No response from any of 12 hosts in 4 services for 3 s",
    ]


REFUSED = Alert("web", "source", "file:///web: refused an empty server list")
UNREAD = Alert("web", "source", "file:///web: no such file")
LOST = Alert("", "bgp", "session down for 1 s", subject="192.0.2.9")


def test_events_and_moments_show_the_recorded_alerts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    for alert in (REFUSED, UNREAD, UNREAD, LOST, Alert("api", "source", "file:///api: no such file")):
        recorded.clock.advance(1.0)
        recorded.recorder.alert(alert)
    recorded.clock.advance(1.0)
    recorded.recorder.see_alerts([LOST], recorded.clock.seconds())
    recorded.stop()
    assert events(recorded, capsys)[-5:] == [
        "01.000Z alert source: file:///web: refused an empty server list",
        "02.000Z alert source: file:///web: no such file",
        "04.000Z alert bgp: session down for 1 s",
        "06.000Z alert source ended",
        "07.000Z pybal stopped",
    ]
    present = [
        f"source since {TIME}01.000Z: file:///web: no such file",
        f"bgp since {TIME}04.000Z: session down for 1 s",
    ]
    assert moment(recorded.directory, "05.500", capsys)[0] == present
    assert moment(recorded.directory, "06.500", capsys)[0] == present[1:]


def test_look_records_alerts_that_no_record_implies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.recorder.see_alerts([Alert("web", "down", "a"), LOST], 0.0)
    recorded.clock.advance(5.0)
    recorded.recorder.alert(REFUSED)  # while the look is in progress
    recorded.recorder.see_alerts([replace(LOST, text="session down for 6 s")], 4.0)
    recorded.stop()
    assert [line for line in events(recorded, capsys) if "alert" in line] == [
        "00.000Z alert bgp: session down for 1 s",
        "05.000Z alert source: file:///web: refused an empty server list",
    ]


def test_each_segment_has_the_present_alerts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.recorder.alert(REFUSED)
    recorded.clock.advance(1.0)
    recorded.recorder.begin_segment()
    recorded.happen(Gathered([down("a")]))
    recorded.stop()
    assert [line for line in events(recorded, capsys) if "alert" in line] == [f"00.000Z alert source: {REFUSED.text}"]
    first, last = sorted(recorded.directory.iterdir())
    first.unlink()
    assert moment(last, "01.500", capsys)[0] == [f"source since {TIME}00.000Z: {REFUSED.text}"]


def test_restart_ends_the_recorded_alerts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = JournaledPool(tmp_path), JournaledPool(tmp_path)
    before.begin()
    before.recorder.alert(REFUSED)
    before.stop()
    after.clock.advance(10.0)
    after.begin()
    after.stop()
    assert moment(after.directory, "00.500", capsys)[0] == [f"source since {TIME}00.000Z: {REFUSED.text}"]
    assert moment(after.directory, "10.500", capsys)[0] == []


def test_events_name_the_removal_of_a_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.tape.end()
    recorded.stop()
    assert events(recorded, capsys)[-2:] == ["00.000Z service removed", "01.000Z pybal stopped"]


def test_events_name_servers_that_are_held(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path, suspect_check=SuspectCheck.HOLD)
    recorded.begin()
    recorded.happen(Gathered(list(map(down, "abcd"))))
    recorded.stop()
    assert main(["replay", str(recorded.directory), "--events", "web"]) == 0
    assert (
        "=> a, b, c, d pooled -> held (4 pooled, serving 0 of 4, floor 2, 0 forced, 4 held)" in capsys.readouterr().out
    )


def test_first_list_names_disabled_servers_and_who_disabled_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.happen(listed("a", off("b"), Member("c", enabled=False, overridden=True), Member("d", 0)))
    recorded.stop()
    assert main(["replay", str(recorded.directory), "--events", "web", "--json"]) == 0
    event = next(each for each in map(json.loads, capsys.readouterr().out.splitlines()) if each["event"] == "list")
    assert event["text"].startswith(
        "first list of 4 servers: b disabled by the pool source, c depooled by an operator on this balancer, d weight 0 ("
    )
    assert event["edits"][0] == {"host": "b", "edit": "disabled by the pool source"}
    assert event["pool"]["disabled"] == 2


def test_events_of_several_services_are_listed_together(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(journal), "--events", "web", "--events", "api"]) == 1
    output = capsys.readouterr()
    assert "2026-11-30T08:00:01.000Z web: checks: a" in output.out
    assert output.err == "pybal: no service api in the journal (services: web)\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--set", "web.depool-threshold=1", "--events", "web"], "--set/--conf and --events cannot be combined"),
        (["--events", "web", "--at", "08:00:01Z", "web"], "--events and --at cannot be combined"),
        (["--at", "2026-11-30T08:00:02Z", "api"], "no service api in the journal until 2026-11-30T08:00:02.000Z"),
        (
            ["--at", "2026-11-30T07:59:00Z", "web"],
            "2026-11-30T07:59:00.000Z is outside of the journal, which has 2026-11-30T08:00",
        ),
        (
            ["--at", "2026-11-30T08:00:09Z", "web"],
            "2026-11-30T08:00:09.000Z is outside of the journal, which has 2026-11-30T08:00",
        ),
        (
            ["--at", "09:00:00Z", "web"],
            "2026-11-30T09:00:00.000Z is outside of the journal, which has 2026-11-30T08:00",
        ),
    ],
)
def test_replay_refuses_what_it_would_ignore(
    journal: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(journal), *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"pybal: {reason}")


def test_option_that_is_given_twice_is_refused(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["replay", str(journal), "--at", "08:00:01Z", "web", "--at", "08:00:02Z", "web"])
    assert left.value.code == 1
    assert "--at is given twice" in capsys.readouterr().err


def test_time_of_day_is_enough_for_a_journal_of_one_day(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(journal), "--at", "08:00:02.500Z", "web"]) == 0
    assert capsys.readouterr().out.startswith("web at 2026-11-30T08:00:02.500Z\n")


def test_time_of_day_that_two_days_have_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.clock.advance(86400.0)
    recorded.happen(Gathered([down("a")]))
    recorded.stop()
    assert main(["replay", str(recorded.directory), "--at", "08:00:00Z", "web"]) == 1
    assert "--at: 08:00:00Z is on several days of the journal" in capsys.readouterr().err
    assert main(["replay", str(recorded.directory), "--at", "07:00:00Z", "web"]) == 0


def test_moment_after_the_last_record_of_a_running_daemon_is_remarked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = JournaledPool(tmp_path)
    recorded.begin()
    recorded.pass_time()
    recorded.wait(lambda: recorded.is_written)
    assert main(["replay", str(recorded.directory), "--at", "2026-11-30T08:05:00Z", "web"]) == 0
    recorded.stop()
    assert capsys.readouterr().out.splitlines()[1] == (
        "Note: the last record is of 2026-11-30T08:00:00.000Z, 5 min before: unchanged since if pybal still ran"
    )
