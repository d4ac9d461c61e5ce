"""Replies of the kernel by netlink, the output of ipvsadm, and files of /proc."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, ip_network

from pybal.bgp.exabgp.link import parent
from pybal.doctor.facts import gather
from pybal.doctor.host import Local
from pybal.doctor.routes import local
from pybal.doctor.rules import SYSCTLS
from pybal.ipvs.backend import BackendError
from pybal.ipvs.codec import DESTINATION, SERVICE, decode_destination, decode_service, encode
from pybal.ipvs.framing import ERROR, FramingError, attribute, attributes, messages, outcome
from pybal.ipvs.ipvsadm_output import table
from pybal.ipvs.model import TCP, Command, Destination, Flags, Forward, Key, Op, Persistence, VirtualService
from pybal.ipvs.netlink import NetlinkBackend
from pybal.ipvs.render import lines
from tests.fuzz.scratch import scratch_folder
from tests.fuzz.target import Fuzzed, choices, is_line, target

WEB = VirtualService(Key(TCP, IPv4Address("10.2.1.1"), 80), "wrr")
LONG = VirtualService(WEB.key, "mh", Flags.SCHED1, Persistence(300, 24, "sip"))
SERVER = Destination(IPv4Address("10.0.0.11"), 80, 10, Forward.TUNNEL)
MODULES = ("ip_vs", "ip_vs_wrr")
INVALID = (KeyError, ValueError, struct.error)


def message(kind: int, sequence: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body + bytes(-len(body) % 4)


FAMILY = message(16, 1, b"\1\2\0\0" + attribute(1, struct.pack("=H", 35))) + message(ERROR, 1, bytes(20), 0x100)


@target(
    "pybal.ipvs.framing",
    seeds=[message(35, 2, b"\1\1\0\0" + attribute(1, b"ab")) * 2, message(2, 2, struct.pack("=i", -22) + bytes(16))],
)
def netlink_messages(data: bytes) -> None:
    """Messages and attributes written again are read again; no byte is in two of them."""
    try:
        found = list(messages(data))
    except FramingError as error:
        is_line(str(error), 60)
        return
    assert sum(16 + len(each.payload) for each in found) <= len(data)
    written = b"".join(message(each.kind, each.sequence, each.payload, each.flags) for each in found)
    assert list(messages(written)) == found
    for each in found:
        with suppress(FramingError):
            parts = attributes(each.payload)
            again = b"".join(attribute(kind, part) for kind, part in parts.items())
            assert dict(attributes(again)) == dict(parts)
        try:
            code, text = outcome(each)
        except (FramingError, struct.error):
            continue
        assert 0 <= code < 4096
        assert isinstance(text, str)


@target(
    "pybal.ipvs.codec",
    seeds=[
        choices(encode(Op(Command.ADD_SERVICE, WEB)), 0),
        choices(encode(Op(Command.ADD_SERVICE, LONG)), 0),
        choices(encode(Op(Command.ADD, WEB, SERVER)), 1),
    ],
)
def ipvs_values(data: bytes) -> None:
    """Decoded values are decoded again from their own encoding."""
    fuzzed = Fuzzed(data)
    of_destination = fuzzed.flag()
    try:
        reply = attributes(fuzzed.rest)
    except FramingError:
        return
    try:
        if of_destination:
            destination, traffic = decode_destination(reply, WEB.key)
        else:
            service = decode_service(reply)
    except INVALID:
        return
    if not of_destination:
        if service.persistence and service.persistence.netmask > (128 if service.key.ipv6 else 32):
            return  # no such prefix exists; it only differs from ours
        again = attributes(encode(Op(Command.ADD_SERVICE, service)))
        assert decode_service(again) == service
        assert SERVICE in again
    else:
        again = attributes(encode(Op(Command.ADD, WEB, destination)))
        assert decode_destination(again, WEB.key) == (destination, None)
        assert traffic is None or min(traffic) >= 0
        assert DESTINATION in again


class Replies:
    """A socket with these datagrams."""

    def __init__(self, datagrams: Iterable[bytes]) -> None:
        self.datagrams = list(datagrams)

    def send(self, data: bytes) -> int:
        return len(data)

    def recv(self, size: int) -> bytes:
        if not self.datagrams:
            raise BlockingIOError(errno.EAGAIN, "no more")
        return self.datagrams.pop(0)[:size]

    def close(self) -> None:
        pass


@target(
    "pybal.ipvs.genl",
    "pybal.ipvs.framing",
    "pybal.ipvs.codec",
    seeds=[
        choices(
            message(35, 2, b"\1\1\0\0" + encode(Op(Command.ADD_SERVICE, WEB)), 2) + message(3, 2, bytes(4), 2), 1, 9
        ),
        choices(message(2, 2, struct.pack("=i", -1) + bytes(16), 0x100), 2, 1),
        choices(message(2, 3, struct.pack("=i", -17) + bytes(16) + attribute(1, b"why\0"), 0x300), 3, 1),
    ],
)
def netlink_replies(data: bytes) -> None:
    """Any replies are a result or a BackendError, however they are cut into datagrams."""
    fuzzed = Fuzzed(data)
    call = fuzzed.number(4)
    backend = NetlinkBackend(lambda: Replies([FAMILY, *fuzzed.pieces()]))
    try:
        match call:
            case 0:
                backend.services()
            case 1:
                backend.table()
            case 2:
                backend.read(WEB.key)
            case _:
                for failure in backend.apply([Op(Command.ADD_SERVICE, WEB), Op(Command.ADD, WEB, SERVER)]):
                    assert failure.errno
    except BackendError as error:
        is_line(str(error), 300)


@target(
    "pybal.doctor.routes",
    seeds=[
        struct.pack("=8BI", 2, 32, 0, 0, 255, 2, 254, 2, 0) + attribute(1, b"\x0a\0\0\1") + attribute(4, b"\1\0\0\0")
    ],
)
def local_routes(data: bytes) -> None:
    """A route is a prefix and an index, none, or a ValueError."""
    try:
        found = local(data)
    except ValueError:
        return
    if found is not None:
        assert found == Local(ip_network(str(found.prefix)), str(int(found.device)))


SAVED = (
    "-A -t 10.2.1.1:80 -s wrr\n-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10\n"
    "-A -f 7 -6 -s mh -b mh-port,flag-1 -p 300 -M 64 --pe sip\n-a -f 7 -6 -r [fd00::1]:0 -i -w 1 --tun-type gue --tun-port 5 --tun-nocsum\n"
)
LISTED = (
    "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn\n"
    "  -> RemoteAddress:Port\nTCP  10.2.1.1:80 wrr\n  -> 10.0.0.11:80                 5          1          0          0\n"
)


@target(
    "pybal.ipvs.ipvsadm_output",
    seeds=[
        f"{SAVED}\0{LISTED}".encode(),
        b"-A -u 1.2.3.4:53 -s rr -o\n\0",
        b"-A --xxx-service x\n\0\n\n\nFWM  7 IPv6 wrr\n  -> [::1]:0 1 2",
    ],
)
def ipvsadm_output(data: bytes) -> None:
    """A parsed table is parsed again from PyBal's own rendering."""
    saved, _, listed = data.decode("utf-8", "replace").partition("\0")
    try:
        found = table(saved, listed)
    except ValueError:
        return
    if any(_unusual(entry.service, entry.destinations.values()) for entry in found.values()):
        return
    assert table("\n".join(lines(found)), listed) == found


def _unusual(service: VirtualService, destinations: Iterable[Destination]) -> bool:
    """Return whether a rendering leaves something out: values that the kernel and ipvsadm do not print."""
    names = service.scheduler.split() != [service.scheduler] or service.scheduler.startswith("-")
    engine = service.persistence.engine if service.persistence else ""
    return (
        names
        or "-" in engine
        or any(each.forward is Forward.BYPASS for each in destinations)
        or (service.flags & ~Flags.ONE_PACKET and service.scheduler not in ("sh", "mh"))
        or (service.persistence is not None and not 0 <= service.persistence.timeout < 1 << 32)
    )


FILES = (
    "proc/modules",
    "proc/sys/net/ipv4/vs/conntrack",
    "sys/class/net/lo/flags",
    "proc/7/status",
    "proc/7/limits",
    "proc/7/uid_map",
    "proc/sys/kernel/osrelease",
)


@target(
    "pybal.doctor.facts",
    seeds=[
        (
            b"ip_vs 1 0 - Live 0x0\n\0"
            b"1\n\0"
            b"0x9\n\0Name:\tx\nCapEff:\t000001ffffffffff\n\0Limit Soft\nMax open files            1024                 524288               files\n\0"
            b"         0          0 4294967295\n\0006.1.0\n"
        ),
        b"\0\xb2\0\xff\0CapEff:\0Max open files \0",
    ],
)
def proc_files(data: bytes) -> None:
    """The doctor reads any content of /proc; what is not understood is unknown."""
    with scratch_folder() as folder:
        for name, content in zip(FILES, data.split(b"\0", len(FILES) - 1), strict=False):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        found = gather(MODULES, SYSCTLS, process=7, root=folder, read_local=tuple)
    assert found.modules.keys() == set(MODULES)
    assert found.process.capabilities is None or found.process.capabilities >= 0
    assert found.process.descriptors is None or found.process.descriptors >= 0
    assert found.release


@target("pybal.bgp.exabgp.link", seeds=[b"1"])
def proc_stat(data: bytes) -> None:
    """The parent of a process is a number, 0 if there is no such process."""
    number = int.from_bytes(data[:4], "big")
    assert parent(number) >= 0
    assert parent(os.getpid()) == os.getppid()
