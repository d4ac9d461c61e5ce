"""The client beside daemons of other versions, and its failures."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybal.cli import main
from pybal.control.wire import CommandReply, read_request, write_reply
from pybal.core.steps import finish

DOCUMENT = {"services": [{"serving": 2, "total": 3}], "alerts": []}


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    """The control socket of a daemon that supports the command status only."""
    path = tmp_path / "control.sock"

    def reply(line: bytes) -> bytes:
        if read_request(line).command != "status":
            return finish(write_reply(CommandReply(1, "unknown command 'get' (use one of status)")))
        return finish(write_reply(CommandReply(0, "pybal 2.0.0\n", DOCUMENT)))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                connection.sendall(reply(stream.readline()))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_status_works_with_a_daemon_that_was_not_restarted(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--socket", str(old)]) == 0
    assert capsys.readouterr().out == "pybal 2.0.0\n"
    assert main(["status", "--json", "--socket", str(old)]) == 0
    assert json.loads(capsys.readouterr().out) == DOCUMENT
    assert main(["status", "--check", "--socket", str(old)]) == 0
    assert capsys.readouterr().out == "OK - 1 service, 2 of 3 servers serve\n"


def test_other_commands_ask_for_a_restart_of_an_older_daemon(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pools", "--socket", str(old)]) == 1
    error = "the daemon is older than this command (restart pybal, or use pybal status)"
    assert capsys.readouterr().err == f"pybal: {error}\n"


def test_check_is_unknown_after_an_internal_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], old: Path
) -> None:
    monkeypatch.setattr("pybal.client.views.check", lambda _document: 1 / 0)
    assert main(["status", "--check", "--socket", str(old)]) == 3
    assert capsys.readouterr().out == "UNKNOWN - internal error: ZeroDivisionError('division by zero') (report it)\n"


@pytest.mark.parametrize("url", ["http://[::1", "ftp://h", "http://127.0.0.1:1", "http://127.0.0.1:99999", ""])
def test_check_is_unknown_with_an_unusable_url(url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["status", "--check", "--url", url, "--socket", str(tmp_path / "none")]) == 3
    shown = capsys.readouterr()
    assert shown.out.startswith("UNKNOWN - ")
    assert shown.err == ""
