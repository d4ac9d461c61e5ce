"""The rules of the doctor: compare the facts of the host with the configuration. Pure.

The sysctls are those that affect the functions of PyBal; persistence, which depends on one more, is not in pybal.conf. The
rules for IPVS do not apply with ipvs-backend = memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pybal.config.settings import IPVSBackend, Settings
from pybal.core.model import Address, IPProtocol
from pybal.doctor.finding import Finding, Grade
from pybal.doctor.host import Host, Local, Module

EXPIRE, REUSE = "net.ipv4.vs.expire_nodest_conn", "net.ipv4.vs.conn_reuse_mode"
SLOPPY, TRACK = "net.ipv4.vs.sloppy_tcp", "net.ipv4.vs.conntrack"
LOOSE = "net.netfilter.nf_conntrack_tcp_loose"
COUNT, MOST = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"
LOWEST_PORT = "net.ipv4.ip_unprivileged_port_start"
SYSCTLS = (EXPIRE, REUSE, SLOPPY, TRACK, LOOSE, COUNT, MOST, LOWEST_PORT)

_HASHING = frozenset(("sh", "mh"))
_CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10, "CAP_NET_ADMIN": 12}
_FULL = 0.9
_SPARE, _DEFAULT = 256, 4096
"""Descriptors besides those of checks, and the total for an unknown number of monitors."""
_OLDEST = {"twisted": (22, 4), "exabgp": (4, 2)}
_DEBIAN = {"twisted": "python3-twisted", "exabgp": "exabgp"}


def modules(settings: Settings) -> tuple[str, ...]:
    """Return the names of the required kernel modules."""
    return ("ip_vs", *dict.fromkeys(f"ip_vs_{each.service.scheduler}" for each in settings.services))


def evaluate(host: Host, settings: Settings, monitors: int | None = None) -> tuple[Finding, ...]:
    """Return all findings, also good ones; ``monitors`` is the number of running monitors, if known."""
    findings = [*_versions(host, settings), _descriptors(host, monitors), *_capabilities(host, settings)]
    if settings.ipvs_backend is not IPVSBackend.MEMORY:
        findings += [
            *_modules(host, settings),
            *_vips(host, settings),
            *_next_hops(host, settings),
            *_sysctls(host, settings),
            *_conntrack(host),
        ]
    return tuple(findings)


def _versions(host: Host, settings: Settings) -> Iterator[Finding]:
    yield Finding("Linux", Grade.OK, host.release)
    for package, oldest in _OLDEST.items():
        if package == "exabgp" and settings.bgp is None:
            continue
        found, wanted = host.versions.get(package, "not installed"), f"{'.'.join(map(str, oldest))} or later"
        numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
        if numbers >= oldest:
            yield Finding(package, Grade.OK, found)
        else:
            why = "older versions are untested with this version of PyBal"
            yield Finding(package, Grade.FAIL, found, wanted, why, f"apt install {_DEBIAN[package]}")


def _descriptors(host: Host, monitors: int | None) -> Finding:
    found, about = host.process.descriptors, "file descriptors"
    if found is None:
        return Finding(about, Grade.UNKNOWN, f"cannot read the limit of process {host.process.number}")
    wanted = _DEFAULT if monitors is None else 2 * monitors + _SPARE
    if found >= wanted:
        return Finding(about, Grade.OK, f"at most {found}")
    return Finding(
        about,
        Grade.FAIL,
        f"at most {found}",
        f"{wanted} or more",
        "each check uses one or two; without free descriptors checks are inconclusive",
        f"prlimit --pid {host.process.number} --nofile={wanted}:{wanted} (and LimitNOFILE= in the unit)",
    )


def _capabilities(host: Host, settings: Settings) -> Iterator[Finding]:
    process = host.process
    for name, why in _needed(host, settings).items():
        if process.capabilities is None:
            yield Finding(name, Grade.UNKNOWN, f"cannot read the capabilities of process {process.number}")
        elif not process.capabilities >> _CAPABILITIES[name] & 1:
            mend = f"systemctl edit pybal, add AmbientCapabilities={name} to [Service]; or run pybal as root"
            yield Finding(name, Grade.FAIL, f"process {process.number} lacks it", "present", why, mend)
        elif name == "CAP_NET_ADMIN" and process.contained:
            found, wanted = "in a user namespace", "in the initial user namespace"
            reason = "IPVS accepts capabilities of the initial user namespace only"
            mend = "run pybal without a container, or in a container without a user namespace"
            yield Finding(name, Grade.FAIL, found, wanted, reason, mend)
        else:
            yield Finding(name, Grade.OK, f"process {process.number} has it")


def _needed(host: Host, settings: Settings) -> dict[str, str]:
    needed = {}
    if settings.ipvs_backend is not IPVSBackend.MEMORY:
        needed["CAP_NET_ADMIN"] = "required to read and write IPVS"
    ports = [settings.instrumentation.port] if settings.instrumentation else []
    ports += [settings.bgp.local_port] if settings.bgp and settings.bgp.local_ips else []
    if low := [port for port in ports if port < host.sysctls.get(LOWEST_PORT, 1024)]:
        needed["CAP_NET_BIND_SERVICE"] = f"required to listen on port {min(low)}"
    return needed


def _modules(host: Host, settings: Settings) -> Iterator[Finding]:
    for name in modules(settings):
        state = host.modules.get(name, Module.UNKNOWN)
        on_demand = name != "ip_vs" and state is Module.LOADABLE
        if state is Module.LOADED or on_demand:
            yield Finding(
                f"module {name}", Grade.OK, f"{state}; the kernel loads it on first use" if on_demand else state
            )
        elif name != "ip_vs" and state is Module.UNKNOWN:
            yield Finding(f"module {name}", Grade.UNKNOWN, state)
        else:
            mend = f"modprobe {name} && echo {name} >> /etc/modules-load.d/pybal.conf"
            if state is Module.ABSENT:
                mend = f"apt install linux-image-$(dpkg --print-architecture), then reboot: that kernel has {name}"
            why = "the kernel has no IPVS" if name == "ip_vs" else "services with this scheduler cannot be created"
            yield Finding(f"module {name}", Grade.FAIL, state, "loaded", f"without it {why}", mend)


def _vips(host: Host, settings: Settings) -> Iterator[Finding]:
    announced = [each.service.vip for each in settings.services if each.bgp and settings.bgp]
    vips = dict.fromkeys(each.service.vip for each in settings.services)
    if settings.bgp and settings.instrumentation:
        announced += settings.instrumentation.advertised_ips
        vips.update(dict.fromkeys(settings.instrumentation.advertised_ips))
    if host.local is None:
        yield Finding("VIPs", Grade.UNKNOWN, "cannot read the local addresses of the kernel")
        return
    bad = [finding for vip in vips if (finding := _vip(vip, host, host.local, announced=vip in announced))]
    yield from bad
    if count := len(vips) - len(bad):
        yield Finding("VIPs", Grade.OK, f"{count} of {len(vips)} on lo or a suitable device")


def _vip(vip: Address, host: Host, local: Sequence[Local], *, announced: bool) -> Finding | None:
    devices = sorted({each.device for each in local if vip in each.prefix})
    if devices and (not announced or host.permanent.intersection(devices)):
        return None
    mend = f"ip addr add {vip}/{vip.max_prefixlen} dev lo"
    wanted = "on lo or a dummy device"
    if not devices:
        why = "the kernel does not pass packets for this address to IPVS"
        return Finding(f"VIP {vip}", Grade.FAIL, "on no device", wanted, why, mend)
    why = f"if {devices[0]} goes down the address is lost but stays announced"
    return Finding(f"VIP {vip}", Grade.WARN, f"on {', '.join(devices)}", wanted, why, mend)


def _next_hops(host: Host, settings: Settings) -> Iterator[Finding]:
    """Yield a warning about each next hop that this host lacks: another one may have it on purpose."""
    peers = settings.bgp.peers if settings.bgp else ()
    for hop in dict.fromkeys(hop for peer in peers for hop in (peer.nexthop_ipv4, peer.nexthop_ipv6) if hop):
        if host.local is not None and not any(hop in each.prefix for each in host.local):
            why = "routers send the packets of all VIPs to the host that has this address"
            mend = f"set bgp-nexthop-ipv{hop.version} to an address of this host, and pybal reload"
            yield Finding(f"next hop {hop}", Grade.WARN, "on no device", "an address of this host", why, mend)


def _sysctls(host: Host, settings: Settings) -> Iterator[Finding]:
    yield _sysctl(host, EXPIRE, 1, Grade.WARN, "with 0 connections to a removed server hang; with 1 they are reset")
    why = "with 0 a client that reuses a port reaches its previous server, even a depooled one"
    yield _sysctl(host, REUSE, 1, Grade.FAIL, why)
    schedulers = {each.service.scheduler for each in settings.services if each.service.protocol is IPProtocol.TCP}
    hashing, others = (", ".join(sorted(names)) for names in (schedulers & _HASHING, schedulers - _HASHING))
    if settings.bgp and hashing and not others:
        why = f"with 0 connections from another balancer are reset, although {hashing} selects the same server"
        yield _sysctl(host, SLOPPY, 1, Grade.WARN, why)
    elif others and not hashing:
        why = f"with 1 a packet of an unknown connection goes to any server that {others} selects, which resets it"
        yield _sysctl(host, SLOPPY, 0, Grade.WARN, why)


def _sysctl(host: Host, name: str, wanted: int, grade: Grade, why: str) -> Finding:
    found = host.sysctls.get(name)
    if found is None:
        return Finding(name, Grade.UNKNOWN, "not available", str(wanted), "it exists only while ip_vs is loaded")
    if found == wanted or (name == REUSE and found > 0):
        return Finding(name, Grade.OK, str(found))
    return Finding(name, grade, str(found), str(wanted), why, f"sysctl -w {name}={wanted}")


def _conntrack(host: Host) -> Iterator[Finding]:
    count, most = host.sysctls.get(COUNT), host.sysctls.get(MOST)
    if count is None or most is None:
        yield Finding("conntrack", Grade.OK, "not in use")
        return
    found = f"{count} of {most} connections"
    if count >= _FULL * most:
        why = "if the table is full the kernel drops new connections, also those of checks"
        wanted = f"less than {_FULL:.0%} of the maximum"
        yield Finding("conntrack", Grade.FAIL, found, wanted, why, f"sysctl -w {MOST}={2 * most}")
    else:
        yield Finding("conntrack", Grade.OK, found)
    if host.sysctls.get(LOOSE) == 0 and host.sysctls.get(TRACK) == 0:
        why = (
            f"with {TRACK} = 0 balanced connections are not in conntrack, so that with {LOOSE} = 0 all packets but the "
            "first are INVALID; a firewall rule that drops INVALID packets breaks every connection"
        )
        yield Finding(LOOSE, Grade.WARN, "0", "1", why, f"sysctl -w {LOOSE}=1")
