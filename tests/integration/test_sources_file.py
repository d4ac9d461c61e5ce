"""Pool files that another process rewrites, in real time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import deferLater

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.runtime.workers import Workers
from pybal.sources.base import SourceError
from pybal.sources.file import file_source
from pybal.sources.file_poll import FilePoll
from tests.harness.stepped_reactor import run

# Each list has 40 hosts with the same weight, different from other lists. It is written in place, in pieces that end
# within and between lines, slowly enough that the source checks the file between two pieces.
WRITER = """
import sys, time
for weight in range(1, 6):
    text = "".join(f"{{'host': 'web{i}', 'weight': {weight}}}\\n" for i in range(40))
    with open(sys.argv[1], "w") as file:
        for start in range(0, len(text), 100):
            file.write(text[start:start + 100])
            file.flush()
            time.sleep(0.06)
    time.sleep(0.5)
"""


def rewriting(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path)])


def listing(weight: int) -> tuple[Member, ...]:
    return tuple(Member(f"web{i}", weight) for i in range(40))


def test_source_delivers_no_partial_list_during_rewrites(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    path.write_text("".join(f"{{'host': 'web{i}', 'weight': 0}}\n" for i in range(40)))
    lists: list[tuple[Member, ...]] = []
    errors: list[SourceError] = []

    async def main(reactor: EPollReactor) -> None:
        files = FilePoll(Workers("files", 1, reactor), reactor)
        source = file_source(SourceSettings(f"file://{path}"), reactor=reactor, random=Random(1), files=files)
        source.start(lists.append, errors.append)
        while not lists:
            await deferLater(reactor, 0.02, lambda: None)
        with rewriting(path) as writer:
            while writer.poll() is None or lists[-1] != listing(5):
                await deferLater(reactor, 0.02, lambda: None)
        source.stop()

    run(main, timeout=40)
    assert lists[0] == listing(0)
    assert all(members == listing(members[0].weight) for members in lists)
    assert len(lists) > 2
