"""Loading of the configuration file beside the event loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred

from pybal.config.errors import ConfigError, Problem
from pybal.config.settings import Settings
from pybal.daemon.loader import TIMEOUT, Loader
from pybal.monitors.kinds import KINDS
from pybal.reload.file import ConfigurationFile, Loaded
from pybal.runtime.turns import Turns
from tests.harness.turning_clock import TurningClock

SERVICE = "[web]\nprotocol = tcp\nip = 192.0.2.1\nport = 80\nscheduler = wrr\nconfig = file:///pools/web\n"


class Threads:
    """Makes calls immediately, or never while ``hung``; ``made`` counts them."""

    hung = False
    made = 0

    def run(self, call: Callable[[], Any]) -> Deferred[Any]:
        self.made += 1
        return Deferred() if self.hung else maybeDeferred(call)


def refuse(settings: Settings, path: str) -> Iterable[Problem]:
    yield Problem(path, 0, settings.services[0].service.name, "ca", "an unreadable file", "a readable one")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pybal.conf"
    path.write_text(SERVICE)
    return path


@pytest.fixture
def clock() -> Iterator[TurningClock]:
    clock = TurningClock()
    yield clock
    assert clock.getDelayedCalls() == []


def loader(path: Path, clock: TurningClock, threads: Threads, check: Any = lambda _settings, _path: ()) -> Loader:
    return Loader(ConfigurationFile(str(path), KINDS, absent=check), "before", threads, Turns(clock, 0.0), clock)


def result(clock: TurningClock, loading: Any) -> Loaded | BaseException:
    outcomes: list[Any] = []
    Deferred.fromCoroutine(loading).addCallbacks(outcomes.append, lambda failure: outcomes.append(failure.value))
    clock.settle()
    (outcome,) = outcomes
    return outcome  # type: ignore[no-any-return]


def test_file_is_parsed_in_turns_after_it_was_read_in_a_thread(path: Path, clock: TurningClock) -> None:
    loaded = result(clock, loader(path, clock, Threads()).load())
    assert isinstance(loaded, Loaded)
    assert [each.service.name for each in loaded.settings.services] == ["web"]


def test_invalid_file_is_refused(path: Path, clock: TurningClock) -> None:
    path.write_text("[web]\n")
    assert isinstance(result(clock, loader(path, clock, Threads()).load()), ConfigError)


def test_fifo_is_refused_without_waiting(path: Path, clock: TurningClock) -> None:
    path.unlink()
    os.mkfifo(path)
    error = result(clock, loader(path, clock, Threads()).load())
    assert isinstance(error, OSError)
    assert error.strerror == "not a regular file"


def test_hung_file_system_is_an_error_after_its_time(path: Path, clock: TurningClock) -> None:
    threads, errors = Threads(), list[Any]()
    threads.hung = True
    loading: Deferred[Any] = Deferred.fromCoroutine(loader(path, clock, threads).load())
    loading.addErrback(lambda failure: errors.append(failure.value.strerror))  # type: ignore[call-overload]
    clock.advance(TIMEOUT)
    assert errors == ["no response from the file system within 10 s"]


def test_files_of_the_own_file_are_checked_and_those_of_a_request_are_not(path: Path, clock: TurningClock) -> None:
    own = result(clock, loader(path, clock, Threads(), refuse).load())
    requested = result(clock, loader(path, clock, Threads(), refuse).parse(SERVICE.encode(), "other"))
    assert isinstance(own, Loaded)
    assert isinstance(requested, Loaded)
    assert [problem.option for problem in own.unsupported] == ["ca"]
    assert requested.unsupported == ()


def test_digest_is_that_of_the_last_look(path: Path, clock: TurningClock) -> None:
    watched = loader(path, clock, Threads())
    first = watched.digest()
    path.write_text(SERVICE * 2)
    watched.digest()
    assert len({"before", first, watched.digest()}) == 3


def test_digest_is_empty_while_a_look_hangs(path: Path, clock: TurningClock) -> None:
    threads = Threads()
    threads.hung = True
    watched = loader(path, clock, threads)
    assert watched.digest() == "before"
    clock.advance(TIMEOUT + 1)
    assert watched.digest() == ""
    assert threads.made == 1
