"""FRRouting's bgpd as a router."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, ClassVar, Self

from tests.harness.bgp.router import Neighbour, Route, Routes

_FAMILIES = ("ipv4", "ipv6")
_NAMED = {"gracefulShutdown": "65535:0"}
"""Communities that FRR shows by name."""


class Frr:
    """bgpd, queried over its control socket; it exports its routes to the kernel with ``zebra`` only."""

    programs: ClassVar[Sequence[str]] = ("/usr/lib/frr/bgpd",)

    def configure(
        self, place: Path, asn: int, neighbours: Sequence[Neighbour], *, zebra: bool = False
    ) -> Sequence[str]:
        lines = [
            "hostname frr",
            f"router bgp {asn}",
            " bgp router-id 192.0.2.2",
            " no bgp ebgp-requires-policy",
            " no bgp default ipv4-unicast",
            " no bgp network import-check",
        ]
        for neighbour in neighbours:
            lines += (f" neighbor {neighbour.address} {option}" for option in _options(asn, neighbour))
        for family in _FAMILIES:
            lines.append(f" address-family {family} unicast")
            for neighbour in neighbours:
                lines.append(f"  neighbor {neighbour.address} activate")
                lines.append(f"  neighbor {neighbour.address} route-map nothing out")
            lines.append(" exit-address-family")
        lines.append("route-map nothing deny 1")
        (place / "conf").write_text("\n".join(lines) + "\n")
        port = "179" if any(neighbour.passive for neighbour in neighbours) else "0"
        options = (
            "-p",
            port,
            *(() if zebra else ("-Z",)),
            "-S",
            "-P",
            "0",
            "--log",
            f"file:{place}/log",
            "--vty_socket",
            str(place),
            "-i",
            f"{place}/pid",
        )
        return ("/usr/lib/frr/bgpd", *options, "-f", f"{place}/conf")

    def ready(self, place: Path) -> bool:
        try:
            with _Control(place) as control:
                return bool(control.ask("show bgp summary json"))
        except OSError:
            return False

    def routes(self, place: Path, neighbour: Neighbour) -> Routes:
        found: Routes = {}
        with _Control(place) as control:
            for family in _FAMILIES:
                learnt = control.ask(f"show bgp {family} unicast neighbors {neighbour.address} routes json")
                for prefix in learnt.get("routes", {}):
                    for path in control.ask(f"show bgp {family} unicast {prefix} json").get("paths", ()):
                        if path["peer"]["peerId"] == str(neighbour.address):
                            found[ip_network(prefix)] = _route(path)
        return found

    def established(self, place: Path, neighbour: Neighbour) -> bool:
        with _Control(place) as control:
            known = control.ask(f"show bgp neighbors {neighbour.address} json")
        return bool(known.get(str(neighbour.address), {}).get("bgpState") == "Established")


class _Control:
    """A connection to bgpd's control socket; an answer ends with three zero bytes and a status byte."""

    def __init__(self, place: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(str(place / "bgpd.vty"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, question: str) -> dict[str, Any]:
        """Return the JSON answer to a command, empty if it is not JSON."""
        self._socket.sendall(question.encode() + b"\0")
        answer = b""
        while answer[-4:-1] != b"\0\0\0":
            more = self._socket.recv(65536)
            if not more:
                raise EOFError(answer)
            answer += more
        text = answer[:-4].strip()
        return dict(json.loads(text)) if text.startswith(b"{") else {}


def _options(asn: int, neighbour: Neighbour) -> Sequence[str]:
    hops = neighbour.multihop if neighbour.asn != asn else 0
    return [
        f"remote-as {neighbour.asn}",
        f"timers {neighbour.hold_time // 3} {neighbour.hold_time}",
        "timers connect 1",
        f"update-source {neighbour.local}",
        *(["passive"] if neighbour.passive else ()),
        *([f"password {neighbour.password}"] if neighbour.password else ()),
        *(["ttl-security hops 1"] if neighbour.ttl_security else ()),
        *([f"ebgp-multihop {hops}"] if hops else ()),
    ]


def _route(path: dict[str, Any]) -> Route:
    return Route(
        nexthop=ip_address(path["nexthops"][0]["ip"]),
        med=path.get("metric"),
        as_path=tuple(int(asn) for asn in path["aspath"]["string"].split() if asn.isdigit()),
        communities=tuple(sorted(_NAMED.get(each, each) for each in path.get("community", {}).get("list", ()))),
        large_communities=tuple(sorted(path.get("largeCommunity", {}).get("list", ()))),
    )
