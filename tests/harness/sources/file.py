"""Pool files, for the contract of pool sources."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

from twisted.internet.task import Clock

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.runtime.file_values import inline
from pybal.runtime.turns import Turns
from pybal.sources.file_poll import FilePoll
from pybal.sources.kinds import build
from pybal.sources.pool_source import PoolSource
from pybal.sources.state_files import StateFiles
from tests.harness.fake_workers import FakeWorkers


class _PoolFile:
    """A pool file in its own directory."""

    name = ""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self._path = directory / self.name
        self._times = itertools.count(10**18, 10**9)

    def expected(self, members: Sequence[Member]) -> tuple[Member, ...]:
        return tuple(members)

    def source(self, *, allow_empty: bool) -> PoolSource:
        settings = SourceSettings(f"file://{self._path}", allow_empty=allow_empty)
        return build(
            settings,
            service="web",
            reactor=cast("Any", self.clock),
            random=Random(1),
            poll=FilePoll(FakeWorkers(), self.clock),
            files=inline(self.clock),
            turns=Turns(self.clock),
            state=StateFiles(FakeWorkers(), self.clock),
            wall=partial(datetime.now, UTC),
        )

    def garble(self) -> None:
        self._put("<html>502 Bad Gateway</html>\n")

    def vanish(self) -> None:
        self._path.unlink()

    def settle(self) -> None:
        self.clock.pump([0.05] * 60)

    def close(self) -> None: ...

    def _put(self, text: str) -> None:
        self._path.write_text(text)
        # Two writes of a fast test could have the same time.
        time = next(self._times)
        os.utime(self._path, ns=(time, time))


class LinesFile(_PoolFile):
    name = "pool"

    def write(self, members: Sequence[Member]) -> None:
        self._put("".join(f"{self._fields(member)}\n" for member in members))

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        lines = ({**self._fields(m), "weight": "many"} if m.host == host else self._fields(m) for m in members)
        self._put("".join(f"{line}\n" for line in lines))

    @staticmethod
    def _fields(member: Member) -> dict[str, object]:
        return {"host": member.host, "weight": member.weight, "enabled": member.enabled}


class JSONFile(_PoolFile):
    name = "pool.json"

    def write(self, members: Sequence[Member]) -> None:
        self._put(json.dumps({m.host: {"weight": m.weight, "enabled": m.enabled} for m in members}))

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        self._put(json.dumps({m.host: {"weight": "many" if m.host == host else m.weight} for m in members}))


class YAMLFile(_PoolFile):
    name = "pool.yaml"

    def write(self, members: Sequence[Member]) -> None:
        self._put(self._mapping(members) or "{}\n")

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        self._put(self._mapping(members).replace(f"{host}:\n  weight: ", f"{host}:\n  weight: many "))

    @staticmethod
    def _mapping(members: Sequence[Member]) -> str:
        return "".join(f"{m.host}:\n  weight: {m.weight}\n  enabled: {str(m.enabled).lower()}\n" for m in members)
