"""The control socket with real sockets and real users."""

from __future__ import annotations

import os
import select
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import LogLevel, capturedLogs, formatEvent

from pybal.client.socket import NoReplyError, send_request
from pybal.control import listener
from pybal.control.listener import Caller, ControlError, ControlSocket
from pybal.control.wire import LONGEST_REQUEST, CommandReply, Request, RequestError, read_reply, write_request
from tests.harness.stepped_reactor import run

T = TypeVar("T")
STATUS = write_request(Request("status"))
GROUP, STRANGER = 54321, 54322


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="control-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory) / "control.sock"


async def in_thread(reactor: EPollReactor, call: Callable[[], T]) -> T:
    done: Deferred[T] = Deferred()

    def work() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  # raised in the test
            reactor.callFromThread(done.errback, error)
        else:
            reactor.callFromThread(done.callback, result)

    threading.Thread(target=work, daemon=True).start()
    return await done


async def echo(request: Request, caller: Caller) -> CommandReply:
    if request.command == "fail":
        raise ZeroDivisionError
    if request.command == "refuse":
        raise RequestError("not now")
    return CommandReply(0, f"{request.command} by {caller.user}: {request.reason}", dict(request.arguments))


def serve(path: Path, client: Callable[[], T], *, group: int | None = None, command: listener.Run = echo) -> T:
    """Run ``client`` in a thread while the control socket is open; return its result."""

    async def main(reactor: EPollReactor) -> T:
        control = ControlSocket(path, command, reactor, group)
        control.start()
        try:
            return await in_thread(reactor, client)
        finally:
            await control.stop()
            settled: Deferred[None] = Deferred()
            reactor.callLater(0, settled.callback, None)  # aborted connections end in the next turn
            await settled

    return run(main)


def exchange(path: Path, sent: bytes) -> bytes:
    """Send bytes and return the first line of the reply."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        with suppress(BrokenPipeError):
            connection.sendall(sent)
        with connection.makefile("rb") as stream, suppress(ConnectionResetError):
            return stream.readline()
    return b""


def as_user(user: int, group: int, groups: list[int], call: Callable[[], bytes]) -> bytes:
    """Return the result of ``call`` in a child process of another user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(group)
            os.setuid(user)
            os.write(writing, call())
        except OSError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:  # noqa: PTH123  # a descriptor
        result = stream.read()
    os.waitpid(child, 0)
    return result


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change the user")


def test_connection_serves_several_requests(path: Path) -> None:
    def client() -> list[bytes]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            stream = connection.makefile("rwb", buffering=0)
            stream.write(STATUS + write_request(Request("thaw")) + STATUS[:10])
            first = [stream.readline(), stream.readline()]
            stream.write(STATUS[10:])
            return [*first, stream.readline()]

    answers = [read_reply(line).text for line in serve(path, client)]
    assert answers == [f"{command} by {os.geteuid()}: " for command in ("status", "thaw", "status")]


def test_pipelined_requests_are_answered_one_by_one(path: Path) -> None:
    def client() -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            threading.Thread(target=connection.sendall, args=(b"\n" * 5000,), daemon=True).start()
            with connection.makefile("rb") as stream:
                return sum(read_reply(stream.readline()).exit for _ in range(5000))

    assert serve(path, client) == 5000


def test_client_that_sends_faster_than_its_commands_run_has_to_wait(path: Path) -> None:
    requests = STATUS * 1000

    def client() -> int:
        sent = 0
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as stream:
            connection.connect(str(path))
            for _ in range(200):
                connection.setblocking(False)
                with suppress(BlockingIOError):
                    while True:
                        sent += connection.send(requests)
                connection.settimeout(20)
                assert read_reply(stream.readline()).exit == 0
        return sent

    assert serve(path, client) < 2_000_000


def test_garbage_is_refused_with_a_reason(path: Path) -> None:
    assert read_reply(serve(path, lambda: exchange(path, b"\x00\xff\n"))) == CommandReply(
        1, "not a JSON object in UTF-8 on one line"
    )


def test_oversized_request_is_refused(path: Path) -> None:
    refusal = serve(path, lambda: exchange(path, b"x" * (LONGEST_REQUEST + 70_000)))
    assert read_reply(refusal).text == f"request exceeds {LONGEST_REQUEST} bytes"


def test_failing_command_is_answered_with_its_error(path: Path) -> None:
    with capturedLogs() as logged:
        assert serve(path, lambda: send_request(path, Request("refuse"))) == CommandReply(1, "not now")
        assert serve(path, lambda: send_request(path, Request("fail"))) == CommandReply(
            1, "internal error (ZeroDivisionError); see the log of pybal"
        )
    assert LogLevel.critical in [event["log_level"] for event in logged]


@pytest.mark.parametrize("sent", [b"", b'{"version"', STATUS])
def test_connection_is_closed_when_no_further_request_arrives(
    path: Path, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "TIMEOUT", 0.2)

    def client() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(sent)
            last = b""
            with suppress(ConnectionResetError):
                while piece := connection.recv(4096):
                    last = piece
            return last

    answer = serve(path, client)
    assert bool(answer) is (sent == STATUS)


def test_connection_is_closed_when_the_client_does_not_read_the_reply(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "TIMEOUT", 0.2)
    long = write_request(Request("status", {"text": "x" * 500_000}))

    def client() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(long)
            hung_up = select.poll()
            hung_up.register(connection, 0)
            assert hung_up.poll(20_000)
            taken = b""
            with suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    taken += piece
            return taken

    assert b"\n" not in serve(path, client)


def test_pipelined_requests_stop_when_the_client_reads_no_reply(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "TIMEOUT", 1.0)
    answered = 0

    async def answer(_request: Request, _caller: Caller) -> CommandReply:
        nonlocal answered
        answered += 1
        return CommandReply(0, "x" * 100_000)

    def client() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(STATUS * 1000)
            hung_up = select.poll()
            hung_up.register(connection, 0)
            assert hung_up.poll(20_000)

    serve(path, client, command=answer)
    assert 0 < answered < 10


def test_new_connection_is_refused_when_too_many_are_open(path: Path) -> None:
    def client() -> tuple[bytes, bytes]:
        held = []
        for _ in range(listener.MOST_CONNECTIONS):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(STATUS)
            assert connection.recv(4096)
            held.append(connection)
        refused = exchange(path, STATUS)
        for connection in held:
            connection.close()
        answered = exchange(path, STATUS)
        while b"too many connections" in answered:
            answered = exchange(path, STATUS)
        return refused, answered

    refused, answered = serve(path, client)
    assert read_reply(refused).text == "too many connections (at most 16); try again"
    assert read_reply(answered).exit == 0


def test_clients_connect_while_the_loop_is_busy(path: Path) -> None:
    async def main(reactor: EPollReactor) -> None:
        control = ControlSocket(path, echo, reactor)
        control.start()
        with ExitStack() as clients:
            for _ in range(200):
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))
        await control.stop()

    run(main)


@needs_root
def test_unauthorized_users_are_refused_and_logged_once_a_minute(path: Path) -> None:
    def client() -> list[bytes]:
        return [as_user(STRANGER, STRANGER, [], lambda: exchange(path, STATUS)) for _ in range(3)]

    with capturedLogs() as logged:
        answers = serve(path, client, group=GROUP)
    expected = f"user {STRANGER} is not authorized (use root, user 0 or a member of group {GROUP})"
    assert [read_reply(answer).text for answer in answers] == [expected] * 3
    (line,) = [formatEvent(event) for event in logged if event["log_level"] is LogLevel.warn]
    assert line.startswith(f"Connection of {STRANGER} (user {STRANGER}, process ")


@needs_root
@pytest.mark.parametrize(("group", "groups"), [(GROUP, []), (STRANGER, [7, GROUP])])
def test_members_of_the_group_are_authorized(path: Path, group: int, groups: list[int]) -> None:
    reply = serve(
        path,
        lambda: as_user(STRANGER, group, groups, lambda: exchange(path, write_request(Request("thaw")))),
        group=GROUP,
    )
    assert read_reply(reply).text == f"thaw by {STRANGER}: "


@needs_root
def test_socket_file_is_private_without_a_group(path: Path) -> None:
    def client() -> tuple[int, bytes]:
        mode = stat.S_IMODE(path.stat().st_mode)
        return mode, as_user(STRANGER, STRANGER, [GROUP], lambda: exchange(path, STATUS))

    assert serve(path, client) == (0o600, b"[Errno 13] Permission denied")


def test_stale_socket_is_replaced_and_removed_at_the_end(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.listen()
    left.close()
    assert serve(path, lambda: send_request(path, Request("status"))).exit == 0
    assert not path.exists()


def start(path: Path) -> None:
    async def main(reactor: EPollReactor) -> None:
        ControlSocket(path, echo, reactor).start()

    run(main)


def test_socket_of_a_running_daemon_is_kept_and_named_in_the_error(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(ControlError) as refused:
            start(path)
    assert str(refused.value) == (f"{path}: in use by another pybal, process {os.getpid()} of user {os.geteuid()}")
    assert path.exists()


def test_start_refuses_other_files_and_missing_directories(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ControlError, match="not a socket"):
        start(path)
    assert path.read_text() == "precious"
    with pytest.raises(ControlError, match=r"nowhere/control\.sock: No such file or directory"):
        start(path.parent / "nowhere" / "control.sock")


@pytest.mark.parametrize(
    ("sent", "why"),
    [(b"", "closed the connection without a reply"), (b"SSH-2.0\n", "invalid reply: not a JSON object")],
)
def test_client_refuses_an_invalid_reply(path: Path, sent: bytes, why: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            connection = server.accept()[0]
            connection.recv(4096)
            connection.sendall(sent)
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(NoReplyError, match=why):
            send_request(path, Request("status"))


def test_client_reports_that_no_daemon_listens(path: Path) -> None:
    with pytest.raises(NoReplyError, match=r"no daemon listens at .* \(start pybal, or set --socket\)"):
        send_request(path, Request("status"))
