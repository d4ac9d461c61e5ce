"""The output of a command: lines, limits and floods."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

import pytest
from twisted.internet.task import Clock

from pybal.checks.command_output import KEPT, LONGEST_LINE, CommandOutput, last_line, lines
from pybal.checks.engine import Engine


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"", []),
        (b"\n \r\n\t\n", []),
        (b"one", ["one"]),
        (b"one\r\n\n  two  \n", ["one", "  two"]),
        (b"10%\r20%\rdone\n", ["10%", "20%", "done"]),
        ("caf\u00e9 \u20ac".encode(), ["caf\u00e9 \u20ac"]),
        (b"\xff\xe2\x82 cut", [r"\xff\xe2\x82 cut"]),
        (b"\x1b[31mred\x1b[0m\x07\x00", [r"\x1b[31mred\x1b[0m\x07\x00"]),
        (b"a\tb", [r"a\tb"]),
        ("right\u202eleft \u2028 \U000e0001".encode(), [r"right\u202eleft \u2028 \U000e0001"]),
        (b"{x} %s <b>", ["{x} %s <b>"]),
    ],
)
def test_lines_escape_unprintable_characters(output: bytes, expected: list[str]) -> None:
    assert lines(output) == expected
    assert all(line.isprintable() for line in lines(output))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"", ""),
        (b"\n\n", ""),
        (b"first\nlast\n\n \n", "last"),
        (b"x" * LONGEST_LINE, "x" * LONGEST_LINE),
        (b"x" * (LONGEST_LINE + 1), "x" * (LONGEST_LINE - 1) + "…"),
        (b"\x00" * 4096, r"\x00" * 49 + r"\x0…"),
    ],
)
def test_last_line_is_the_last_one_not_blank_and_bounded(output: bytes, expected: str) -> None:
    assert last_line(output) == expected
    assert len(last_line(output)) <= LONGEST_LINE


class ReaderClock(Clock):
    """A clock that accepts readers."""

    def addReader(self, reader: object) -> None: ...  # noqa: N802  # Twisted's name

    def removeReader(self, reader: object) -> None: ...  # noqa: N802  # Twisted's name


class TestPipe:
    @pytest.fixture
    def reactor(self) -> ReaderClock:
        return ReaderClock()

    @pytest.fixture
    def engine(self, reactor: ReaderClock) -> Iterator[Engine]:
        engine = Engine(reactor, seconds=reactor.seconds)
        engine.start()
        yield engine
        engine.stop()

    @pytest.fixture
    def ends(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        with open(reading, "rb", buffering=0) as read, open(writing, "wb", buffering=0) as write:  # noqa: PTH123  # numbers
            yield read, write

    def test_end_of_the_output_is_kept(self, engine: Engine, ends: tuple[IO[bytes], IO[bytes]]) -> None:
        reading, writing = ends
        output = CommandOutput(engine, reading.fileno(), "command", lambda _error: None)
        for number in range(1000):
            writing.write(b"%9d\n" % number)
            engine.doRead()
        writing.write(b"last line")
        output.close()
        assert (len(output.kept), output.size) == (KEPT, 10_009)
        assert output.kept.endswith(b"      999\nlast line")
        writing.write(b"after the end")
        engine.doRead()
        assert output.size == 10_009

    def test_silent_pipe_stays_open(self, engine: Engine, ends: tuple[IO[bytes], IO[bytes]]) -> None:
        output = CommandOutput(engine, ends[0].fileno(), "command", lambda _error: None)
        engine.doRead()
        output.close()
        output.close()
        assert (output.kept, output.size) == (b"", 0)

    def test_flooding_command_is_read_at_a_bounded_rate(
        self, reactor: ReaderClock, engine: Engine, ends: tuple[IO[bytes], IO[bytes]]
    ) -> None:
        reading, writing = ends
        os.set_blocking(writing.fileno(), False)
        output = CommandOutput(engine, reading.fileno(), "command", lambda _error: None)
        for _ in range(1000):
            for _ in range(10):
                writing.write(b"x" * 65536)
                engine.doRead()
            reactor.advance(0.01)
        assert 20 << 20 < output.size < 200 << 20
        output.close()
