"""A daemon killed between any two operations leaves no own service and loses no foreign one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pybal.core.model import Address, IPProtocol, Service
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import Command, Destination, Key, Mark, Op, Table, entry, key_of
from pybal.ipvs.model import VirtualService as Virtual
from pybal.ipvs.netlink import NetlinkBackend
from pybal.ipvs.reconciler import Reconciler
from tests.harness.crashing_backend import CrashingBackend, CrashPoint
from tests.harness.daemon_process import Daemon, daemon
from tests.harness.immediate import result_of

GRACE = 30.0
WEB = Service("web0", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr")
WEBS = [WEB, *(replace(WEB, name=f"web{n}", vip=WEB.vip + n) for n in (1, 2, 3))]
SERVERS: Sequence[Address] = [IPv4Address("10.0.0.11") + n for n in range(4)]
OTHERS = (Virtual(Key(17, IPv4Address("10.9.9.9"), 53), "rr"), Virtual(Mark(7), "rr"))

Configuration = Mapping[Service, Mapping[Address, int]]

#: Services are added, changed and removed: more than 50 operations in total.
SCENARIO: Sequence[Configuration] = [
    {each: dict.fromkeys(SERVERS, 10) for each in WEBS[:2]},
    {WEBS[0]: dict.fromkeys(SERVERS[:2], 10), WEBS[2]: dict.fromkeys(SERVERS, 1)},
    {replace(WEBS[0], scheduler="sh"): dict.fromkeys(SERVERS[1:], 5), WEBS[3]: dict.fromkeys(SERVERS, 1)},
    {WEBS[3]: dict.fromkeys(SERVERS, 2), WEBS[1]: dict.fromkeys(SERVERS, 3)},
    {WEBS[1]: dict.fromkeys(SERVERS[2:], 3)},
]


@pytest.fixture
def kernel() -> Iterator[NetlinkBackend]:
    """The table with foreign services."""
    backend = NetlinkBackend()
    assert backend.apply([Op(Command.ADD_SERVICE, each) for each in OTHERS]) == ()
    assert backend.apply([Op(Command.ADD, OTHERS[0], Destination(SERVERS[0], 53))]) == ()
    yield backend
    backend.close()


def in_a_process(points: int, run: Callable[[CrashPoint], None]) -> bool:
    """Run in a child process that is killed at a crash point; return whether it completed."""
    child = os.fork()
    if not child:
        try:
            run(CrashPoint(points, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        except BaseException:  # noqa: BLE001  # the child must never return
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status == 0


def life(file: Path, configuration: Configuration) -> Callable[[CrashPoint], None]:
    """Return a run of the daemon with a configuration until all removed services are gone."""

    def live(crash: CrashPoint) -> None:
        clock = Clock()
        backend = CrashingBackend(NetlinkBackend(), crash)
        reconciler = Reconciler(backend, clock, ledger=Ledger(file), grace=GRACE)
        result_of(reconciler.adopt(configuration))
        reconciler.retire_leftovers()
        for service, weights in configuration.items():
            reconciler.want(service, weights)
        clock.pump([0.0, GRACE, 0.0])
        reconciler.stop()

    return live


def wanted(configuration: Configuration) -> Table:
    return {key_of(service): entry(service, weights) for service, weights in configuration.items()}


def test_daemon_killed_after_any_operation_reaches_the_wanted_table(kernel: NetlinkBackend, tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    others = kernel.table()
    deaths = 0
    for configuration in SCENARIO:
        while not in_a_process(1, life(file, configuration)):
            deaths += 1
            held = kernel.table()
            assert {key: held[key] for key in others} == others
            assert held.keys() - others.keys() <= Ledger(file).names.keys()
        assert kernel.table() == {**wanted(configuration), **others}
        assert Ledger(file).names.keys() == wanted(configuration).keys()
    assert deaths >= 50


CONF = """[global]
instrumentation = yes
instrumentation_port = 9192
ipvs-remove-grace = {grace}
{options}
"""

SECTION = """
[{service.name}]
protocol = tcp
ip = {service.vip}
port = 80
scheduler = wrr
config = file://{directory}/pool
monitors = []
"""


FULL: dict[Address, int] = dict.fromkeys(SERVERS, 10)
QUIET: dict[Address, int] = dict.fromkeys(SERVERS, 0)


def configure(directory: Path, *services: Service, grace: float, options: str = "") -> None:
    sections = [SECTION.format(service=each, directory=directory) for each in services]
    (directory / "pybal.conf").write_text(CONF.format(grace=grace, options=options) + "".join(sections))
    (directory / "pool").write_text("".join(f"{{'host': '{a}', 'weight': 10, 'enabled': True}}\n" for a in SERVERS))


@contextmanager
def running(directory: Path, *services: Service, grace: float, options: str = "") -> Iterator[Daemon]:
    """Run the daemon with these services and kill it at the end."""
    configure(directory, *services, grace=grace, options=options)
    with daemon(directory, endpoint="http://127.0.0.1:9192") as started:
        yield started


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    return tmp_path


def test_service_removed_after_a_kill_is_drained_and_deleted_at_restart(
    kernel: NetlinkBackend, directory: Path
) -> None:
    others = kernel.table()
    stays, goes, left = wanted({WEBS[0]: FULL}), wanted({WEBS[1]: FULL}), wanted({WEBS[1]: QUIET})
    with running(directory, *WEBS[:3], grace=600) as first:
        first.wait(lambda: kernel.table() == {**stays, **goes, **wanted({WEBS[2]: FULL}), **others}, "all three")
        configure(directory, *WEBS[:2], grace=600)
        first.process.send_signal(signal.SIGHUP)
        first.wait(lambda: kernel.table() == {**stays, **goes, **wanted({WEBS[2]: QUIET}), **others}, "the reload")
    with running(directory, WEBS[0], grace=600) as second:
        second.wait(lambda: kernel.table() == {**stays, **left, **wanted({WEBS[2]: QUIET}), **others}, "the drain")
        second.wait(
            lambda: "web1 (tcp 10.2.1.2:80): retired, deleted in " in second.get("/v1/ipvs/services"),
            "the retired service",
        )
    with running(directory, WEBS[0], grace=0.5, options="ipvs-audit-interval = 0.5") as third:
        third.wait(lambda: kernel.table() == {**stays, **others}, "the end of the drain")
        third.wait(
            lambda: "services that PyBal does not own: udp 10.9.9.9:53, mark 7" in third.get("/v1/alerts"), "the alert"
        )
        configure(directory, WEBS[0], grace=0.5, options="ipvs-audit-interval = 0.5\nipvs-exclusive = yes")
        third.process.send_signal(signal.SIGHUP)
        third.wait(lambda: kernel.table() == stays, "the foreign services are gone")
        third.wait(lambda: "does not own" not in third.get("/v1/alerts"), "no alert")
        assert "Traceback" not in third.log
