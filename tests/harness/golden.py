"""Golden files: outputs of PyBal for fixed inputs, recorded in tests/data/golden.

``python -m tests.harness.golden`` rewrites the files, tests/unit/test_golden.py compares them. All code of PyBal is used through
the imports below, so that a move of code changes these imports only.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import quote

from twisted.internet.address import IPv4Address as Endpoint
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from pybal.bgp.model import Announcement, Session, SessionState
from pybal.bgp.service import BGPService
from pybal.bgp.verdict import Verdict, Why
from pybal.checks.engine import Engine
from pybal.config.errors import ConfigError
from pybal.config.parse import parse
from pybal.config.pattern import Pattern
from pybal.config.settings import PeerSettings, Settings
from pybal.core.model import Alert, Member, Pool, Report, Snapshot
from pybal.daemon.app import App
from pybal.ipvs.audit import Drift, Findings, Reading
from pybal.ipvs.backend import MemoryBackend
from pybal.ipvs.goal import Intent
from pybal.ipvs.model import Traffic, entry, key_of
from pybal.monitors.base import Monitor
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.interval import Interval
from pybal.monitors.kinds import KINDS, name_of, prepare
from pybal.reload.difference import announcement_reasons, peer_reasons
from pybal.reload.file import ConfigurationFile
from pybal.reload.plan import ReloadPlan, Verb
from pybal.reload.render import plan_text
from pybal.runtime.activities import Activities
from pybal.runtime.file_values import inline
from pybal.runtime.held import Held
from pybal.runtime.log import Log
from pybal.runtime.systemd import Notifier
from pybal.status.bgp import BGP
from pybal.status.checks import families as checker_families
from pybal.status.ipvs import families as ipvs_families
from pybal.status.json_pieces import pieces
from pybal.status.reload import plan_json
from pybal.status.routes import DESTINATIONS
from tests.harness.daemon_process import free_port
from tests.harness.fake_services import DaemonOnClock
from tests.harness.samples import Sample
from tests.harness.snapshots import (
    DOWN,
    FORCED,
    HEALTHY,
    OUT,
    SICK,
    SMALL,
    UNKNOWN,
    CountingMonitor,
    pool,
    server,
    snapshot,
    status,
    whole,
)

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden"

CONFIGURATIONS: Mapping[str, Path] = {
    "etc": ROOT / "etc" / "pybal.conf",
    "demo": ROOT / "etc" / "demo" / "pybal.conf",
    **{path.stem: path for path in sorted((ROOT / "tests" / "data" / "config").glob("*.conf"))},
}
RELOADS = (
    ("every-default", "every-option"),
    ("every-option", "every-default"),
    ("every-monitor", "wmf-like"),
    ("wmf-like", "every-monitor"),
    ("wmf-like", "wmf-like"),
    ("etc", "demo"),
    ("demo", "odd"),
    ("doubtful", "every-default"),
)
MEMBERS = tuple(map(Member, ("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::2")))

VIP, VIP6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
ANNOUNCED = Announcement(VIP, 100, graceful_shutdown=True)
PEER = PeerSettings(ip_address("192.0.2.251"), 64600, 64601, local_address=ip_address("192.0.2.10"))
ENTERED = {SessionState.ESTABLISHED: 2}
SESSIONS = BGP(
    enabled=True,
    verdicts=(
        Verdict(VIP, ANNOUNCED, None, "1 service verified, 7 of 16 servers pooled", 40.0),
        Verdict(VIP6, None, Why.FIRST_CHECKS, "web: 3 of 16 servers unknown", 98.0),
    ),
    sessions=(
        Session(
            PEER,
            SessionState.ESTABLISHED,
            50.0,
            ENTERED,
            "",
            (ANNOUNCED,),
            2,
            (VIP6,),
            3,
            families=(4, 6),
            local_address=PEER.local_address,
        ),
        Session(replace(PEER, address=ip_address("2001:db8::251")), last_error="hold timer expired", down_since=90.0),
    ),
    restarts=3,
)
PARTLY = MappingProxyType({"ProxyFetch": Report(True, at=40.0), "IdleConnection": Report(False, "refused", 90.0, "x")})
MIXED = snapshot(
    pool(
        "web",
        server("up"),
        server("disabled", enabled=False),
        server("disabled-down", DOWN, OUT, enabled=False),
        server("down", DOWN, OUT),
        server("forced", DOWN, FORCED, weight=0),
        server("unknown", UNKNOWN),
        server("unknown-forced", UNKNOWN, FORCED),
        server("unknown-out", UNKNOWN, OUT),
        server("unresolved", UNKNOWN, OUT, address=None),
        replace(server("nowhere", UNKNOWN, OUT, address=None), unresolvable=True),
        replace(server("partly", placement=OUT), reports=PARTLY),
        replace(server("excused"), reports=PARTLY, suspect_failures=frozenset({("IdleConnection", "x")})),
    ),
    pool('odd/"näme" \\', server("h/ö"), vip="2001:db8::80"),
    pool("small", server("a", address="10.0.0.2"), server("b", address="fd00::2"), threshold=1, port=443),
    pool("empty"),
    alerts=(
        Alert("web", "source", "etcd://conf1:2379/web: no response"),
        Alert("", "not-announced", "2001:db8::1/128: first-checks (web: 3 of 16 servers unknown)"),
        Alert("", "bgp", "session with peer 192.0.2.251 is IDLE, for 12 s: hold timer expired"),
    ),
    web=7,
)
SNAPSHOTS: Mapping[str, Snapshot] = {"healthy": HEALTHY, "small": SMALL, "sick": SICK, "mixed": MIXED}
SERVICE = MIXED.pools["web"].service
DRIFTED = Findings(
    interval=15.0,
    repairs=True,
    age=3.0,
    problem="",
    drift={("web", Drift.EXTRA): 1},
    intents={key_of(SERVICE): Intent(SERVICE, entry(SERVICE, {}), verified=False)},
    readings={key_of(SERVICE): Reading(None, 0.0, (), [((ip_address("10.0.0.1"), 80), Traffic(1, 2, 3, 4, 5))])},
    foreign=(),
    retired={},
)
INTERVALS = ("rise", "fall", "fast_interval", "down_interval", "jitter")
RAN = Sample("pybal_monitor_runcommand_run_duration_seconds", (("result", "failed"), ("exitcode", "1")), 1.0)


def records() -> Iterator[tuple[str, str]]:
    """Yield the path below tests/data/golden and the text of each golden file."""
    for name, path in CONFIGURATIONS.items():
        yield f"settings/{name}.json", document(configuration(path))
    yield "metrics.json", document(metrics())
    for name, shown in SNAPSHOTS.items():
        yield f"status/{name}.json", document(answers(shown, tuple(paths(shown))))
        more = ("/v1/alerts", "/v1/bgp", *(f"/v1{path}" for path in paths(shown) if path.startswith("/pools")))
        yield f"status/{name}-v1.json", document(answers(shown, more))
    for before, after in RELOADS:
        text, facts = reload(settings(before), settings(after))
        yield f"plans/{before}--{after}.txt", text
        yield f"plans/{before}--{after}.json", document(facts)


def document(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def configuration(path: Path) -> object:
    """Return the settings of a configuration file by section, its problems and its warnings."""
    name = str(path.relative_to(ROOT))
    try:
        parsed = parse(path.read_bytes(), name, KINDS)
    except ConfigError as refused:
        return {"problems": list(map(str, refused.problems)), "warnings": list(map(str, refused.warnings))}
    general = neutral(replace(parsed.settings, services=()))
    del general["services"]
    services = {each.service.name: neutral(each) for each in parsed.settings.services}
    return {
        "global": general,
        "order": list(services),
        "services": services,
        "warnings": list(map(str, parsed.warnings)),
    }


def neutral(value: object) -> Any:
    """Return a value of the settings as JSON, without the names of classes and modules."""
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return value.decode("latin-1")
        case IPv4Address() | IPv6Address():
            return str(value)
        case Pattern():
            return value.text
        case tuple():
            return [neutral(each) for each in value]
    assert is_dataclass(value), value
    found = {field.name: neutral(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Interval):
        found["intervals"] = {name: found.pop(name) for name in INTERVALS}
    return found | ({"monitor": name_of(value)} if isinstance(value, MonitorSettings) else {})


def settings(name: str) -> Settings:
    return parse(CONFIGURATIONS[name].read_bytes(), name, KINDS).settings


def metrics() -> dict[str, dict[str, Any]]:
    """Return the type, help and label names of each metric family, by name."""
    families: dict[str, dict[str, Any]] = {}
    for line in f"{metrics_of_daemon()}{metrics_of_monitors()}".splitlines():
        if declared := re.fullmatch(r"# (HELP|TYPE) (\w+) (.*)", line):
            family = families.setdefault(declared[2], {"labels": []})
            assert family.setdefault(declared[1].lower(), declared[3]) == declared[3]
        elif series := re.match(r"(\w+)", line):
            labels = sorted(re.findall(r'[{,](\w+)="', line))
            # The series of a histogram have suffixes.
            name = series[1] if series[1] in families else re.sub(r"_(bucket|count|sum)$", "", series[1])
            known = families[name]["labels"]
            if labels not in known:
                known.append(labels)
    return families


class PortKeepingReactor(MemoryReactorClock):
    """A reactor in memory that keeps the factory of the last listener."""

    factory: Any = None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self.activities = Activities()
        self._of_threads = deque[Callable[[], object]]()

    @property
    def lane(self) -> IReactorTime:
        return self

    def callFromThread(self, callable: Callable[..., object], *args: object) -> None:  # noqa: A002, N802  # Twisted's
        """Make a call in the next :meth:`turn`: threads must not change the calls while they are sorted."""
        self._of_threads.append(partial(callable, *args))

    def turn(self, seconds: float) -> None:
        """Make the calls of threads, and those that become due."""
        while self._of_threads:
            self._of_threads.popleft()()
        self.advance(seconds)

    def adoptStreamPort(self, fileDescriptor: Any, addressFamily: Any, factory: Any) -> Any:  # noqa: N802, N803
        self.factory = factory
        return super().adoptStreamPort(fileDescriptor, addressFamily, factory)  # type: ignore[no-untyped-call]


def metrics_of_daemon() -> str:
    """Return /metrics of a started daemon whose sources have not returned a list yet."""
    parsed = settings("demo")
    assert parsed.instrumentation
    port = free_port("127.0.0.1")
    parsed = replace(parsed, instrumentation=replace(parsed.instrumentation, port=port))
    file = ConfigurationFile(str(CONFIGURATIONS["demo"]), KINDS, lambda _: parsed)
    reactor = PortKeepingReactor()
    daemon = App(
        file.read(),
        file=file,
        reactor=reactor,
        held=Held(),
        backend=MemoryBackend(),
        lookup=_no_lookup,
        random=Random(1),
        notifier=Notifier({}, reactor),
        log=Log(lambda _: None),
        runtime=Path("/nonexistent"),
    )
    daemon.start()
    try:
        transport = StringTransport(hostAddress=Endpoint("TCP", "127.0.0.1", port))
        connection = reactor.factory.buildProtocol(None)
        connection.makeConnection(transport)
        connection.dataReceived(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        while not transport.disconnecting:
            reactor.turn(0.1)  # the response waits for the lists
        connection.connectionLost(Failure(ConnectionDone()))
        return str(transport.value().partition(b"\r\n\r\n")[2], "utf-8")
    finally:
        Deferred.fromCoroutine(daemon.stop())


async def _no_lookup(host: str, version: int) -> Any:
    raise AssertionError(f"unexpected lookup of {host} in IPv{version}")


def metrics_of_monitors() -> str:
    """Return /metrics?ipvs=1 with monitors of each kind, BGP sessions, IPVS drift and a local error."""
    monitors: list[tuple[str, str, Monitor]] = []
    engine = Engine(Clock())  # type: ignore[arg-type]  # never started
    engine.local_errors["EMFILE"] = 1
    for service in settings("etc").services:
        for each in service.monitors:
            plan = prepare(each, service.service, engine=engine, random=Random(1), files=inline(Clock()))
            monitor = plan.monitor("up", ip_address("10.0.0.1"), lambda _: None)
            monitors.append(("web", "up", monitor))
            monitors.append((service.service.name, "ran", CountingMonitor(monitor.name, samples=all_samples(monitor))))
    site = replace(
        status(Clock(), MIXED, monitors),
        bgp=lambda: SESSIONS,
        audit=lambda: DRIFTED,
        families=lambda: (*checker_families(engine), *ipvs_families(DRIFTED)),
    )
    return whole(site.answer(b"/metrics", as_json=False, switches=[DESTINATIONS])).decode()


def all_samples(monitor: Monitor) -> list[Sample]:
    """Return a sample of each series that a monitor can have."""
    if monitor.name == "RunCommand":  # its series have the exit codes that occurred
        return [RAN]
    return [Sample(metric, labels, 1.0) for metric, further in monitor.samples()[0].metrics for labels in further]


def paths(shown: Snapshot) -> Iterator[str]:
    """Yield the paths of PyBal 1.15 for a snapshot, and some that do not exist."""
    yield from ("/alerts", "/pools", "/pools/", "/pools/nope", "/nope")
    for name, each in shown.pools.items():
        yield f"/pools/{quote(name, safe='')}"
        yield from (f"/pools/{quote(name, safe='')}/{quote(host, safe='')}" for host in (*each.servers, "nope"))


def answers(shown: Snapshot, asked: tuple[str, ...]) -> object:
    """Return the answers for each path, as text and as JSON: code, type and body."""
    clock = Clock()
    clock.advance(112)
    site = replace(status(clock, shown), bgp=lambda: SESSIONS)
    found: dict[str, object] = {}
    for path in asked:
        for form, as_json in (("text", False), ("json", True)):
            answer = site.answer(path.encode(), as_json=as_json)
            found[f"{path} ({form})"] = [answer.code, answer.content_type.decode(), whole(answer).decode()]
    return found


def reload(before: Settings, after: Settings) -> tuple[str, object]:
    """Return the plan of a reload as text and as JSON: all servers are up but 10.0.0.3."""
    daemon = DaemonOnClock(before)
    for source in daemon.sources:
        source.listed(MEMBERS)
    daemon.turn()
    daemon.report_all("10.0.0.3")
    plan = daemon.plan(after)
    plan = replace(plan, announcements=(*peer_reasons(before, after), *announcements(daemon, before, after, plan)))
    return "".join(plan_text(plan)), json.loads("".join(pieces(plan_json(plan))))


def announcements(daemon: DaemonOnClock, before: Settings, after: Settings, plan: ReloadPlan) -> Iterator[str]:
    """Yield the changes of announcements, with all services verified in IPVS."""
    if not before.bgp or not after.bgp:
        return
    pools = daemon.services.pools()
    announcing = BGPService(
        replace(before, dry_run=True),
        before.bgp,
        pool=lambda name: pools[name],
        verified=lambda _: True,
        reactor=cast("Any", daemon.clock),
        runtime=Path("/nonexistent"),
        state=None,
        random=Random(1),
    )
    planned: dict[str, Pool] = {step.name: step.pool for step in plan.steps if step.pool}
    new = {step.name for step in plan.steps if step.verb is Verb.ADD}
    announcing.changed()
    yield from announcement_reasons(announcing.foresee(before, pools, ()), announcing.foresee(after, planned, new))


def main() -> None:
    shutil.rmtree(GOLDEN, ignore_errors=True)
    for name, text in records():
        path = GOLDEN / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
