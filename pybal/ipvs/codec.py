"""IPVS values to the attributes of its generic netlink family and back.

Pure. The kinds of attribute are those of linux/ip_vs.h (IPVS_SVC_ATTR_*, IPVS_DEST_ATTR_*); texts end with a NUL, numbers
are in the byte order of the host, except be16 and be32. An address takes 16 bytes; IPv4 uses the first four.

    ================ ==== =============== =================================================================
    of a service     kind layout          notes
    ================ ==== =============== =================================================================
    family           1    u16
    protocol         2    u16             IP protocol; with address and port, or else the mark
    address, port    3, 4 16 bytes, be16
    mark             5    u32             firewall mark
    scheduler        6    text
    flags            7    u32, u32        flags and their mask; 2 (hashed) belongs to the kernel
    timeout          8    u32             persistence in seconds
    netmask          9    be32 or u32     IPv4: the mask; IPv6: the length of the prefix
    engine           11   text            of persistence
    ================ ==== =============== =================================================================

    ================ ==== =============== =================================================================
    of a destination kind layout          notes
    ================ ==== =============== =================================================================
    address, port    1, 2 16 bytes, be16
    forward          3    u32             the method in the lowest three bits
    weight           4    u32
    upper, lower     5, 6 u32             thresholds
    active, inactive 7, 8 u32             connections; in replies only, like the counters
    family           11   u16
    counters         12   attributes      u64: connections 1, packets in 2, bytes in 4; since Linux 4.1
    encapsulation    13   u8              13 to 15 apply to tunnels only
    tunnel port      14   be16
    tunnel flags     15   u16             checksums
    ================ ==== =============== =================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from struct import Struct

from pybal.core.model import Address
from pybal.ipvs.framing import attribute, attributes
from pybal.ipvs.model import (
    MAX_U32,
    OWN_FLAGS,
    Command,
    Destination,
    Encapsulation,
    Flags,
    Forward,
    Key,
    Mark,
    Op,
    Persistence,
    ServiceKey,
    Traffic,
    Tunnel,
    VirtualService,
)

AF_INET, AF_INET6 = 2, 10
SERVICE, DESTINATION = 1, 2  # attributes of a request
READ_SERVICE, READ_DESTINATIONS = 4, 8  # commands in addition to model.Command

_U8, _U16, _U32, _BE16, _FLAGS = (Struct(layout) for layout in ("=B", "=H", "=I", ">H", "=II"))
_U64 = Struct("=Q")


class _Service(IntEnum):
    FAMILY = 1
    PROTOCOL = 2
    ADDRESS = 3
    PORT = 4
    MARK = 5
    SCHEDULER = 6
    FLAGS = 7
    TIMEOUT = 8
    NETMASK = 9
    ENGINE = 11


class _Destination(IntEnum):
    ADDRESS = 1
    PORT = 2
    FORWARD = 3
    WEIGHT = 4
    UPPER = 5
    LOWER = 6
    ACTIVE = 7
    INACTIVE = 8
    FAMILY = 11
    COUNTERS = 12
    ENCAPSULATION = 13
    TUNNEL_PORT = 14
    TUNNEL_FLAGS = 15


class _Counter(IntEnum):
    CONNECTIONS = 1
    PACKETS_IN = 2
    BYTES_IN = 4


_COUNTERS = Struct("=4sQ4sQ12x4sQ")
_COUNTER_HEADERS = tuple(attribute(each, bytes(8))[:4] for each in _Counter)
_SETTABLE = MAX_U32 & ~Flags.HASHED
_FORWARD_BITS = 7


def encode(op: Op) -> bytes:
    """Return the attributes of the request for ``op``."""
    if op.command in (Command.ADD_SERVICE, Command.EDIT_SERVICE):
        return attribute(SERVICE, _service(op.service))
    if op.destination is None:
        return encode_key(op.key)
    return encode_key(op.key) + attribute(DESTINATION, _destination(op.destination))


def encode_key(key: ServiceKey) -> bytes:
    """Return the attributes of a request about one service."""
    return attribute(SERVICE, _key(key))


def decode_service(reply: Mapping[int, bytes]) -> VirtualService:
    """Return the service in a reply. Raises KeyError, ValueError or struct.error if it is invalid."""
    found = attributes(reply[SERVICE])
    ipv6 = _number(_U16, found[_Service.FAMILY]) == AF_INET6
    key: ServiceKey
    if _Service.MARK in found:
        key = Mark(_number(_U32, found[_Service.MARK]), ipv6)
    else:
        address = _address(found[_Service.ADDRESS], ipv6=ipv6)
        key = Key(_number(_U16, found[_Service.PROTOCOL]), address, _number(_BE16, found[_Service.PORT]))
    flags = Flags(_FLAGS.unpack(found[_Service.FLAGS])[0])
    return VirtualService(
        key,
        _text(found[_Service.SCHEDULER]),
        flags & OWN_FLAGS,
        _persistence(found, ipv6=ipv6) if Flags.PERSISTENT in flags else None,
    )


def _persistence(found: Mapping[int, bytes], *, ipv6: bool) -> Persistence:
    netmask = found[_Service.NETMASK]
    length = _number(_U32, netmask) if ipv6 else int.from_bytes(netmask, "big").bit_count()
    return Persistence(_number(_U32, found[_Service.TIMEOUT]), length, _text(found.get(_Service.ENGINE, b"")))


def decode_destination(reply: Mapping[int, bytes], key: ServiceKey) -> tuple[Destination, Traffic | None]:
    """Return the destination in a reply about a service, and its traffic if the kernel counts it.

    Raises as :func:`decode_service`.
    """
    found = attributes(reply[DESTINATION])
    family = found.get(_Destination.FAMILY)  # absent before Linux 3.18: the family of the service
    ipv6 = key.ipv6 if family is None else _number(_U16, family) == AF_INET6
    forward = Forward(_number(_U32, found[_Destination.FORWARD]) & _FORWARD_BITS)
    destination = Destination(
        _address(found[_Destination.ADDRESS], ipv6=ipv6),
        _number(_BE16, found[_Destination.PORT]),
        _number(_U32, found[_Destination.WEIGHT]),
        forward,
        _number(_U32, found[_Destination.UPPER]),
        _number(_U32, found[_Destination.LOWER]),
        _tunnel(found) if forward is Forward.TUNNEL and _Destination.ENCAPSULATION in found else Tunnel(),
    )
    return destination, _traffic(found) if _Destination.COUNTERS in found else None


def _traffic(found: Mapping[int, bytes]) -> Traffic:
    active, inactive = _number(_U32, found[_Destination.ACTIVE]), _number(_U32, found[_Destination.INACTIVE])
    return Traffic(active, inactive, *_counters(found[_Destination.COUNTERS]))


def _counters(data: bytes) -> tuple[int, int, int]:
    if len(data) >= _COUNTERS.size:
        # The layout of machines that need no padding; it takes a sixth of the time.
        first, connections, second, packets, fourth, size = _COUNTERS.unpack_from(data)
        if (first, second, fourth) == _COUNTER_HEADERS:
            return connections, packets, size
    counters = attributes(data)
    connections, packets, size = (_number(_U64, counters[each]) for each in _Counter)
    return connections, packets, size


def _tunnel(found: Mapping[int, bytes]) -> Tunnel:
    return Tunnel(
        Encapsulation(_number(_U8, found[_Destination.ENCAPSULATION])),
        _number(_BE16, found[_Destination.TUNNEL_PORT]),
        _number(_U16, found[_Destination.TUNNEL_FLAGS]),
    )


def _key(key: ServiceKey) -> bytes:
    family = attribute(_Service.FAMILY, _U16.pack(AF_INET6 if key.ipv6 else AF_INET))
    if isinstance(key, Mark):
        return family + attribute(_Service.MARK, _U32.pack(key.mark))
    return (
        family
        + attribute(_Service.PROTOCOL, _U16.pack(key.protocol))
        + attribute(_Service.ADDRESS, key.address.packed.ljust(16, b"\0"))
        + attribute(_Service.PORT, _BE16.pack(key.port))
    )


def _service(service: VirtualService) -> bytes:
    ipv6 = service.key.ipv6
    persistence = service.persistence or Persistence(0, 128 if ipv6 else 32)
    netmask = (
        _U32.pack(persistence.netmask)
        if ipv6
        else ((MAX_U32 << (32 - persistence.netmask)) & MAX_U32).to_bytes(4, "big")
    )
    flags = service.flags | (Flags.PERSISTENT if service.persistence else 0)
    return (
        _key(service.key)
        + attribute(_Service.SCHEDULER, service.scheduler.encode() + b"\0")
        + attribute(_Service.FLAGS, _FLAGS.pack(flags, _SETTABLE))
        + attribute(_Service.TIMEOUT, _U32.pack(persistence.timeout))
        + attribute(_Service.NETMASK, netmask)
        + (attribute(_Service.ENGINE, persistence.engine.encode() + b"\0") if persistence.engine else b"")
    )


def _destination(destination: Destination) -> bytes:
    """Encode all fields for every command; a deletion uses address, port and family only."""
    address = destination.address
    ipv6 = isinstance(address, IPv6Address)
    body = (
        attribute(_Destination.ADDRESS, address.packed.ljust(16, b"\0"))
        + attribute(_Destination.PORT, _BE16.pack(destination.port))
        + attribute(_Destination.FAMILY, _U16.pack(AF_INET6 if ipv6 else AF_INET))
        + attribute(_Destination.FORWARD, _U32.pack(destination.forward))
        + attribute(_Destination.WEIGHT, _U32.pack(destination.weight))
        + attribute(_Destination.UPPER, _U32.pack(destination.upper))
        + attribute(_Destination.LOWER, _U32.pack(destination.lower))
    )
    if destination.forward is not Forward.TUNNEL:
        return body
    tunnel = destination.tunnel
    return (
        body
        + attribute(_Destination.ENCAPSULATION, _U8.pack(tunnel.encapsulation))
        + attribute(_Destination.TUNNEL_PORT, _BE16.pack(tunnel.port))
        + attribute(_Destination.TUNNEL_FLAGS, _U16.pack(tunnel.flags))
    )


def _address(raw: bytes, *, ipv6: bool) -> Address:
    return IPv6Address(raw[:16]) if ipv6 else IPv4Address(raw[:4])


def _number(layout: Struct, raw: bytes) -> int:
    (number,) = layout.unpack(raw)
    return int(number)


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()
