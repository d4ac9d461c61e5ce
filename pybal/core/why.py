"""The reason why a server is pooled, forced or not pooled. Pure."""

from __future__ import annotations

from pybal.core.model import Health, Member, Placement, Server


def why(server: Server) -> str:
    """Return the reason why a server is pooled, forced or not pooled."""
    match server.placement:
        case Placement.POOLED if server.only_suspect_failures:
            return "down together with many other servers; kept because the check may be wrong"
        case _ if server.member.enabled and server.move is not None and server.move.overdue:
            return f"its new address {server.move.address} does not pass its checks"
        case Placement.FORCED:
            return f"{server.health}, but needed to reach the floor"
        case Placement.OUT if not server.member.enabled:
            return who_enabled(server.member)
        case Placement.OUT if server.unresolvable:
            return "host name has no address"
        case Placement.OUT if not server.ready and server.move is not None:
            return f"checking {server.move.address}, which IPVS did not hold at the start"
        case Placement.OUT if not server.ready:
            return "host name not resolved yet"
        case Placement.OUT if server.health is Health.UNKNOWN:
            return "not checked yet"
        case Placement.POOLED if server.health is Health.UNKNOWN:
            return "not checked yet; pooled until its first result"
    return str(server.health)


def who_enabled(member: Member) -> str:
    """Return whether a member is enabled, and who decided that."""
    if member.enabled:
        return "enabled by the pool source"
    return "depooled by an operator on this balancer" if member.overridden else "disabled by the pool source"


def cause(server: Server) -> str:
    """Return the reason with those of the failing monitors: ``down: ProxyFetch connect: refused``."""
    if server.health is not Health.DOWN or not server.member.enabled:
        return why(server)
    failing = [f"{name} {report.reason}" for name, report in server.reports.items() if report and not report.up]
    return f"{why(server)}: {'; '.join(failing)}" if failing else why(server)
