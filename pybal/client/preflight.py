"""The command ``preflight``: may this balancer take the traffic now? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pybal.core.text import numbered

Document = Mapping[str, Any]

_REMEDIES = {
    "no-config": "see the alert of kind source",
    "kernel-not-verified": "see pybal diff",
    "first-checks": "wait for the first checks",
    "empty": "see pybal explain",
    "below": "see pybal explain",
    "not-in-ipvs": "see pybal diff",
    "flapping": "wait; see pybal alerts",
    "drained": "run pybal undrain",
    "frozen": "run pybal thaw",
    "no-session": "check the routers, and bgp-peer-address",
    "no-family": "enable the family on a router, and in bgp-families",
    "refused": "see the log of pybal",
    "not-sent": "wait a second, then see pybal alerts",
}
"""A remedy for each reason why a VIP is not announced."""
_DAEMON_ALERTS = ("host", "checker", "internal", "ipvs", "ipvs-audit", "files")
"""Kinds of alerts of the host and of the daemon."""


@dataclass(slots=True)
class Preflight:
    """The result: each problem is a line that ends with what to do; warnings do not prevent the traffic."""

    services: int = 0
    vips: int = 0
    peers: int = 0
    sources: int = 0
    bgp: bool = False
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield ``yes`` or ``no`` with numbers first, then a line for each problem."""
        checked = f"{numbered(self.services, 'service')}, {numbered(self.sources, 'pool source')}"
        checked += f", {numbered(self.vips, 'VIP')}, {numbered(self.peers, 'peer')}" if self.bgp else "; BGP is off"
        if self.problems:
            yield f"no: {numbered(len(self.problems), 'problem')} ({checked})"
            yield from (f"  {problem}" for problem in self.problems)
        else:
            yield f"yes: this balancer may take the traffic ({checked})"
        yield from (f"  warning: {warning}" for warning in self.warnings)


def preflight(status: Document, pools: Document, ipvs: Document, bgp: Document, sources: Document) -> Preflight:
    """Return the result for the documents of the paths below ``/v1/`` with these names."""
    result = Preflight(len(pools), len(bgp["vips"]), len(bgp["peers"]), len(sources), bool(bgp["vips"] or bgp["peers"]))
    problems = result.problems
    if status["dry_run"]:
        problems.append("dry run: IPVS and BGP are not changed (start pybal without -n and dry-run)")
    if status["frozen"]:
        problems.append(f"frozen by {status['frozen']['by']}: checks change nothing (run pybal thaw)")
    if not pools:
        problems.append("no services")
    for name, pool in pools.items():
        problems += (f"service {name}: {problem}" for problem in _pool(name, pool, ipvs["services"].get(name)))
    if ipvs["audit"]["problem"]:
        problems.append(f"IPVS: {ipvs['audit']['problem']} (see pybal doctor)")
    problems += (f"VIP {vip['vip']}: {problem}" for vip in bgp["vips"] for problem in _vip(vip))
    problems += (f"peer {peer['peer']}: {problem}" for peer in bgp["peers"] for problem in _peer(peer))
    problems += (
        f"source of {name}: {source['problem']}" for name, source in sources.items() if source["problem"] is not None
    )
    problems += _host(status["alerts"])
    result.warnings += _warnings(status.get("findings", ()))
    return result


def _pool(name: str, pool: Document, table: Document | None) -> Iterator[str]:
    explain = f"see pybal explain {name}"
    if not pool["listed"]:
        yield "no server list yet (see pybal alerts)"
        return
    if not pool["serving"]:
        yield f"no server serves, {pool['pooled']} pooled ({explain})"
    elif pool["serving"] < pool["floor"]:
        yield f"{pool['serving']} of {numbered(pool['total'], 'server')} serve, the floor is {pool['floor']} ({explain})"
    if table is None or not table["verified"]:
        yield "not verified in IPVS (see pybal diff)"


def _vip(vip: Document) -> Iterator[str]:
    if not vip["announced"]:
        yield f"not announced: {vip['why']}, {vip['detail']} ({_REMEDIES.get(vip['why'], 'see pybal explain')})"
    elif vip["graceful_shutdown"]:
        yield "draining (run pybal undrain)"


def _peer(peer: Document) -> Iterator[str]:
    error = f", last error: {peer['last_error']}" if peer["last_error"] else ""
    if peer["state"] != "ESTABLISHED":
        yield f"session {peer['state']}{error} (check the router, and bgp-peer-address)"
    elif len(peer["announced"]) < peer["wanted"]:
        yield f"{len(peer['announced'])} of {peer['wanted']} VIPs sent{error} (see pybal alerts)"


def _warnings(findings: Sequence[Document]) -> Iterator[str]:
    """Yield the warnings of the doctor; its failures are alerts."""
    return (f"{each['text']} (fix: {each['fix']})" for each in findings if each["grade"] == "warn")


def _host(alerts: Sequence[Document]) -> Iterator[str]:
    """Yield the alerts of the host and of the daemon, which the documents above do not show."""
    for alert in alerts:
        if not alert["service"] and alert["kind"] in _DAEMON_ALERTS:
            yield f"{alert['kind']}: {alert['text']}"
