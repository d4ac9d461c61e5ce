"""GoBGP as a router."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, ClassVar

from tests.harness.bgp.router import Neighbour, Route, Routes

_AS_PATH, _NEXTHOP, _MED, _COMMUNITIES, _MP_REACH, _LARGE_COMMUNITIES = 2, 3, 4, 8, 14, 32


class Gobgp:
    """A gobgpd, queried with the gobgp command over a UNIX socket."""

    programs: ClassVar[Sequence[str]] = ("/usr/bin/gobgpd", "/usr/bin/gobgp")

    def configure(self, place: Path, asn: int, neighbours: Sequence[Neighbour]) -> Sequence[str]:
        listens = any(neighbour.passive for neighbour in neighbours)
        configuration = {
            "global": {
                "config": {"as": asn, "router-id": "192.0.2.3", "port": 179 if listens else -1},
                "apply-policy": {"config": {"default-export-policy": "reject-route"}},
            },
            "neighbors": [_neighbour(neighbour) for neighbour in neighbours],
        }
        (place / "conf").write_text(json.dumps(configuration))
        options = ("--config-type=json", f"--api-hosts={_target(place)}", "--pprof-disable", "--log-level=debug")
        return ("/usr/bin/gobgpd", f"--config-file={place / 'conf'}", *options)

    def ready(self, place: Path) -> bool:
        return bool(_ask(place, "neighbor"))

    def routes(self, place: Path, neighbour: Neighbour) -> Routes:
        found: Routes = {}
        for family in ("ipv4", "ipv6"):
            learnt = _ask(place, "neighbor", str(neighbour.address), "adj-in", "-a", family) or {}
            for prefix, paths in learnt.items():
                if paths:  # a withdrawn prefix has no path for a moment
                    found[ip_network(prefix)] = _route(paths[0]["attrs"])
        return found

    def established(self, place: Path, neighbour: Neighbour) -> bool:
        known = _ask(place, "neighbor", str(neighbour.address)) or {}
        return bool(known.get("state", {}).get("session_state") == 6)


def _neighbour(neighbour: Neighbour) -> dict[str, Any]:
    return {
        "config": {
            "neighbor-address": str(neighbour.address),
            "peer-as": neighbour.asn,
            "auth-password": neighbour.password,
        },
        "transport": {"config": {"passive-mode": neighbour.passive, "local-address": str(neighbour.local)}},
        "timers": {"config": {"hold-time": neighbour.hold_time, "keepalive-interval": neighbour.hold_time // 3}},
        "ttl-security": {"config": {"enabled": neighbour.ttl_security, "ttl-min": 255}},
        "ebgp-multihop": {"config": {"enabled": bool(neighbour.multihop), "multihop-ttl": neighbour.multihop}},
        "afi-safis": [{"config": {"afi-safi-name": f"{family}-unicast"}} for family in ("ipv4", "ipv6")],
    }


def _route(attributes: list[dict[str, Any]]) -> Route:
    by_type = {attribute["type"]: attribute for attribute in attributes}
    nexthop = by_type.get(_MP_REACH) or by_type[_NEXTHOP]
    return Route(
        nexthop=ip_address(nexthop["nexthop"]),
        med=by_type[_MED]["metric"] if _MED in by_type else None,
        as_path=tuple(_asns(by_type.get(_AS_PATH, {}))),
        communities=tuple(
            sorted(f"{value >> 16}:{value & 0xFFFF}" for value in by_type.get(_COMMUNITIES, {}).get("communities", ()))
        ),
        large_communities=tuple(
            sorted(
                f"{value['ASN']}:{value['LocalData1']}:{value['LocalData2']}"
                for value in by_type.get(_LARGE_COMMUNITIES, {}).get("value", ())
            )
        ),
    )


def _asns(attribute: dict[str, Any]) -> Iterator[int]:
    for segment in attribute.get("as_paths") or ():
        yield from segment["asns"]


def _ask(place: Path, *question: str) -> Any:
    """Return the JSON answer, None if gobgpd does not respond."""
    command = ("/usr/bin/gobgp", f"--target={_target(place)}", *question, "--json")
    answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return json.loads(answer.stdout or "null") if answer.returncode == 0 else None


def _target(place: Path) -> str:
    return f"unix://{place / 'control'}"
