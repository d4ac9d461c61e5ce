"""Parser of the output of ipvsadm 1.31: ``ipvsadm -Sn`` and ``ipvsadm -Ln --thresholds``. Pure.

The first has no thresholds, the second has no other exact values. Neither distinguishes a local destination from one by direct
routing, nor prints the protocol of a service other than TCP, UDP or SCTP: such a service is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Network, ip_address
from types import MappingProxyType

from pybal.ipvs.model import (
    NO_FLAGS,
    SCHEDULER_FLAGS,
    SCTP,
    TCP,
    UDP,
    Destination,
    Encapsulation,
    Endpoint,
    Flags,
    Forward,
    Key,
    Mark,
    Persistence,
    ServiceKey,
    Table,
    TableEntry,
    Tunnel,
    VirtualService,
)

_PROTOCOLS = {"-t": TCP, "-u": UDP, "--sctp-service": SCTP, "TCP": TCP, "UDP": UDP, "SCTP": SCTP}
_UNNAMED = ("--xxx-service", "?")
_FORWARDS = {"-m": Forward.MASQUERADE, "-i": Forward.TUNNEL, "-g": Forward.ROUTE, "(null)": Forward.BYPASS}
_CHECKSUMS = {"--tun-nocsum": 0, "--tun-csum": 1, "--tun-remcsum": 2}
_WITHOUT_VALUE = {"-o", "-6", *_FORWARDS, *_CHECKSUMS}

Thresholds = Mapping[tuple[ServiceKey, Endpoint], tuple[int, int]]


def table(saved: str, listed: str) -> Table:
    """Return the table in the output of both commands. Raises ValueError."""
    limits = thresholds(listed)
    services: dict[ServiceKey, VirtualService] = {}
    destinations: dict[ServiceKey, dict[Endpoint, Destination]] = {}
    for line in saved.splitlines():
        try:
            command, kind, place, *rest = line.split()
            if kind in _UNNAMED:
                continue
            options = dict(_options(rest))
            key = _key(kind, place, ipv6="-6" in options)
            if command == "-A":
                services[key] = _service(key, options)
                destinations[key] = {}
            else:
                destination = _destination(options)
                upper, lower = limits.get((key, destination.endpoint), (0, 0))
                destinations[key][destination.endpoint] = replace(destination, upper=upper, lower=lower)
        except (KeyError, ValueError) as error:
            raise ValueError(f"unexpected output of ipvsadm -Sn: {line!r}") from error
    return MappingProxyType(
        {key: TableEntry(service, MappingProxyType(destinations[key])) for key, service in services.items()}
    )


def thresholds(listed: str) -> Thresholds:
    """Return the upper and lower threshold of each destination that has one. Raises ValueError."""
    found: dict[tuple[ServiceKey, Endpoint], tuple[int, int]] = {}
    key: ServiceKey | None = None
    for line in listed.splitlines()[3:]:
        try:
            kind, place, *rest = line.split()
            if kind != "->":
                key = None if kind in _UNNAMED else _key(kind, place, ipv6=rest[:1] == ["IPv6"])
            elif key is not None and rest[:2] != ["0", "0"]:
                found[key, _endpoint(place)] = int(rest[0]), int(rest[1])
        except (IndexError, KeyError, ValueError) as error:
            raise ValueError(f"unexpected output of ipvsadm -Ln --thresholds: {line!r}") from error
    return found


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    left = iter(words)
    for word in left:
        yield word, "" if word in _WITHOUT_VALUE else next(left, "")


def _key(kind: str, place: str, *, ipv6: bool) -> ServiceKey:
    if kind in ("-f", "FWM"):
        return Mark(int(place), ipv6)
    return Key(_PROTOCOLS[kind], *_endpoint(place))


def _endpoint(text: str) -> Endpoint:
    address, _, port = text.rpartition(":")
    return ip_address(address.strip("[]")), int(port)


def _service(key: ServiceKey, options: Mapping[str, str]) -> VirtualService:
    flags = Flags.ONE_PACKET if "-o" in options else NO_FLAGS
    for name in options["-b"].split(",") if "-b" in options else ():
        flags |= SCHEDULER_FLAGS[name]
    persistence = None
    if "-p" in options:
        longest = 128 if key.ipv6 else 32
        length = _length(options["-M"]) if "-M" in options else longest
        if not 0 <= length <= longest:
            raise ValueError(options["-M"])
        persistence = Persistence(int(options["-p"]), length, options.get("--pe", ""))
    return VirtualService(key, options["-s"], flags, persistence)


def _length(netmask: str) -> int:
    return IPv4Network(f"0.0.0.0/{netmask}").prefixlen if "." in netmask else int(netmask)


def _destination(options: Mapping[str, str]) -> Destination:
    address, port = _endpoint(options["-r"])
    (forward,) = (each for letter, each in _FORWARDS.items() if letter in options)
    tunnel = Tunnel()
    if forward is Forward.TUNNEL and "--tun-type" in options:
        checksums = [flags for word, flags in _CHECKSUMS.items() if word in options]
        kind = Encapsulation[options["--tun-type"].upper()]
        tunnel = Tunnel(kind, int(options.get("--tun-port", 0)), *checksums)
    return Destination(address, port, int(options["-w"]), forward, tunnel=tunnel)
