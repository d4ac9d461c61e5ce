"""The journal of a running daemon: lists, addresses, checks and announcements, and no secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybal.cli import main
from pybal.journal.reader import Reader
from pybal.journal.replay import replayed
from tests.harness.app_on_clock import app_on_clock


def test_replay_makes_the_decisions_of_a_daemon(tmp_path: Path) -> None:
    with app_on_clock(tmp_path) as app:
        app.wait(lambda: "not-announced" not in app.kinds(), 60.0)
        app.write_pool(20)
        app.reactor.pass_time(60.0)
    replay = replayed(Reader(tmp_path / "journal"))
    assert (replay.differences, replay.problems, replay.gaps, replay.counts.skipped) == ([], [], [], 0)
    pool = replay.pool("web")
    assert pool is not None
    assert [(server.member.weight, server.pooled) for server in pool.servers.values()] == [(20, True)]
    (verdict,) = replay.verdicts.values()
    assert verdict.announcement is not None


def test_restart_continues_the_journal(tmp_path: Path) -> None:
    for _ in range(2):
        with app_on_clock(tmp_path):
            pass
    replay = replayed(Reader(tmp_path / "journal"))
    assert (replay.differences, replay.problems, replay.gaps) == ([], [], [])
    assert replay.counts.runs == 2


def test_journal_has_the_refusal_of_a_list_and_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with app_on_clock(tmp_path) as app:
        (tmp_path / "web.pool").write_text("")
        app.wait(lambda: "source" in app.kinds(), 60.0)
        app.write_pool(10)
        app.wait(lambda: "source" not in app.kinds(), 60.0)
        app.reactor.pass_time(5.0)
    assert main(["replay", str(tmp_path / "journal"), "--events", "web"]) == 0
    alerts = [line for line in capsys.readouterr().out.splitlines() if " alert source" in line]
    assert "refused an empty server list" in alerts[-2]
    assert alerts[-2].endswith("; keeping the last good list (1 server)")
    assert alerts[-1].endswith(" alert source ended")


SECRETS = """
[secret]
protocol = tcp
ip = 192.0.2.2
port = 80
scheduler = wrr
config = file://{directory}/web.pool
monitors = ['ProxyFetch', 'Redis']
proxyfetch.url = http://www.example.org/s3cret-path?token=s3cret-token
proxyfetch.interval = 2
redis.password-file = {directory}/password
redis.port = 1
redis.interval = 2
"""


def test_journal_has_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret-password")
    with app_on_clock(tmp_path, SECRETS.format(directory=tmp_path)) as app:
        app.reactor.pass_time(30.0)
    text = "".join(path.read_text() for path in (tmp_path / "journal").iterdir())
    assert '"service":"secret"' in text
    assert "s3cret" not in text
