"""The findings of the doctor for good and bad hosts."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from pybal.config.parse import parse
from pybal.config.settings import Settings
from pybal.doctor.finding import Finding, Grade, document, report, to_mend
from pybal.doctor.host import Host, Local, Module, Process
from pybal.doctor.rules import evaluate, modules
from pybal.monitors.kinds import KINDS

CONF = """
[global]
bgp = {bgp}
bgp-local-asn = 64600
bgp-peer-address = 192.0.2.251
bgp-nexthop-ipv4 = 192.0.2.10
instrumentation = yes
ipvs-backend = {backend}
advertised_instrumentation_ips = ['192.0.2.7']

[web]
protocol = {protocol}
ip = 192.0.2.1
port = 80
scheduler = {scheduler}
config = file:///pools/web
"""
LO = tuple(Local(ip_network(ip), "lo") for ip in ("127.0.0.0/8", "192.0.2.1/32", "192.0.2.7/32", "192.0.2.10/32"))
GOOD = Host(
    release="6.1.0-25-amd64",
    modules={"ip_vs": Module.LOADED, "ip_vs_wrr": Module.LOADABLE},
    sysctls={
        "net.ipv4.vs.expire_nodest_conn": 1,
        "net.ipv4.vs.conn_reuse_mode": 1,
        "net.ipv4.vs.sloppy_tcp": 0,
        "net.ipv4.vs.conntrack": 0,
        "net.netfilter.nf_conntrack_count": 20,
        "net.netfilter.nf_conntrack_max": 1000,
        "net.netfilter.nf_conntrack_tcp_loose": 1,
    },
    permanent=frozenset(("lo", "dummy0")),
    local=LO,
    process=Process(42, 1 << 12 | 1 << 10, 65536, contained=False),
    versions={"twisted": "22.4.0", "exabgp": "4.2.21"},
)


def settings(*, bgp: str = "yes", backend: str = "netlink", scheduler: str = "wrr", protocol: str = "tcp") -> Settings:
    return parse(CONF.format(bgp=bgp, backend=backend, scheduler=scheduler, protocol=protocol), "f", KINDS).settings


def bad(host: Host, of: Settings | None = None, monitors: int | None = None) -> list[Finding]:
    return [each for each in evaluate(host, of or settings(), monitors) if each.grade is not Grade.OK]


def only(host: Host, of: Settings | None = None, monitors: int | None = None) -> Finding:
    (finding,) = bad(host, of, monitors)
    return finding


def with_sysctls(**changes: int | None) -> Host:
    """Return the good host with other values; ``None`` removes one. Two underscores stand for a dot."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    merged = {**GOOD.sysctls, **named}
    return replace(GOOD, sysctls={name: value for name, value in merged.items() if value is not None})


def test_next_hop_that_the_host_lacks_is_a_warning() -> None:
    finding = only(replace(GOOD, local=LO[:3]))
    assert (finding.about, finding.grade, finding.found) == ("next hop 192.0.2.10", Grade.WARN, "on no device")
    assert finding.mend == "set bgp-nexthop-ipv4 to an address of this host, and pybal reload"
    assert bad(replace(GOOD, local=LO[:3]), settings(bgp="no")) == []


def test_good_host_has_only_good_findings() -> None:
    assert bad(GOOD, monitors=30_000) == []
    assert [each.text for each in evaluate(GOOD, settings())] == [
        "Linux: 6.1.0-25-amd64",
        "twisted: 22.4.0",
        "exabgp: 4.2.21",
        "file descriptors: at most 65536",
        "CAP_NET_ADMIN: process 42 has it",
        "module ip_vs: loaded",
        "module ip_vs_wrr: not loaded; the kernel loads it on first use",
        "VIPs: 2 of 2 on lo or a suitable device",
        "net.ipv4.vs.expire_nodest_conn: 1",
        "net.ipv4.vs.conn_reuse_mode: 1",
        "net.ipv4.vs.sloppy_tcp: 0",
        "conntrack: 20 of 1000 connections",
    ]


def test_rules_of_ipvs_do_not_apply_to_a_table_in_memory() -> None:
    nothing = replace(GOOD, modules={}, sysctls={}, local=(), process=replace(GOOD.process, capabilities=0))
    assert bad(nothing, settings(backend="memory")) == []


def test_modules_are_ipvs_and_each_scheduler() -> None:
    assert modules(settings(scheduler="mh")) == ("ip_vs", "ip_vs_mh")


@pytest.mark.parametrize(
    ("name", "state", "grade", "mend"),
    [
        ("ip_vs", Module.LOADABLE, Grade.FAIL, "modprobe ip_vs && echo ip_vs >> /etc/modules-load.d/pybal.conf"),
        ("ip_vs", Module.UNKNOWN, Grade.FAIL, "modprobe ip_vs && echo ip_vs >> /etc/modules-load.d/pybal.conf"),
        (
            "ip_vs_wrr",
            Module.ABSENT,
            Grade.FAIL,
            "apt install linux-image-$(dpkg --print-architecture), then reboot: that kernel has ip_vs_wrr",
        ),
        ("ip_vs_wrr", Module.UNKNOWN, Grade.UNKNOWN, ""),
    ],
)
def test_missing_module_fails_with_the_command_that_loads_it(name: str, state: Module, grade: Grade, mend: str) -> None:
    finding = only(replace(GOOD, modules={**GOOD.modules, name: state}))
    assert (finding.about, finding.grade, finding.mend) == (f"module {name}", grade, mend)
    if grade is Grade.FAIL:
        lost = "the kernel has no IPVS" if name == "ip_vs" else "services with this scheduler cannot be created"
        assert finding.why == f"without it {lost}"


def test_missing_vip_fails_with_the_command_that_adds_it() -> None:
    finding = only(replace(GOOD, local=(LO[0], *LO[2:])))
    assert finding == Finding(
        "VIP 192.0.2.1",
        Grade.FAIL,
        "on no device",
        "on lo or a dummy device",
        "the kernel does not pass packets for this address to IPVS",
        "ip addr add 192.0.2.1/32 dev lo",
    )


def test_advertised_address_counts_as_a_vip_when_bgp_is_on() -> None:
    assert only(replace(GOOD, local=(*LO[:2], LO[3]))).about == "VIP 192.0.2.7"
    assert bad(replace(GOOD, local=(*LO[:2], LO[3])), settings(bgp="no")) == []


def test_vip_on_a_physical_device_is_a_warning_when_it_is_announced() -> None:
    host = replace(GOOD, local=(LO[0], *LO[2:], Local(ip_network("192.0.2.1/32"), "eth0")))
    finding = only(host)
    assert (finding.grade, finding.found, finding.mend) == (Grade.WARN, "on eth0", "ip addr add 192.0.2.1/32 dev lo")
    assert bad(host, settings(bgp="no")) == []


@pytest.mark.parametrize(("prefix", "device"), [("192.0.2.0/24", "lo"), ("192.0.2.1/32", "dummy0")])
def test_vip_may_be_on_a_dummy_device_or_in_a_local_route(prefix: str, device: str) -> None:
    assert bad(replace(GOOD, local=(LO[0], *LO[2:], Local(ip_network(prefix), device)))) == []


def test_vips_are_unknown_when_local_addresses_cannot_be_read() -> None:
    assert only(replace(GOOD, local=None)).grade is Grade.UNKNOWN


@pytest.mark.parametrize(
    ("change", "grade", "mend"),
    [
        ({"net__ipv4__vs__expire_nodest_conn": 0}, Grade.WARN, "sysctl -w net.ipv4.vs.expire_nodest_conn=1"),
        ({"net__ipv4__vs__conn_reuse_mode": 0}, Grade.FAIL, "sysctl -w net.ipv4.vs.conn_reuse_mode=1"),
        ({"net__ipv4__vs__sloppy_tcp": 1}, Grade.WARN, "sysctl -w net.ipv4.vs.sloppy_tcp=0"),
        ({"net__ipv4__vs__expire_nodest_conn": None}, Grade.UNKNOWN, ""),
        ({"net__netfilter__nf_conntrack_count": 900}, Grade.FAIL, "sysctl -w net.netfilter.nf_conntrack_max=2000"),
        (
            {"net__netfilter__nf_conntrack_tcp_loose": 0},
            Grade.WARN,
            "sysctl -w net.netfilter.nf_conntrack_tcp_loose=1",
        ),
    ],
)
def test_wrong_sysctl_has_the_command_that_sets_it(change: dict[str, int | None], grade: Grade, mend: str) -> None:
    finding = only(with_sysctls(**change))
    assert (finding.grade, finding.mend) == (grade, mend)


def test_sysctls_accept_higher_reuse_mode_and_missing_conntrack() -> None:
    assert bad(with_sysctls(net__ipv4__vs__conn_reuse_mode=3)) == []
    gone = with_sysctls(net__netfilter__nf_conntrack_count=None, net__netfilter__nf_conntrack_max=None)
    assert bad(gone) == []
    assert bad(with_sysctls(net__netfilter__nf_conntrack_max=None)) == []
    assert bad(with_sysctls(net__netfilter__nf_conntrack_tcp_loose=0, net__ipv4__vs__conntrack=1)) == []


@pytest.mark.parametrize(("scheduler", "wanted"), [("mh", "1"), ("sh", "1")])
def test_sloppy_tcp_is_wanted_when_all_schedulers_hash(scheduler: str, wanted: str) -> None:
    host = replace(GOOD, modules={"ip_vs": Module.LOADED, f"ip_vs_{scheduler}": Module.LOADED})
    finding = only(host, settings(scheduler=scheduler))
    assert (finding.about, finding.found, finding.wanted) == ("net.ipv4.vs.sloppy_tcp", "0", wanted)
    # A single balancer, or UDP, receives no connections of another balancer.
    assert bad(host, settings(scheduler=scheduler, bgp="no")) == []
    assert bad(host, settings(scheduler=scheduler, protocol="udp")) == []


def test_sloppy_tcp_may_have_any_value_when_only_some_schedulers_hash() -> None:
    both = settings(scheduler="mh")
    other = settings(scheduler="wrr").services[0]
    mixed = replace(both, services=(*both.services, replace(other, service=replace(other.service, port=443))))
    for sloppy in (0, 1):
        host = replace(
            with_sysctls(net__ipv4__vs__sloppy_tcp=sloppy), modules={**GOOD.modules, "ip_vs_mh": Module.LOADED}
        )
        assert bad(host, mixed) == []


def test_descriptor_limit_must_cover_twice_the_monitors() -> None:
    few = replace(GOOD, process=replace(GOOD.process, descriptors=1024))
    assert bad(few, monitors=384) == []
    finding = only(few, monitors=385)
    assert (finding.text, finding.mend) == (
        "file descriptors: at most 1024, wanted 1026 or more",
        "prlimit --pid 42 --nofile=1026:1026 (and LimitNOFILE= in the unit)",
    )
    assert only(few).wanted == "4096 or more"
    assert only(replace(GOOD, process=replace(GOOD.process, descriptors=None))).grade is Grade.UNKNOWN


def test_capabilities_depend_on_the_configuration() -> None:
    weak = replace(GOOD, process=replace(GOOD.process, capabilities=0))
    assert (only(weak).about, only(weak).grade) == ("CAP_NET_ADMIN", Grade.FAIL)
    low = parse(
        CONF.format(bgp="no", backend="netlink", scheduler="wrr", protocol="tcp").replace(
            "instrumentation = yes", "instrumentation = yes\ninstrumentation_port = 90"
        ),
        "f",
        KINDS,
    ).settings
    assert [each.about for each in bad(weak, low)] == ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"]
    free = replace(weak, sysctls={**GOOD.sysctls, "net.ipv4.ip_unprivileged_port_start": 90})
    assert only(free, low).about == "CAP_NET_ADMIN"
    unseen = only(replace(GOOD, process=Process(42, None, 65536, contained=False)))
    assert (unseen.grade, unseen.found) == (Grade.UNKNOWN, "cannot read the capabilities of process 42")
    contained = only(replace(GOOD, process=replace(GOOD.process, contained=True)))
    assert (contained.about, contained.grade, contained.found) == ("CAP_NET_ADMIN", Grade.FAIL, "in a user namespace")


def test_old_or_missing_packages_fail_and_exabgp_only_with_bgp() -> None:
    old = replace(GOOD, versions={"twisted": "20.3.0"})
    assert [(each.text, each.mend) for each in bad(old)] == [
        ("twisted: 20.3.0, wanted 22.4 or later", "apt install python3-twisted"),
        ("exabgp: not installed, wanted 4.2 or later", "apt install exabgp"),
    ]
    assert [each.about for each in bad(old, settings(bgp="no"))] == ["twisted"]


def test_report_is_in_order_of_severity_with_reason_and_fix() -> None:
    findings = [
        Finding("Linux", Grade.OK, "6.1"),
        Finding("a", Grade.WARN, "0", "1", "of this", "do that"),
        Finding("b", Grade.FAIL, "gone"),
    ]
    assert [each.about for each in to_mend(findings)] == ["b", "a"]
    assert report(findings) == (
        "fail     b: gone\n"
        "warn     a: 0, wanted 1\n"
        "         why: of this\n"
        "         fix: do that\n"
        "ok       Linux: 6.1\n"
        "1 fail, 1 warn, 0 unknown, 1 ok\n"
    )
    assert document(findings)[1] == {
        "about": "a",
        "grade": "warn",
        "found": "0",
        "wanted": "1",
        "why": "of this",
        "mend": "do that",
    }
