"""The client beside daemons of other versions, and its failures."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pybal.cli import main
from pybal.client.arguments import read_arguments
from pybal.client.reading import reading_command
from pybal.client.socket import NoReplyError
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


class OneDocument:
    """A daemon, or another program, that returns the same for every path."""

    def __init__(self, shown: object) -> None:
        self._shown = shown

    def text(self, _path: str) -> str:
        return str(self._shown)

    def document(self, _path: str) -> object:
        return self._shown


@pytest.mark.parametrize("shown", [None, [], [7], {"web": 1}, {"web": {"service": "web"}}, [{"level": 5}]])
@pytest.mark.parametrize("command", [["pools"], ["pools", "web"], ["alerts"], ["preflight"], ["status", "--check"]])
def test_document_of_another_program_is_refused_or_shown(command: list[str], shown: object) -> None:
    try:
        reading_command(read_arguments(command), OneDocument(shown), {})
    except NoReplyError as error:
        assert str(error).startswith("unexpected document: ")  # noqa: PT017  # an empty list is a list of alerts


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


HOSTILE = b"\x1b]0;owned\x07\x1b[2J\xc2\x9b31m"


@pytest.fixture
def hostile() -> Iterator[str]:
    """The URL of an HTTP server that responds with escape sequences; its path selects the response."""

    class Responses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/moved/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/moved"))
                self.end_headers()
            elif self.path.startswith("/line/"):
                self.wfile.write(HOSTILE + b"\r\n\r\n")
            else:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"state: " + HOSTILE + b"\n")

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Responses) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["", "/line"])
@pytest.mark.parametrize("arguments", [["status"], ["explain", "web"], ["status", "--check"], ["pools"], ["preflight"]])
def test_response_of_another_host_cannot_control_the_terminal(
    hostile: str, path: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main([*arguments, "--url", f"{hostile}{path}"])
    shown = capsys.readouterr()
    assert shown.out + shown.err != ""
    assert not set("\x1b\x07\x9b") & set(shown.out + shown.err)


def test_redirect_is_not_followed(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--url", f"{hostile}/moved"]) == 1
    assert capsys.readouterr().err == f"pybal: {hostile}/moved/v1/status: HTTP 302 (see the log of pybal)\n"


def test_proxy_of_the_environment_is_not_used(
    hostile: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert main(["status", "--url", hostile]) == 0
    assert capsys.readouterr().out.startswith("state: ")
