"""The settings of a whole pybal.conf, and the declarations of their options.

The settings of BGP and of pool sources are re-exported from their modules. All durations are float seconds. The defaults
are those of PyBal 1.15.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from pybal.config.bgp_settings import NO_ADDRESS, BGPSettings, DrainSettings, PeerSettings, VIPPolicy
from pybal.config.convert import (
    SCHEDULERS,
    address,
    boolean,
    each,
    initial_state,
    journal_size,
    listen_address,
    member,
    optional_text,
    pause,
    port,
    scheduler,
    scheduler_flags,
    seconds,
    share,
    socket_path,
    texts,
    unsigned,
    words,
)
from pybal.config.limit import Limit, least
from pybal.config.option import group, option, required
from pybal.config.options import Options
from pybal.config.source_settings import AccessSettings, Cordon, SourceSettings
from pybal.core.model import Address, IPProtocol, Service, SuspectCheck, SuspectSelf

__all__ = (
    "AccessSettings",
    "BGPSettings",
    "Cordon",
    "DrainSettings",
    "DriftPolicy",
    "IPVSBackend",
    "IPVSSettings",
    "InstrumentationSettings",
    "PeerSettings",
    "ServiceOptions",
    "ServiceSettings",
    "Settings",
    "SourceSettings",
    "VIPPolicy",
)

_LOOPBACK: tuple[Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


class IPVSBackend(StrEnum):
    """A way to write the IPVS table."""

    NETLINK = "netlink"
    IPVSADM = "ipvsadm"
    MEMORY = "memory"


class DriftPolicy(StrEnum):
    """Reaction to a change of the IPVS table by another program."""

    REPAIR = "repair"
    REPORT = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """The options of a service section that :class:`pybal.core.model.Service` holds, field by field."""

    protocol: IPProtocol = required(IPProtocol.UDP, member(IPProtocol), help="transport protocol: tcp or udp")
    vip: Address = required(NO_ADDRESS, address, name="ip", help="VIP, an IPv4 or IPv6 address")
    port: int = required(0, port, help="port; no two services may have the same protocol, ip and port")
    scheduler: str = required("", scheduler, help=f"scheduler of IPVS: {' '.join(SCHEDULERS)}")
    scheduler_flags: tuple[str, ...] = option(
        (),
        words,
        name="scheduler-flag",
        aliases=("scheduler_flag",),
        help="flags of the scheduler: mh-port and mh-fallback for mh, sh-port and sh-fallback for sh. Both spellings of"
        " the name are one option",
        example="mh-port, mh-fallback",
    )
    one_packet: bool = option(
        False, boolean, name="ops", help="schedule each packet independently (one-packet scheduling); udp only"
    )
    tunneling: bool = option(
        False, boolean, help="send packets to the servers in IPIP tunnels; otherwise they are routed directly"
    )
    depool_threshold: float = option(
        0.5, share, help="minimum share of the servers, from 0 to 1, that stay pooled even if they are down"
    )
    monitors: tuple[str, ...] = option(
        (), texts, default_text="none", help="monitors that check each server; a server is up if all report it up"
    )
    initially_up: bool = option(
        False,
        initial_state,
        name="initial-state",
        show=lambda up: "up" if up else "unknown",
        help="state of a server before its first checks: unknown pools it after they pass, or earlier if the floor needs it;"
        " up pools it immediately, as PyBal 1.15 did",
    )
    suspect_check: SuspectCheck = option(
        SuspectCheck.ALERT,
        member(SuspectCheck),
        help="reaction if at least 3 servers, and half of those that are up, begin to fail a check for the same reason within"
        " one interval: alert raises an alert; hold also keeps them pooled until they fail for another reason; off ignores it",
    )

    dns_move_wait: float = option(
        60.0,
        seconds,
        help="time for which a pooled server whose name gets another address is kept at the old one until the new one passes"
        " its checks, in seconds; then the server counts as down",
    )

    def validate(self, options: Options, prefix: str) -> None:
        del prefix
        if self.scheduler:
            for name in ("scheduler-flag", "scheduler_flag"):
                options.get(name, scheduler_flags(self.scheduler), ())
        # An invalid protocol is read as udp, and then reported alone.
        if self.one_packet and self.protocol is IPProtocol.TCP:
            options.refuse("ops", "yes", "no, or protocol = udp")


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """One service section.

    ``monitors`` holds the settings of ``service.monitors``, in the same order. ``line`` is the line of the section header.
    """

    service: Service = group(ServiceOptions, given=True)
    source: SourceSettings = group(SourceSettings, given=True)
    monitors: tuple[Any, ...] = ()
    bgp: bool = option(True, boolean, help="announce the VIP; needs bgp = yes in [global]")
    bgp_med: int = option(
        0,
        unsigned,
        default_text="bgp-med of [global]",
        help="MED of the VIP; the same for all services of one ip",
    )
    bgp_withdraw_below: Limit | None = option(
        None,
        least,
        show=lambda limit: str(limit or "off"),
        help="withdraw the VIP if fewer servers serve: a number, or a share such as 25%% of the enabled servers with a weight"
        " above 0. Unchecked servers count as serving."
        " The VIP is announced again when enough servers have served for 30 seconds",
    )
    bgp_vip_policy: VIPPolicy = option(
        VIPPolicy.ANY,
        member(VIPPolicy),
        default_text="bgp-vip-policy of [global]",
        help="as in [global]; the same for all services of one ip",
    )
    share_checks: bool = option(
        False,
        boolean,
        help="run one check for all services with share-checks = yes that check the same host, address and port with equal"
        " options",
    )
    line: int = 0


@dataclass(frozen=True, slots=True)
class InstrumentationSettings:
    """The HTTP endpoints; present only with ``instrumentation = yes``."""

    ips: tuple[Address, ...] = option(
        _LOOPBACK, each(listen_address), name="instrumentation_ips", help="addresses to listen on"
    )
    port: int = option(9090, port, name="instrumentation_port", help="port to listen on")
    advertised_ips: tuple[Address, ...] = option(
        (),
        each(address),
        name="advertised_instrumentation_ips",
        help="additional addresses to listen on, announced by BGP like VIPs",
    )

    def is_optional(self, address: Address) -> bool:
        """Return whether the host may lack an address: the IPv6 one of the default."""
        return self.ips is _LOOPBACK and isinstance(address, IPv6Address) and address in _LOOPBACK


@dataclass(frozen=True, slots=True)
class IPVSSettings:
    """Maintenance of the IPVS table."""

    audit_interval: float = option(
        15.0,
        seconds,
        help="time between audits, in seconds; an audit reads the whole table and compares it with the wanted state",
    )
    drift: DriftPolicy = option(
        DriftPolicy.REPAIR,
        member(DriftPolicy),
        help="reaction if another program changed a service of PyBal: repair or report. With report, the change"
        " stays until PyBal changes the same destination",
    )
    remove_grace: float = option(
        30.0,
        pause,
        help="seconds between setting the weights of a removed service to 0 (no new connections) and deleting it; 0 deletes it"
        " immediately, and connected clients hang",
    )
    exclusive: bool = option(
        False,
        boolean,
        help="delete every IPVS service that is not in this file; otherwise an alert names the services that PyBal does not own",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole pybal.conf without problems. ``services`` are in the order of the file."""

    services: tuple[ServiceSettings, ...]
    bgp: BGPSettings | None = group(
        BGPSettings,
        prefix="bgp-",
        switch="bgp",
        restart=True,
        help="announce VIPs by BGP; with no, all other bgp- options are ignored",
    )
    instrumentation: InstrumentationSettings | None = group(
        InstrumentationSettings,
        switch="instrumentation",
        help="serve /alerts, /pools and /metrics by HTTP; with no, all other instrumentation options are ignored",
    )
    ipvs_backend: IPVSBackend = option(
        IPVSBackend.NETLINK,
        member(IPVSBackend),
        restart=True,
        help="access to the IPVS table: netlink; ipvsadm, which runs that program and is slow with large tables; or memory, a"
        " table in memory that balances no traffic, for demonstrations",
    )
    ipvs: IPVSSettings = group(IPVSSettings, prefix="ipvs-")
    dry_run: bool = option(
        False, boolean, restart=True, help="change nothing, neither IPVS nor BGP, but log what would change; like -n"
    )
    suspect_self: SuspectSelf = option(
        SuspectSelf.HOLD,
        member(SuspectSelf),
        help="reaction if no server of any service responds for at least 1 second, which suggests that this balancer is isolated:"
        " hold ignores timeouts for up to 60 seconds and raises an alert; alert only raises it; off does nothing. Requires that"
        " at least 6 hosts responded just before, 3 of them outside the largest service",
    )
    control_socket: str = option(
        "",
        socket_path,
        restart=True,
        default_text="/run/pybal/control.sock under systemd (RuntimeDirectory=pybal), otherwise none",
        help='absolute path of the unix socket for commands such as "pybal status"',
    )
    control_group: str = option(
        "",
        optional_text,
        restart=True,
        help="group whose members may run commands; root and the user of the daemon always may",
    )
    log_burst: int = option(
        50,
        unsigned,
        help="log lines per second about one service, at most; one line with numbers replaces the others. Lines of the texts that"
        " PyBal 1.15 logged have the whole limit, all others half of it. 0 is no limit; with -d nothing is limited",
    )
    journal: bool = option(
        False,
        boolean,
        restart=True,
        help="record everything on which decisions depend in the directory journal of the state directory, for `pybal replay`",
    )
    journal_size: int = option(
        100,
        journal_size,
        restart=True,
        help="size of the journal on disk in MB, at least 10; the oldest records are deleted first",
    )
    max_blast_radius: float = option(
        0.5,
        share,
        help="share of the services, or of all pooled servers, from 0 to 1, that one reload may remove; a reload that would"
        " remove more is refused. The loaded value applies, not the one in the new file",
    )
