"""Facts collected from a directory tree that resembles a host."""

from __future__ import annotations

import struct
from ipaddress import ip_network
from pathlib import Path

import pytest

from pybal.doctor.facts import gather
from pybal.doctor.host import Local, Module, Process
from pybal.doctor.routes import local

FILES = {
    "proc/sys/kernel/osrelease": "6.1.0-25-amd64\n",
    "proc/sys/net/ipv4/vs/expire_nodest_conn": "0\n",
    "proc/sys/net/ipv4/vs/sync_ports": "text\n",
    "proc/modules": "ip_vs_wrr 16384 2 - Live 0x0000\nip_vs 221184 4 ip_vs_wrr, Live 0x0000\n",
    "lib/modules/6.1.0-25-amd64/modules.builtin": "kernel/net/netfilter/ipvs/ip_vs_rr.ko\n",
    "lib/modules/6.1.0-25-amd64/modules.dep": "kernel/net/netfilter/ipvs/ip_vs_mh.ko.xz: kernel/lib/libcrc32c.ko.xz\n",
    "sys/class/net/lo/flags": "0x9\n",
    "sys/class/net/dummy0/flags": "0xc3\n",
    "sys/class/net/eth0/flags": "0x1003\n",
    "proc/42/status": "Name:\tpybal\nPid:\t42\nCapEff:\t0000000000001400\n",
    "proc/42/uid_map": "         0          0 4294967295\n",
    "proc/42/limits": "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n",
}
VIP = (Local(ip_network("192.0.2.1/32"), "lo"),)
SCHEDULERS = ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_mh", "ip_vs_sh")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_host_is_read_from_its_files(root: Path) -> None:
    sysctls = ("net.ipv4.vs.expire_nodest_conn", "net.ipv4.vs.sync_ports", "net.ipv4.vs.conntrack")
    host = gather(SCHEDULERS, sysctls, process=42, root=root, read_local=lambda: VIP)
    assert host.release == "6.1.0-25-amd64"
    assert host.modules == {
        "ip_vs": Module.LOADED,
        "ip_vs_rr": Module.LOADED,
        "ip_vs_wrr": Module.LOADED,
        "ip_vs_mh": Module.LOADABLE,
        "ip_vs_sh": Module.ABSENT,
    }
    assert host.sysctls == {"net.ipv4.vs.expire_nodest_conn": 0}
    assert host.permanent == {"lo", "dummy0"}
    assert host.local == VIP
    assert host.process == Process(42, 0x1400, 524288, contained=False)


def test_module_state_is_unknown_without_the_list_of_installed_modules(root: Path) -> None:
    (root / "lib/modules/6.1.0-25-amd64/modules.dep").unlink()
    host = gather(("ip_vs_rr", "ip_vs_mh"), (), root=root, read_local=lambda: ())
    assert host.modules == {"ip_vs_rr": Module.LOADED, "ip_vs_mh": Module.UNKNOWN}


def test_user_namespace_is_distinguished_from_the_initial_one(root: Path) -> None:
    (root / "proc/42/uid_map").write_text("0 100000 65536\n")
    assert gather((), (), process=42, root=root, read_local=lambda: ()).process.contained is True


def test_empty_tree_gives_unknown_facts_and_no_exception(tmp_path: Path) -> None:
    def refuse() -> tuple[Local, ...]:
        raise PermissionError

    host = gather(("ip_vs",), ("net.ipv4.vs.conntrack",), process=42, root=tmp_path, read_local=refuse)
    assert (host.release, host.modules) == ("unknown", {"ip_vs": Module.UNKNOWN})
    assert (dict(host.sysctls), host.permanent, host.local) == ({}, frozenset(), None)
    assert host.process == Process(42)


@pytest.mark.parametrize(
    ("file", "text", "process"),
    [
        ("status", "CapEff:\n", Process(42, None, 524288, contained=False)),
        ("status", "CapEff:\t-1\n", Process(42, None, 524288, contained=False)),
        ("limits", "Max open files \n", Process(42, 0x1400, None, contained=False)),
        ("limits", "Max open files 1024 \u00b2 files\n", Process(42, 0x1400, None, contained=False)),
    ],
)
def test_invalid_value_of_proc_is_unknown(root: Path, file: str, text: str, process: Process) -> None:
    (root / "proc/42" / file).write_text(text)
    assert gather((), (), process=42, root=root, read_local=lambda: VIP).process == process


def test_release_that_names_no_folder_leaves_modules_unknown(root: Path) -> None:
    (root / "proc/sys/kernel/osrelease").write_text("6.1\0")
    assert gather(("ip_vs_rr",), (), root=root, read_local=lambda: VIP).modules == {"ip_vs_rr": Module.UNKNOWN}


@pytest.mark.parametrize("payload", [b"", bytes(11), bytes(13)])
def test_truncated_route_is_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match="truncated"):
        local(payload)


def attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload


@pytest.mark.parametrize(
    ("family", "bits", "destination", "found"),
    [
        (2, 24, bytes([192, 0, 2, 0]), Local(ip_network("192.0.2.0/24"), "7")),
        (10, 128, bytes.fromhex("20010db8000000000000000000000001"), Local(ip_network("2001:db8::1/128"), "7")),
        (2, 0, None, Local(ip_network("0.0.0.0/0"), "7")),
    ],
)
def test_local_route_is_decoded(family: int, bits: int, destination: bytes | None, found: Local) -> None:
    encoded = attribute(1, destination) if destination else b""
    for kind, expected in ((2, found), (1, None)):
        header = struct.pack("=8BI", family, bits, 0, 0, 255, 2, 254, kind, 0)
        assert local(header + encoded + attribute(4, struct.pack("=I", 7))) == expected


def test_loopback_prefix_is_local() -> None:
    found = gather((), ()).local
    assert found is not None
    assert Local(ip_network("127.0.0.0/8"), "lo") in found
