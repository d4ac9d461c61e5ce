"""Tables, alerts and the check of Icinga, from documents of the daemon."""

from __future__ import annotations

import io
from typing import Any

import pytest

from pybal.client import views
from pybal.client.terminal import Terminal


class Stream(io.StringIO):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


PLAIN = Terminal(io.StringIO(), {})


def pool(**facts: object) -> dict[str, Any]:
    counts = {"total": 3, "enabled": 3, "up": 3, "unknown": 0, "serving": 3, "pooled": 3, "forced": 0, "floor": 2}
    return {"service": "web", "protocol": "tcp", "vip": "192.0.2.1", "port": 80, "listed": True, **counts, **facts}


def alert(level: str, kind: str, text: str = "text", **facts: object) -> dict[str, Any]:
    return {"level": level, "service": "web", "kind": kind, "text": text, **facts}


def status(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {"services": [pool()], "alerts": list(alerts)}


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "ok"),
        ({"up": 2, "serving": 2}, "1 down"),
        ({"up": 1, "serving": 1, "forced": 1}, "2 down, 1 forced"),
        ({"up": 0, "serving": 0, "forced": 2}, "no server serves: 3 down, 2 forced"),
        ({"enabled": 1, "unknown": 1, "up": 2, "serving": 1}, "1 unknown, 2 disabled"),
        ({"total": 0, "enabled": 0, "up": 0, "serving": 0}, "no server serves"),
        ({"listed": False}, "no server list yet"),
    ],
)
def test_state_of_a_pool_is_never_ok_beside_a_down_server(facts: dict[str, object], state: str) -> None:
    (_, row) = views.pools({"web": pool(**facts)}, PLAIN)
    assert row.endswith(f"  {state}")


@pytest.mark.parametrize(
    "group",
    [
        alert("critical", "not-in-ipvs", data={}),
        {**alert("critical", "not-in-ipvs", data={"services": ["api", "web"]}), "service": ""},
    ],
)
def test_service_that_ipvs_lacks_is_never_ok(group: dict[str, Any]) -> None:
    (_, row) = views.pools({"web": pool()}, PLAIN, [group])
    assert row.endswith("  not in IPVS")
    (_, row, *_) = views.pool({**pool(), "servers": {}}, PLAIN, [group])
    assert row.endswith("  not in IPVS")


def test_table_of_a_terminal_is_coloured_and_fits_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal(Stream(), {"TERM": "xterm"})
    lines = list(views.pools({"web": pool(up=1, serving=1, forced=1)}, terminal))
    assert lines[0].startswith("\x1b[1mSERVICE")
    for line in lines:
        assert len(line.replace("\x1b[1m", "").replace("\x1b[31;1m", "").replace("\x1b[0m", "")) <= 40


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_terminal_without_colours_has_no_escapes(environ: dict[str, str]) -> None:
    terminal = Terminal(Stream(), environ)
    assert "\x1b" not in "".join(views.pools({"web": pool(forced=1)}, terminal))
    assert "\x1b" not in "".join(terminal.lines("CRITICAL web pooled-down: text"))


def test_long_lines_wrap_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    line = "WARNING web source: " + "many words " * 9
    wrapped = list(Terminal(Stream(), {"NO_COLOR": "1"}).lines(line))
    assert len(wrapped) > 3
    assert max(map(len, wrapped)) <= 30
    assert wrapped[1].startswith("    many")
    assert list(PLAIN.lines(line)) == [line]


@pytest.mark.parametrize(
    ("alerts", "code", "first"),
    [
        ([], 0, "OK - 1 service, 3 of 3 servers serve"),
        ([alert("warning", "source")], 1, "WARNING - web source (1 service, 3 of 3 servers serve)"),
        (
            [alert("warning", "source"), alert("critical", "pooled-down", age=12.0)],
            2,
            "CRITICAL - web pooled-down (1 service, 3 of 3 servers serve)",
        ),
        (
            [alert("critical", f"kind{number}") for number in range(5)],
            2,
            "CRITICAL - web kind0; web kind1; web kind2 and 2 more alerts (1 service, 3 of 3 servers serve)",
        ),
    ],
)
def test_check_names_the_worst_alerts_in_its_first_line(alerts: list[dict[str, Any]], code: int, first: str) -> None:
    level, lines = views.check(status(*alerts))
    assert (level, lines[0]) == (code, first)
    assert len(lines) == 1 + len(alerts)


def test_check_escapes_what_icinga_or_a_terminal_would_interpret() -> None:
    _, lines = views.check(status(alert("warning", "source", "a|b\x1b[2J\nc", age=7300.0)))
    assert lines[1] == "WARNING web source: a/b\\x1b[2J\\nc [2 h]"


def test_lines_of_a_table_are_cut_and_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    (line,) = Terminal(Stream(), {"NO_COLOR": "1"}).lines("web      tcp 192.0.2.1:80      3 of 3     yes")
    assert line == "web      tcp 192.0.2.1:80    …"
