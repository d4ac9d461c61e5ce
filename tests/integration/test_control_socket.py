"""The control socket with real sockets and real users."""

from __future__ import annotations

import os
import select
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import LogLevel, capturedLogs, formatEvent

from pybal.control import listener
from pybal.control.client import NoAnswerError, ask
from pybal.control.listener import Caller, ControlError, ControlSocket
from pybal.control.wire import LONGEST_REQUEST, CommandReply, Request, RequestError, read_answer, write_request
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
        except BaseException as error:  # noqa: BLE001  # the test gets it
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


def serve(path: Path, talk: Callable[[], T], *, group: int | None = None, answer: listener.Run = echo) -> T:
    """Return what ``talk`` returns, called in a thread while the socket is served."""

    async def main(reactor: EPollReactor) -> T:
        control = ControlSocket(path, answer, reactor, group)
        control.start()
        try:
            return await in_thread(reactor, talk)
        finally:
            await control.stop()
            settled: Deferred[None] = Deferred()
            reactor.callLater(0, settled.callback, None)  # connections that were aborted end in the next turn
            await settled

    return run(main)


def exchange(path: Path, said: bytes) -> bytes:
    """Return all that comes until the other end closes, or says a line."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        with suppress(BrokenPipeError):
            connection.sendall(said)
        with connection.makefile("rb") as stream, suppress(ConnectionResetError):
            return stream.readline()
    return b""


def as_user(user: int, group: int, groups: list[int], call: Callable[[], bytes]) -> bytes:
    """Return what ``call`` returns in a child that is that user."""
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
        said = stream.read()
    os.waitpid(child, 0)
    return said


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="wants root, to be other users")


def test_a_request_is_answered_and_the_next_one_on_the_same_connection_too(path: Path) -> None:
    def talk() -> list[bytes]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            stream = connection.makefile("rwb", buffering=0)
            stream.write(STATUS + write_request(Request("thaw")) + STATUS[:10])
            first = [stream.readline(), stream.readline()]
            stream.write(STATUS[10:])
            return [*first, stream.readline()]

    answers = [read_answer(line).text for line in serve(path, talk)]
    assert answers == [f"{command} by {os.geteuid()}: " for command in ("status", "thaw", "status")]


def test_thousands_of_requests_at_once_are_answered_one_by_one(path: Path) -> None:
    def talk() -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            threading.Thread(target=connection.sendall, args=(b"\n" * 5000,), daemon=True).start()
            with connection.makefile("rb") as stream:
                return sum(read_answer(stream.readline()).exit for _ in range(5000))

    assert serve(path, talk) == 5000


def test_garbage_is_refused_in_words_and_the_connection_stays(path: Path) -> None:
    assert read_answer(serve(path, lambda: exchange(path, b"\x00\xff\n"))) == CommandReply(
        1, "not a JSON object in UTF-8 on one line"
    )


def test_a_request_without_end_is_refused_once_it_is_too_long(path: Path) -> None:
    said = serve(path, lambda: exchange(path, b"x" * (LONGEST_REQUEST + 70_000)))
    assert read_answer(said).text == f"a request of more than {LONGEST_REQUEST} bytes"


def test_a_command_that_fails_or_has_a_bug_is_answered(path: Path) -> None:
    with capturedLogs() as logged:
        assert serve(path, lambda: ask(path, Request("refuse"))) == CommandReply(1, "not now")
        assert serve(path, lambda: ask(path, Request("fail"))) == CommandReply(
            1, "failed, see the log: ZeroDivisionError"
        )
    assert LogLevel.critical in [event["log_level"] for event in logged]


@pytest.mark.parametrize("said", [b"", b'{"version"', STATUS])
def test_whoever_is_slow_to_speak_or_has_nothing_more_to_say_is_cut_off(
    path: Path, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "PATIENCE", 0.2)

    def talk() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(said)
            last = b""
            with suppress(ConnectionResetError):
                while piece := connection.recv(4096):
                    last = piece
            return last

    answer = serve(path, talk)
    assert bool(answer) is (said == STATUS)


def test_an_answer_that_is_not_taken_does_not_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "PATIENCE", 0.2)
    long = write_request(Request("status", {"text": "x" * 500_000}))

    def talk() -> bytes:
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

    assert b"\n" not in serve(path, talk)


def test_whoever_asks_on_and_takes_no_answers_is_not_answered_further(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "PATIENCE", 1.0)
    answered = 0

    async def answer(_request: Request, _caller: Caller) -> CommandReply:
        nonlocal answered
        answered += 1
        return CommandReply(0, "x" * 100_000)

    def talk() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(STATUS * 1000)
            hung_up = select.poll()
            hung_up.register(connection, 0)
            assert hung_up.poll(20_000)

    serve(path, talk, answer=answer)
    assert 0 < answered < 10


def test_more_connections_than_there_may_be_are_refused_and_one_that_ends_makes_room(path: Path) -> None:
    def talk() -> tuple[bytes, bytes]:
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
        while b"connections already" in answered:
            answered = exchange(path, STATUS)
        return refused, answered

    refused, answered = serve(path, talk)
    assert read_answer(refused).text == "16 connections already, wanted fewer than 16: try again"
    assert read_answer(answered).exit == 0


@needs_root
def test_other_users_are_refused_and_the_log_says_so_once_a_minute(path: Path) -> None:
    def talk() -> list[bytes]:
        return [as_user(STRANGER, STRANGER, [], lambda: exchange(path, STATUS)) for _ in range(3)]

    with capturedLogs() as logged:
        answers = serve(path, talk, group=GROUP)
    expected = f"user {STRANGER} may not give commands, wanted root, user 0 or a member of group {GROUP}"
    assert [read_answer(answer).text for answer in answers] == [expected] * 3
    (line,) = [formatEvent(event) for event in logged if event["log_level"] is LogLevel.warn]
    assert line.startswith(f"refused a connection of {STRANGER} (user {STRANGER}, process ")


@needs_root
@pytest.mark.parametrize(("group", "groups"), [(GROUP, []), (STRANGER, [7, GROUP])])
def test_members_of_the_group_are_heard_by_their_first_or_any_other_group(
    path: Path, group: int, groups: list[int]
) -> None:
    said = serve(
        path,
        lambda: as_user(STRANGER, group, groups, lambda: exchange(path, write_request(Request("thaw")))),
        group=GROUP,
    )
    assert read_answer(said).text == f"thaw by {STRANGER}: "


@needs_root
def test_without_a_group_the_file_is_ours_alone(path: Path) -> None:
    def talk() -> tuple[int, bytes]:
        mode = stat.S_IMODE(path.stat().st_mode)
        return mode, as_user(STRANGER, STRANGER, [GROUP], lambda: exchange(path, STATUS))

    assert serve(path, talk) == (0o600, b"[Errno 13] Permission denied")


def test_the_file_of_a_daemon_that_was_killed_is_replaced_and_goes_in_the_end(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.listen()
    left.close()
    assert serve(path, lambda: ask(path, Request("status"))).exit == 0
    assert not path.exists()


def start(path: Path) -> None:
    async def main(reactor: EPollReactor) -> None:
        ControlSocket(path, echo, reactor).start()

    run(main)


def test_a_daemon_that_listens_there_is_named_and_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(ControlError) as refused:
            start(path)
    assert str(refused.value) == (f"{path}: another pybal listens there, process {os.getpid()} of user {os.geteuid()}")
    assert path.exists()


def test_a_file_that_is_no_socket_and_a_directory_that_is_not_there_are_refused(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ControlError, match="exists and is not a socket"):
        start(path)
    assert path.read_text() == "precious"
    with pytest.raises(ControlError, match=r"nowhere/control\.sock: No such file or directory"):
        start(path.parent / "nowhere" / "control.sock")


@pytest.mark.parametrize(
    ("said", "why"),
    [(b"", "closed the connection without an answer"), (b"SSH-2.0\n", "not an answer of this version of pybal")],
)
def test_what_is_not_the_daemon_is_not_believed(path: Path, said: bytes, why: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            connection = server.accept()[0]
            connection.recv(4096)
            connection.sendall(said)
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(NoAnswerError, match=why):
            ask(path, Request("status"))


def test_nobody_there_is_said_to_be_a_daemon_that_does_not_run(path: Path) -> None:
    with pytest.raises(NoAnswerError, match="pybal does not run: nobody listens at "):
        ask(path, Request("status"))
