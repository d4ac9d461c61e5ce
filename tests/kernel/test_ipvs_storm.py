"""The daemon beside another program that changes the same table."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

import pytest

from pybal.core.model import Address, IPProtocol, Service
from pybal.ipvs.diff import diff
from pybal.ipvs.model import Command, Destination, Op, Table, entry, key_of
from pybal.ipvs.netlink import NetlinkBackend
from pybal.ipvs.render import lines, operation
from tests.harness.daemon_process import Daemon, daemon, wait_for

SERVICES = [Service(f"web{n}", IPProtocol.TCP, IPv4Address("10.2.1.1") + n, 80, "wrr") for n in range(4)]
SERVERS: list[Address] = [IPv4Address("10.0.0.11") + n for n in range(6)]
FOREIGN = Service("", IPProtocol.UDP, IPv4Address("10.9.9.9"), 53, "rr")

WANTED: Table = {key_of(service): entry(service, dict.fromkeys(SERVERS, 10)) for service in SERVICES}
OTHERS: Table = {key_of(FOREIGN): entry(FOREIGN, {SERVERS[0]: 1})}

CONF = """[global]
instrumentation = yes
instrumentation_port = 9191
ipvs-audit-interval = 0.5
"""

SECTION = """
[{name}]
protocol = tcp
ip = {vip}
port = 80
scheduler = wrr
config = file://{pool}
monitors = []
"""


@pytest.fixture
def kernel() -> Iterator[NetlinkBackend]:
    backend = NetlinkBackend()
    yield backend
    backend.close()


@pytest.fixture
def configure(tmp_path: Path) -> Callable[[str], None]:
    """Write the pool and a configuration with these global options."""

    def write(options: str) -> None:
        pool = tmp_path / "pool"
        pool.write_text("".join(f"{{'host': '{a}', 'weight': 10, 'enabled': True}}\n" for a in SERVERS))
        sections = [SECTION.format(name=each.name, vip=each.vip, pool=pool) for each in SERVICES]
        (tmp_path / "pybal.conf").write_text(CONF + options + "".join(sections))

    return write


@pytest.fixture
def backend() -> str:
    return "netlink"


@pytest.fixture
def running(tmp_path: Path, configure: Callable[[str], None], kernel: NetlinkBackend, backend: str) -> Iterator[Daemon]:
    configure(f"ipvs-backend = {backend}\n")
    ipvsadm(diff(OTHERS, {}))
    with daemon(tmp_path, endpoint="http://127.0.0.1:9191") as started:
        started.wait(lambda: kernel.table() == {**WANTED, **OTHERS}, "the first table")
        yield started


def ipvsadm(ops: Sequence[Op]) -> None:
    text = "".join(f"{operation(op)}\n" for op in ops)
    subprocess.run(["ipvsadm", "-R"], input=text, capture_output=True, text=True, check=False)


def counted(running: Daemon) -> dict[str, float]:
    """Return the counted drift by labels."""
    rows = [line.rpartition(" ") for line in running.get("/metrics").splitlines()]
    return {name: float(n) for name, _, n in rows if name.startswith("pybal_ipvs_drift_total{")}


def storm(random: Random, table: Table) -> Iterator[Op]:
    """Yield changes that another program might make to our services."""
    for key in random.sample(sorted(table, key=str), min(3, len(table))):
        service, held = table[key].service, list(table[key].destinations.values())
        chosen: list[Op] = [
            Op(Command.DELETE_SERVICE, service),
            Op(Command.EDIT_SERVICE, replace(service, scheduler="sh")),
            Op(Command.ADD, service, Destination(IPv4Address("10.0.1.1") + random.randrange(9), 80)),
            *(Op(Command.DELETE, service, each) for each in random.sample(held, min(2, len(held)))),
            *(Op(Command.EDIT, service, Destination(each.address, 80, random.randrange(5))) for each in held[:1]),
        ]
        yield from random.sample(chosen, random.randint(1, len(chosen)))


@pytest.mark.parametrize("backend", ["netlink", "ipvsadm"])
def test_foreign_changes_by_ipvsadm_end_in_the_wanted_table(running: Daemon, kernel: NetlinkBackend) -> None:
    random = Random(6)
    for step in range(16):
        ours = {key: held for key, held in kernel.table().items() if key in WANTED}
        ipvsadm(list(storm(random, ours)))
        if step % 5 == 0:
            subprocess.run(["ipvsadm", "-C"], check=True)
            ipvsadm(diff(OTHERS, {}))
    running.wait(lambda: kernel.table() == {**WANTED, **OTHERS}, "the wanted table")
    running.wait(lambda: set(verified(running)) == {True}, "all of it verified")
    missing = 'pybal_ipvs_drift_total{kind="service-missing",service="web0"}'
    before = counted(running).get(missing, 0)
    ipvsadm([Op(Command.DELETE_SERVICE, entry(SERVICES[0], {}).service)])
    running.wait(lambda: counted(running).get(missing, 0) > before, "the missing service is counted")
    running.wait(lambda: kernel.table() == {**WANTED, **OTHERS}, "the wanted table again")
    shown = subprocess.run(["ipvsadm", "-Sn"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert sorted(shown) == sorted(lines({**WANTED, **OTHERS}))
    # With ipvsadm the page has the table of the last audit.
    running.wait(lambda: sorted(running.get("/v1/ipvs").splitlines()) == sorted(shown), "the table on the page")
    assert "Traceback" not in running.log


def verified(running: Daemon) -> list[object]:
    told = running.get_json("/v1/ipvs/services")
    assert isinstance(told, dict)
    return [each["verified"] and each["kernel"] == each["intent"] for each in told["services"].values()]


def test_each_repair_is_counted_and_the_third_of_an_entry_raises_an_alert(
    running: Daemon, kernel: NetlinkBackend
) -> None:
    running.wait(lambda: counted(running), "the foreign services are counted")
    before = counted(running)
    service = entry(SERVICES[1], {}).service
    meddling = [
        Op(Command.DELETE, service, Destination(SERVERS[0], 80)),
        Op(Command.DELETE, service, Destination(SERVERS[1], 80)),
        Op(Command.ADD, service, Destination(IPv4Address("10.0.1.1"), 80)),
        Op(Command.EDIT, service, Destination(SERVERS[2], 80, 0)),
        Op(Command.DELETE_SERVICE, entry(SERVICES[2], {}).service),
    ]
    assert kernel.apply(meddling) == ()
    running.wait(lambda: kernel.table() == {**WANTED, **OTHERS}, "the wanted table")
    wait_for(lambda: sum(counted(running).values()) - sum(before.values()) == 11, lambda: str(counted(running)))
    assert {name: count - before.get(name, 0) for name, count in counted(running).items() if name not in before} == {
        'pybal_ipvs_drift_total{kind="destination-changed",service="web1"}': 1,
        'pybal_ipvs_drift_total{kind="destination-extra",service="web1"}': 1,
        'pybal_ipvs_drift_total{kind="destination-missing",service="web1"}': 2,
        'pybal_ipvs_drift_total{kind="destination-missing",service="web2"}': 6,
        'pybal_ipvs_drift_total{kind="service-missing",service="web2"}': 1,
    }
    assert "another program writes" not in running.get("/v1/alerts")
    remove_thrice(running, kernel, SERVICES[3])
    running.wait(lambda: "another program writes to IPVS" in running.get("/v1/alerts"), "the alert")
    assert "ipvs-foreign: IPVS holds services that PyBal does not own: udp 10.9.9.9:53" in running.get("/v1/alerts")


def remove_thrice(running: Daemon, kernel: NetlinkBackend, service: Service) -> None:
    for _ in range(3):
        assert kernel.apply([Op(Command.DELETE, entry(service, {}).service, Destination(SERVERS[0], 80))]) == ()
        running.wait(lambda: kernel.table() == {**WANTED, **OTHERS}, "the wanted table")
