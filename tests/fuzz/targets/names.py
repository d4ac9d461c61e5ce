"""Messages of DNS servers, and the files of name resolution."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype
from twisted.internet.selectreactor import SelectReactor

from pybal.checks import dns_wire
from pybal.checks.dns_wire import Malformed, RecordType
from pybal.core.model import Address, Member
from pybal.resolve import message
from pybal.resolve.lookup import dns_lookup
from pybal.resolve.servers import MOST_SERVERS, nameservers
from pybal.sources.base import SourceError
from pybal.sources.dns.records import SRVRecord, listing
from tests.fuzz.scratch import scratch_file
from tests.fuzz.target import Fuzzed, choices, is_line, target
from tests.fuzz.targets.lists import is_sound
from tests.harness.immediate import result_of

ASKED = dns_wire.question("www.example.org", RecordType.A)
NUMBER = b"\x12\x34"
_REACTOR = SelectReactor()
"""Never runs: names of this host need no server."""
QUERY = NUMBER + ASKED.data
SRV_QUERY = NUMBER + ASKED.data[:-4] + b"\0\x21\0\1"
HEAD = NUMBER + b"\x81\x80\0\1\0\1\0\0\0\0" + ASKED.data[10:]
A_RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1"
SRV_RECORD = b"\xc0\x0c\0\x21\0\1\0\0\0\x3c\0\x0a\0\0\0\1\0\x50\1a\xc0\x10"
MESSAGES = [
    choices(HEAD + A_RECORD, 0),
    choices(SRV_QUERY[:2] + HEAD[2:12] + SRV_QUERY[12:] + SRV_RECORD, 1),
    choices(NUMBER + b"\x83\x83" + HEAD[4:], 0),
    choices(HEAD[:6] + b"\0\2\0\0\0\1" + HEAD[12:] + A_RECORD * 2 + b"\0\0\x29\4\xd0\0\0\0\0\0\0", 0),
    choices(NUMBER + b"\x81\x85" + bytes(8), 0),
]


def judged(data: bytes) -> dns.message.Message | None:
    """Return the message that dnspython parses."""
    try:
        return dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, struct.error):
        return None


@target("pybal.checks.dns_wire", seeds=MESSAGES, longest=512)
def dns_check(data: bytes) -> None:
    """A check and the resolver agree on code and truncation; dnspython confirms what is well-formed."""
    fuzzed = Fuzzed(data)
    fuzzed.number()
    text = fuzzed.rest
    try:
        found = dns_wire.reply(text, NUMBER, ASKED)
    except Malformed as malformed:
        is_line(str(malformed), 100)
        found = None
    other = judged(text)
    if found is None:
        return
    assert 0 <= found.code < 16
    is_line(dns_wire.code_name(found.code), 20)
    resolved = message.response(text, QUERY)
    if resolved is not None:
        assert (resolved.code, resolved.truncated) == found
    if other is not None and not found.truncated:
        assert int(other.rcode()) & 15 == found.code


@target("pybal.resolve.message", seeds=MESSAGES, longest=512)
def dns_response(data: bytes) -> None:
    """Addresses and targets are those that dnspython finds, and few records need few bytes."""
    fuzzed = Fuzzed(data)
    query = fuzzed.pick((QUERY, SRV_QUERY))
    text = fuzzed.rest
    found = message.response(text, query)
    if found is None:
        return
    assert len(found.records) <= len(text) // 11
    for record in found.records:
        assert 0 <= record.ttl < 1 << 31
        if isinstance(record.data, message.Target):
            assert len(record.data.host) <= 253
    other = judged(text)
    if other is None or found.truncated or any(len(section.items) != 1 for section in other.answer):
        return
    wanted = [(section.rdtype, item) for section in other.answer if section.rdclass == 1 for item in section.items]
    ours = [record for record in found.records if record.data is not None]
    theirs = [item for kind, item in wanted if kind in (message.A, message.AAAA, message.SRV)]
    if len(ours) != len(theirs):
        return
    for record, item in zip(ours, theirs, strict=True):
        if isinstance(record.data, message.Target):
            assert (item.priority, item.weight, item.port) == record.data[:3]
            labels = b".".join(item.target.labels).decode("latin-1").removesuffix(".")
            assert labels == record.data.host
        else:
            assert str(ip_address(item.address)) == str(record.data)


@target(
    "pybal.sources.dns.records",
    seeds=[
        b"\0\0\0\1\0\x50\1a" * 2,
        b"\0\0\0\1\0\x50\1a\0\0\0\2\0\x50\1a",
        b"\0\1\0\0\0\x51\3b\nc\0\0\0\0\0\0\0",
    ],
)
def srv_records(data: bytes) -> None:
    """Records become valid members, or problems in one line each."""
    fuzzed = Fuzzed(data)
    port = fuzzed.pick((0, 80, 81))
    last = [Member("a", 7)] if fuzzed.flag() else None
    rest, records = fuzzed.rest, []
    while len(rest) >= 7:
        priority, weight, number, size = struct.unpack_from(">HHHB", rest)
        records.append(SRVRecord(priority, weight, number, rest[7 : 7 + size].decode("latin-1")))
        rest = rest[7 + size :]
    try:
        found = listing(records, port, last)
    except SourceError as error:
        is_line(str(error), 3000)
        return
    is_sound(found)
    hosts = {record.target.lower() for record in records}
    assert {member.host for member in found.members} <= hosts
    if not found.problems:
        lowest = min((record.priority for record in records if record.target), default=0)
        assert {m.host for m in found.members} == {
            record.target.lower() for record in records if record.target and record.priority == lowest
        }


@target(
    "pybal.resolve.servers",
    seeds=[b"# a\nnameserver 10.0.0.1\nsearch a\nnameserver fe80::1%eth0\n nameserver ::1 x\n", b"nameserver\n"],
)
def resolv_conf(data: bytes) -> None:
    """The servers are addresses in the file, three at most; this host without any."""
    found = nameservers(data)
    assert 1 <= len(found) <= MOST_SERVERS
    assert all(str(ip_address(server)) == server for server in found)
    assert nameservers(data + b"\nx") == found
    again = "".join(f"nameserver {server}\n" for server in found).encode()
    assert nameservers(again) == found


@target(
    "pybal.resolve.lookup",
    "pybal.resolve.system_file",
    seeds=[b"127.0.0.1 localhost\n10.0.0.1 a.localhost A.localhost. # b\n::1 a.localhost\n", b"fe80::1%lo a.localhost"],
)
def hosts_file(data: bytes) -> None:
    """A name has the addresses of its lines; a name of this host always has one."""
    with scratch_file(data) as file:
        look_up = dns_lookup(_REACTOR, hosts=str(file), resolv_conf="/dev/null")
        for version in (4, 6):
            found = result_of(look_up("A.localhost.", version))
            assert found.addresses
            assert all(address.version == version for address in found.addresses)
            other = [address for address in _second(data) if address.version == version]
            assert [str(each) for each in found.addresses] == (
                list(map(str, other)) or ["127.0.0.1" if version == 4 else "::1"]
            )


def _second(data: bytes) -> list[Address]:
    found: list[Address] = []
    for line in data.decode("utf-8", "replace").splitlines():
        words = line.split("#")[0].lower().split()
        names = [word.removesuffix(".") for word in words[1:]]
        try:
            found += [ip_address(words[0])] * names.count("a.localhost")
        except (IndexError, ValueError):
            continue
    return found
