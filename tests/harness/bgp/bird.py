"""BIRD 2 as a router."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import ClassVar

from tests.harness.bgp.router import Neighbour, Route, Routes


class Bird:
    """One ``protocol bgp`` per neighbour; queried over the control socket."""

    programs: ClassVar[Sequence[str]] = ("/usr/sbin/bird",)

    def configure(self, place: Path, asn: int, neighbours: Sequence[Neighbour]) -> Sequence[str]:
        sections = [
            f'router id 192.0.2.1;\nlog "{place}/log" all;\nprotocol device {{}}\nprotocol direct {{ ipv4; ipv6; }}\n'
        ]
        sections += (_section(asn, neighbour) for neighbour in neighbours)
        (place / "conf").write_text("".join(sections))
        return (
            "/usr/sbin/bird",
            "-f",
            "-c",
            str(place / "conf"),
            "-s",
            str(place / "control"),
            "-P",
            str(place / "pid"),
        )

    def ready(self, place: Path) -> bool:
        return "Daemon is up" in _ask(place, "show status")

    def routes(self, place: Path, neighbour: Neighbour) -> Routes:
        found: Routes = {}
        for block in re.split(r"\n(?=\S+/\d+ )", "\n" + _ask(place, f"show route all protocol {_name(neighbour)}")):
            fields = dict(re.findall(r"^\s+BGP\.(\w+): (.*)$", block, re.MULTILINE))
            if prefix := re.match(r"\S+/\d+", block):
                found[ip_network(prefix[0])] = Route(
                    nexthop=ip_address(fields["next_hop"].split()[0]),
                    med=int(fields["med"]) if "med" in fields else None,
                    as_path=tuple(map(int, fields.get("as_path", "").split())),
                    communities=_tuples(fields.get("community", "")),
                    large_communities=_tuples(fields.get("large_community", "")),
                )
        return found

    def established(self, place: Path, neighbour: Neighbour) -> bool:
        return "Established" in _ask(place, f"show protocols {_name(neighbour)}")


def _section(asn: int, neighbour: Neighbour) -> str:
    options = [
        f"local {neighbour.local} port {179 if neighbour.passive else 1790} as {asn};",
        f"neighbor {neighbour.address} as {neighbour.asn};",
        f"hold time {neighbour.hold_time};",
        "error wait time 1, 2;",
        "connect delay time 1;",
        f"passive {'on' if neighbour.passive else 'off'};",
        f'password "{neighbour.password}";' if neighbour.password else "",
        "ttl security on;" if neighbour.ttl_security else "",
        f"multihop {neighbour.multihop};" if neighbour.multihop else "direct;",
        "ipv4 { import all; export none; };",
        "ipv6 { import all; export none; };",
    ]
    return f"protocol bgp {_name(neighbour)} {{\n  {' '.join(options)}\n}}\n"


def _name(neighbour: Neighbour) -> str:
    return "n" + re.sub(r"\W", "_", str(neighbour.address))


def _ask(place: Path, question: str) -> str:
    """Return the answer without reply codes, empty if bird does not respond."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        try:
            control.connect(str(place / "control"))
        except OSError:
            return ""
        control.sendall(f"{question}\n".encode())
        lines = control.makefile(encoding="utf-8")
        answer = []
        next(lines)
        for line in lines:
            answer.append(re.sub(r"^(\d{4}[- ]| )", "", line))
            if re.match(r"[089]\d\d\d ", line):
                break
    return "".join(answer)


def _tuples(text: str) -> tuple[str, ...]:
    return tuple(sorted(re.sub(r",\s*", ":", each) for each in re.findall(r"\(([\d, ]+)\)", text)))
