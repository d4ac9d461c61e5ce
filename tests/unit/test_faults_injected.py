"""Fault injection: each periodic activity continues after an exception; its alert appears and clears.

The code is searched for activities, delayed calls and threads: a new one fails these tests until it has an entry.
"""

from __future__ import annotations

import ast
import gc
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, TypeVar, cast

import pytest
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from typing_extensions import override
from zope.interface import implementer

from pybal.bgp.announcer import Announcer
from pybal.bgp.drains import DrainError, DrainsFile
from pybal.bgp.model import Announcement
from pybal.bgp.passwords import RETRY_SECONDS as PASSWORD_RETRY_SECONDS
from pybal.bgp.passwords import Passwords
from pybal.bgp.verdict import Standing
from pybal.checks.engine import Engine
from pybal.config.settings import BGPSettings, PeerSettings
from pybal.control.freeze import Freezer
from pybal.control.overrides import Override, Overrides
from pybal.core.model import IPProtocol, Member, Service
from pybal.daemon.progress import Progress
from pybal.doctor.finding import Finding
from pybal.doctor.periodic import INTERVAL, Examination
from pybal.ipvs.audit import Audit
from pybal.ipvs.backend import MemoryBackend
from pybal.ipvs.ledger import RETRY_SECONDS as LEDGER_RETRY_SECONDS
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import Failure as Refused
from pybal.ipvs.model import Op, VirtualService, key_of
from pybal.ipvs.reconciler import Reconciler
from pybal.resolve import LookupResult, Resolver
from pybal.runtime import heap as collection
from pybal.runtime.attempt import Attempt
from pybal.runtime.clocks import Clocks
from pybal.runtime.faults import FORGET_SECONDS, Faults
from pybal.runtime.heap import EXAMINED_SECONDS, Heap
from pybal.runtime.log_writer import LogWriter
from pybal.runtime.systemd import Notifier
from pybal.sources import file_poll
from pybal.sources.base import SourceError
from pybal.sources.feed import Feed
from pybal.sources.file_poll import Content, FilePoll, PolledFile
from pybal.sources.formats.text import Listing
from pybal.sources.state_files import RETRY, StateFiles
from tests.harness.fake_exabgp import FakeChild, SpeakerHarness
from tests.harness.fake_workers import FakeWorkers
from tests.harness.snapshots import status
from tests.harness.status_client import Client, factory
from tests.harness.syntax import modules, nodes_of

T = TypeVar("T")
WEB = Service("web", IPProtocol.TCP, ip_address("10.2.1.1"), 80, "wrr")
ROUTER = BGPSettings((PeerSettings(ip_address("192.0.2.9"), 64601, router_id=IPv4Address("192.0.2.1")),))
PATIENCE = 120.0
"""Seconds for a thread."""


class Bomb:
    """A seam: raises once, at the call that the test chooses, and counts its calls."""

    def __init__(self) -> None:
        self.armed = False
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.armed:
            self.armed = False
            raise MemoryError


@dataclass
class RunningActivity:
    """An activity with a seam: ``advance`` lets it make calls, ``alert`` yields its own problems."""

    seam: Bomb
    advance: Callable[[], None]
    stop: Callable[[], object]
    alert: Callable[[], Iterable[str]] = tuple


def notifications(clock: Clock, seam: Bomb) -> RunningActivity:
    class SeamedNotifier(Notifier):
        @override
        def notify(self, state: str, carried: socket.socket | None = None) -> bool:
            seam()
            return True

    notifier = SeamedNotifier({"NOTIFY_SOCKET": "@absent"}, clock)

    def advance() -> None:
        notifier.ready("ok")
        clock.pump([1.0, 1.0])

    return RunningActivity(seam, advance, notifier.close)


def watchdog(clock: Clock, seam: Bomb) -> RunningActivity:
    def alive() -> bool:
        seam()
        return True

    notifier = Notifier({"WATCHDOG_USEC": "2000000"}, clock)
    notifier.alive = alive
    notifier.start()
    return RunningActivity(seam, lambda: clock.pump([1.0, 1.0]), notifier.close)


def progress(clock: Clock, seam: Bomb) -> RunningActivity:
    def adopted() -> bool:
        seam()
        return False

    progress = Progress(
        cast("Any", ()),  # before the IPVS table is read, no service is looked at
        cast("Any", None),
        Notifier({}, clock),
        clock,
        adopted=adopted,
        deliveries=tuple,
        alerts=lambda: 0,
        last_reload=lambda: None,
    )
    progress.start()
    return RunningActivity(seam, lambda: clock.pump([0.2, 0.2]), progress.stop)


def doctor(clock: Clock, seam: Bomb) -> RunningActivity:
    def examine() -> list[Finding]:
        seam()
        return []

    examination = Examination(examine, clock)
    examination.start()
    return RunningActivity(seam, lambda: clock.pump([INTERVAL]), examination.stop)


def announcer(clock: Clock, seam: Bomb) -> RunningActivity:
    class Sink:
        def announce(self, announcements: Iterable[Announcement]) -> None:
            raise AssertionError

    def gather() -> Iterator[Standing]:
        seam()
        return iter(())

    decider = Announcer(BGPSettings(()), Sink(), gather, clock=clock)
    decider.start()

    def advance() -> None:
        decider.changed()
        clock.pump([0.0, 1.0])

    return RunningActivity(seam, advance, decider.stop)


def operator_override(clock: Clock, seam: Bomb) -> RunningActivity:
    start = datetime(2026, 11, 29, tzinfo=UTC)

    def read() -> Clocks:
        return Clocks(clock.seconds(), start + timedelta(seconds=clock.seconds()))

    overrides = Overrides(None, FakeWorkers(), clock, read, lambda _service: seam())

    def advance() -> None:
        armed, seam.armed = seam.armed, False
        now = clock.seconds()
        Deferred.fromCoroutine(overrides.depool(Override("web", "a", "root", "test", now, now + 5.0)))
        seam.armed = armed
        clock.pump([5.0, 1.0])
        assert overrides.hosts("web") == frozenset()

    return RunningActivity(seam, advance, overrides.stop)


def freeze(clock: Clock, seam: Bomb) -> RunningActivity:
    freezer = Freezer(clock, seam)

    def advance() -> None:
        armed, seam.armed = seam.armed, False
        freezer.freeze("root", "test", 5.0)
        seam.armed = armed
        clock.pump([5.0, 1.0])
        assert freezer.frozen is None

    return RunningActivity(seam, advance, freezer.stop)


def checks(clock: Clock, seam: Bomb) -> RunningActivity:
    class Reactor(Clock):
        def addReader(self, reader: object) -> None: ...  # noqa: N802  # Twisted's name

        def removeReader(self, reader: object) -> None: ...  # noqa: N802  # Twisted's name

        @override
        def callLater(self, *args: Any, **kwargs: Any) -> Any:
            return clock.callLater(*args, **kwargs)

    class SeamedLateness:
        def note(self, lag: float) -> None:
            seam()

    engine = Engine(Reactor(), clock.seconds)
    engine.lateness = SeamedLateness()  # type: ignore[assignment]  # the seam
    engine.start()
    turns = Bomb()
    engine.every(1.0, turns)

    def advance() -> None:
        before = turns.calls
        clock.pump([0.01] * 300)
        assert turns.calls >= before + 2

    return RunningActivity(seam, advance, engine.stop)


def source(clock: Clock, seam: Bomb) -> RunningActivity:
    class Reader:
        differences = 0

        async def read(self, feed: Feed) -> float:
            seam()
            feed.list(Listing((Member("a"),), ()))
            return 1.0

        def retry(self, error: SourceError) -> float:
            return 1.0

        def close(self) -> None: ...

    feed = Feed("file:///web", Reader(), clock, Random(1))
    feed.start(lambda _members: None, lambda _error: None)

    def alerts() -> list[str]:
        return [feed.problem] if feed.problem else []

    return RunningActivity(seam, lambda: clock.pump([1.0]), feed.stop, alerts)


def resolver(clock: Clock, seam: Bomb) -> RunningActivity:
    async def look_up(host: str, version: int) -> LookupResult:
        seam()
        return LookupResult((ip_address("192.0.2.1"),), 5.0)

    resolver = Resolver(look_up, clock, Random(1))
    follower = resolver.follow("a.example.org", 4, lambda _address: None)

    def alerts() -> list[str]:
        return [follower.problem] if follower.problem else []

    return RunningActivity(seam, lambda: clock.pump([0.0, 6.0]), resolver.stop, alerts)


class SeamedThreads:
    """Makes each call in the loop, after the seam."""

    def __init__(self, seam: Bomb) -> None:
        self._seam = seam

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        def seamed() -> T:
            self._seam()
            return call()

        return execute(seamed)


class SeamedTable(MemoryBackend):
    """A table of IPVS whose calls pass the seam."""

    def __init__(self, seam: Bomb) -> None:
        super().__init__()
        self._seam = seam

    @override
    def services(self) -> tuple[VirtualService, ...]:
        self._seam()
        return super().services()

    @override
    def apply(self, ops: Sequence[Op]) -> tuple[Refused, ...]:
        self._seam()
        return super().apply(ops)


def audit(clock: Clock, seam: Bomb) -> RunningActivity:
    auditing = Audit(Reconciler(SeamedTable(seam), clock), clock, interval=15.0, repairs=True)
    auditing.start()
    return RunningActivity(seam, lambda: clock.pump([15.0, 0.0, 0.0]), auditing.stop)


def reconciler(clock: Clock, seam: Bomb) -> RunningActivity:
    table = SeamedTable(seam)
    writing = Reconciler(table, clock)
    weights = iter(range(1, 100))

    def advance() -> None:
        weight = next(weights)
        writing.want(WEB, {ip_address("10.0.0.1"): weight})
        clock.pump([0.0, 1.0, 0.0])
        (entry,) = table.table().values()
        assert [destination.weight for destination in entry.destinations.values()] == [weight]
        assert writing.is_verified(WEB)

    return RunningActivity(seam, advance, writing.stop)


def ledger(clock: Clock, seam: Bomb) -> RunningActivity:
    file = Path("ledger")  # in the directory of the test
    kept = Ledger(file, workers=SeamedThreads(seam), clock=clock)  # type: ignore[arg-type]  # a part of Workers
    names = iter(range(100))

    def advance() -> None:
        name = str(next(names))
        kept.enter({key_of(WEB): name})
        clock.pump([LEDGER_RETRY_SECONDS])
        assert f'"{name}"' in file.read_text()

    return RunningActivity(seam, advance, kept.stop, lambda: [alert.text for alert in kept.alerts()])


def log_writer(clock: Clock, seam: Bomb) -> RunningActivity:
    written = threading.Event()

    def write(_text: bytes) -> None:
        seam()

    writer = LogWriter(write, lambda _trouble, _now: b"dropped\n", woken=written.set, clock=clock.seconds)

    def advance() -> None:
        for _ in range(2):
            written.clear()
            writer.put(b"line\n")
            before = seam.calls
            while seam.calls == before and writer.waiting:
                written.wait(0.001)
            writer.wake_at(0.0)  # called after the write
            assert written.wait(PATIENCE)

    def alerts() -> list[str]:
        return [writer.trouble.reason] if writer.trouble else []

    return RunningActivity(seam, advance, lambda: writer.close(PATIENCE), alerts)


def status_listener(clock: Clock, seam: Bomb) -> RunningActivity:
    shown = status(clock)

    class SeamedRoutes:
        awaits = shown.awaits

        def answer(self, path: bytes, *, as_json: bool, switches: object) -> Any:
            seam()
            del switches
            return shown.answer(path, as_json=as_json)

    client = Client(factory(clock, SeamedRoutes()))  # type: ignore[arg-type]  # the same methods

    def advance() -> None:
        armed = seam.armed
        assert (b" 500 " if armed else b" 200 ") in client.get("/alerts").partition(b"\r\n")[0]

    return RunningActivity(seam, advance, client.hang_up)


def drains(clock: Clock, seam: Bomb) -> RunningActivity:
    file = DrainsFile(Path("drains.json"), SeamedThreads(seam), clock)
    reading = Attempt(
        "BGP cannot start",
        lambda: Deferred.fromCoroutine(file.read()),
        clock,
        kind="bgp",
        expected=(DrainError,),
    )

    def advance() -> None:
        reading.start()
        clock.pump([1.0, 1.0])
        assert reading.succeeded

    return RunningActivity(seam, advance, reading.stop, lambda: [alert.text for alert in reading.alerts()])


def passwords(clock: Clock, seam: Bomb) -> RunningActivity:
    file = Path("password").absolute()
    file.write_text("secret\n")
    peer = PeerSettings(ip_address("192.0.2.9"), 64601, md5_password_file=str(file))
    following = Passwords(SeamedThreads(seam), clock, lambda: None)

    def advance() -> None:
        following.follow([peer])
        clock.pump([PASSWORD_RETRY_SECONDS] * 2)
        assert following.known == {peer.address: "secret"}

    def alerts() -> list[str]:
        return [problem] if (problem := following.problem(peer.address)) else []

    return RunningActivity(seam, advance, following.stop, alerts)


def exabgp(_clock: Clock, seam: Bomb) -> RunningActivity:
    class SeamedHarness(SpeakerHarness):
        @override
        def _spawn(self, reactor: object, argv: Sequence[str], **how: Any) -> FakeChild:
            seam()
            return super()._spawn(reactor, argv, **how)

    harness = SeamedHarness(ROUTER, Path().absolute())
    harness.speaker.start()

    def advance() -> None:
        harness.exabgp.end()
        harness.wait_for_restart()

    return RunningActivity(seam, advance, lambda: Deferred.fromCoroutine(harness.speaker.stop()))


def heartbeat(_clock: Clock, seam: Bomb) -> RunningActivity:
    harness = SpeakerHarness(ROUTER, Path().absolute())
    beat = harness.speaker.heartbeat

    def seamed() -> None:
        seam()
        beat()

    harness.speaker.heartbeat = seamed  # type: ignore[method-assign]  # the seam
    harness.speaker.start()
    harness.exabgp.connect_relay()

    def advance() -> None:
        harness.run(3.0)
        assert not harness.exabgp.killed

    return RunningActivity(seam, advance, lambda: Deferred.fromCoroutine(harness.speaker.stop()))


def heap(clock: Clock, seam: Bomb) -> RunningActivity:
    return _seamed_heap("collect", [1.0], clock, seam)


def heap_examination(clock: Clock, seam: Bomb) -> RunningActivity:
    return _seamed_heap("get_freeze_count", [EXAMINED_SECONDS], clock, seam)


def _seamed_heap(name: str, times: Sequence[float], clock: Clock, seam: Bomb) -> RunningActivity:
    class SeamedCollector:
        def __getattr__(self, attribute: str) -> Any:
            if attribute == name:
                seam()
            return getattr(gc, attribute)

    setattr(collection, "gc", SeamedCollector())  # noqa: B010  # the seam
    collected = Heap(clock)
    collected.start()

    def stop() -> None:
        collected.stop()
        setattr(collection, "gc", gc)  # noqa: B010

    return RunningActivity(seam, lambda: clock.pump(times), stop)


def poll(clock: Clock, seam: Bomb) -> RunningActivity:
    class SeamedLooks:
        def run(self, call: Callable[[], T]) -> Deferred[T]:
            seam()
            return execute(call)

    polled = FilePoll(SeamedLooks(), clock)
    Path("pool").write_text("a")
    file, found = PolledFile("pool", polled), list[object]()

    def advance() -> None:
        found.clear()
        file.applied = None
        file.changed(lambda: None).addCallback(found.append)
        clock.pump([file_poll.SETTLED, file_poll.INTERVAL, file_poll.SETTLED, file_poll.INTERVAL, 2.0])
        assert found

    return RunningActivity(seam, advance, file.close)


def poll_report(clock: Clock, seam: Bomb) -> RunningActivity:
    class Inline:
        def run(self, call: Callable[[], T]) -> Deferred[T]:
            return execute(call)

    polled = FilePoll(Inline(), clock)
    files = []
    for name in ("one", "two"):
        Path(name).write_text("a")
        files.append(PolledFile(name, polled))
    good = Bomb()
    found: list[Content] = []
    for file in files:
        file.changed(lambda: None).addCallback(found.append)
    clock.pump([0.0, file_poll.SETTLED])
    for file, content, call in zip(files, found, (seam, good), strict=True):
        file.applied = content.identity
        file.changed(call)

    def advance() -> None:
        before = good.calls
        clock.pump([file_poll.INTERVAL] * 2)
        assert good.calls > before

    def stop() -> None:
        for file in files:
            file.close()

    return RunningActivity(seam, advance, stop)


def state_files(clock: Clock, seam: Bomb) -> RunningActivity:
    files = StateFiles(SeamedThreads(seam), clock)
    written: list[str] = []

    def advance() -> None:
        written.clear()
        for name in ("one", "two"):
            files.write(Path(name), partial(written.append, name))
        clock.pump([RETRY])
        assert sorted(written) == ["one", "two"]

    return RunningActivity(seam, advance, files.finish, lambda: [alert.text for alert in files.alerts()])


def attempt(clock: Clock, seam: Bomb) -> RunningActivity:
    trying = Attempt("cannot listen", seam, clock, kind="listen", expected=(OSError,))

    def advance() -> None:
        trying.start()
        clock.pump([1.0, 1.0])
        assert trying.succeeded

    return RunningActivity(seam, advance, trying.stop)


Builder = Callable[[Clock, Bomb], RunningActivity]

SEAMS: Mapping[Builder, Sequence[str]] = MappingProxyType(
    {
        notifications: ("runtime.systemd.Notifier.__init__ Activity",),
        watchdog: (),
        progress: ("daemon.progress.Progress.__init__ Activity",),
        doctor: ("doctor.periodic.Examination.__init__ Activity",),
        announcer: ("bgp.announcer.Announcer.__init__ Activity",),
        operator_override: ("control.overrides.Overrides.__init__ Activity",),
        freeze: ("control.freeze.Freezer.__init__ Activity",),
        checks: ("checks.engine.Engine.__init__ Health", "checks.engine.Engine._schedule_wake callLater"),
        source: ("sources.feed.Feed.sleep deferLater",),
        resolver: (
            "resolve.follow.Resolver.follow callLater",
            "resolve.follow.Resolver._call callLater",
        ),
        audit: ("ipvs.audit.Audit.__init__ Activity", "ipvs.audit.Audit._examine deferLater"),
        reconciler: ("ipvs.reconciler.Reconciler.__init__ Activity",),
        ledger: ("ipvs.ledger.Ledger._save callLater", "ipvs.ledger.Ledger._finish callLater"),
        log_writer: (
            "runtime.log_writer.LogWriter.__init__ Health",
            "runtime.log_writer.LogWriter._start_thread Thread",
        ),
        status_listener: ("status.listener._Channel.callLater callLater",),
        drains: ("daemon.app.App.__init__ Attempt",),
        passwords: ("bgp.passwords.Passwords._schedule callLater",),
        exabgp: ("bgp.exabgp.process.ExaBGP.start callLater", "bgp.exabgp.process.ExaBGP._ended callLater"),
        heartbeat: ("bgp.exabgp.process.ExaBGP.__init__ Activity",),
        heap: ("runtime.heap.Heap.__init__ Activity",),
        heap_examination: (),
        poll: ("sources.file_poll.FilePoll.__init__ Activity",),
        poll_report: (),
        state_files: ("sources.state_files.StateFiles._not_written callLater",),
        attempt: ("status.listening.Listening.start Attempt",),
    }
)
"""The activities, with the places of the code where they are created."""

ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "control.listener.ControlConnection._resume callLater": "tests/integration/test_control_socket.py",
        "daemon.change_queue.ChangeQueue.__init__ Activity": "tests/unit/test_daemon_change_queue.py",
        "daemon.change_queue.ChangeQueue._set_aside Health": "tests/unit/test_daemon_change_queue.py",
        "daemon.controller.Controller.__init__ Throttle": "tests/unit/test_daemon_controller.py",
        "daemon.moving.Moving._wait callLater": "tests/unit/test_daemon_controller.py",
        "daemon.moving.Moving._expire callLater": "tests/unit/test_daemon_controller.py",
        "daemon.watch.Watch.__init__ Activity": "tests/unit/test_daemon_controller.py",
        "daemon.lookups.Lookups.__init__ Activity": "tests/unit/test_daemon_controller.py",
        "journal.recorder.Recorder.__init__ Activity": "tests/unit/test_journal_recorder.py",
        "ipvs.reconciler.Reconciler._finish_retired callLater": "tests/unit/test_ipvs_retire.py",
        "ipvs.reconciler.Reconciler._settle callLater": "tests/unit/test_ipvs_reconciler.py",
        "status.alert_times.AlertTimes.__init__ Activity": "tests/unit/test_status_alert_times.py",
        "status.events.Streams.__init__ Activity": "tests/unit/test_status_events.py",
        "runtime.activity.Activity.__init__ Health": "tests/unit/test_runtime_activity.py",
        "runtime.activity.Activity.wake callLater": "tests/unit/test_runtime_activity.py",
        "runtime.attempt.Attempt.__init__ Activity": "tests/unit/test_runtime_attempt.py",
        "runtime.line_feed.LineFeed._slice callLater": "tests/unit/test_runtime_line_feed.py",
        "runtime.spawner.Spawner._start Thread": "tests/unit/test_runtime_spawner.py",
        "runtime.throttle.Throttle.__init__ Activity": "tests/unit/test_runtime_throttle.py",
        "runtime.turns.Turns._run callLater": "tests/unit/test_runtime_turns.py",
        "runtime.turns.Turns.add callLater": "tests/unit/test_runtime_turns.py",
        "runtime.workers.Workers._start_thread Thread": "tests/unit/test_runtime_workers.py",
        "sources.etcd.v3watch.KeyWatcher._sleep deferLater": "tests/contract/test_sources_faults.py",
        "sources.pool_source.PoolSource._use callLater": "tests/unit/test_sources_pool_source.py",
    }
)
"""Activities whose exceptions have their tests in another file."""

ONCE = frozenset(
    (
        "bgp.exabgp.process.ExaBGP.stop callLater",
        "control.commands._diff deferLater",
        "control.api.ControlAPI.settled deferLater",
        "control.listener.ControlConnection._start_deadline callLater",
        "daemon.reloader.Reloader._prepare deferLater",
        "daemon.reloader.Reloader._turn deferLater",
        "http.client.HTTPClient._in_turn callLater",
        "http.connection.HTTPConnection.send callLater",
        "journal.rebuild.Rebuild._pace deferLater",
        "runtime.turns.Pace.turn deferLater",
        "resolve.dns.DNSClient._by_udp callLater",
        "sources.pool_source.PoolSource._take_saved callLater",
        "status.first_answers.FirstAnswers._wait deferLater",
        "status.listener.StatusFactory.finish deferLater",
        "status.sending.BodyProducer.__init__ callLater",
    )
)
"""Deadlines and pauses of one request, command or reload, or of the start."""


class Places(ast.NodeVisitor):
    """The places of a module that create an activity, a delayed call or a thread."""

    CREATED = frozenset(
        ("Activity", "Attempt", "Throttle", "Health", "Thread", "callLater", "deferLater", "LoopingCall")
    )

    def __init__(self, module: str) -> None:
        self.found: set[str] = set()
        self._within = [module]

    def _enter(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _enter  # noqa: N815  # ast's names

    def visit_Call(self, node: ast.Call) -> None:  # likewise
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name in self.CREATED:
            self.found.add(f"{'.'.join(self._within)} {name}")
        self.generic_visit(node)


def places() -> set[str]:
    """Return all places of the code."""
    found: set[str] = set()
    for module, file in modules().items():
        visitor = Places(module.removeprefix("pybal."))
        visitor.visit(nodes_of(file)[0])
        found |= visitor.found
    return found


@implementer(ILogObserver)
class Observed:
    """The faults of this process, and the alerts at the moment of each exception."""

    def __init__(self, clock: Clock) -> None:
        self.faults = Faults(clock.seconds)
        self.at_exception: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        self.faults(event)
        if event.get("log_failure"):
            self.at_exception += self.texts

    @property
    def texts(self) -> list[str]:
        return [alert.text for alert in self.faults.alerts()]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def observed(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Observed]:
    monkeypatch.chdir(tmp_path)
    observer = Observed(clock)
    globalLogPublisher.addObserver(observer)
    yield observer
    globalLogPublisher.removeObserver(observer)


def test_every_activity_of_the_code_has_an_entry() -> None:
    seamed = {place for created in SEAMS.values() for place in created}
    assert seamed | ELSEWHERE.keys() | ONCE == places()
    assert all((Path(__file__).parents[2] / file).exists() for file in ELSEWHERE.values())


@pytest.mark.parametrize("build", SEAMS, ids=lambda build: build.__name__)
def test_activity_continues_after_an_exception_with_an_alert(build: Builder, clock: Clock, observed: Observed) -> None:
    running = build(clock, Bomb())
    running.advance()
    assert observed.texts == []
    running.seam.armed = True
    before = running.seam.calls
    running.advance()
    assert not running.seam.armed
    assert observed.faults.total == 1
    assert any(re.search(r"(for \d+ s|\d+ s ago).*MemoryError", text) for text in observed.at_exception)
    running.advance()
    running.advance()
    assert running.seam.calls >= before + 2
    assert list(running.alert()) == []
    assert not any("retrying" in text for text in observed.texts)
    clock.advance(FORGET_SECONDS)
    assert observed.texts == []
    running.stop()
    assert clock.getDelayedCalls() == []
