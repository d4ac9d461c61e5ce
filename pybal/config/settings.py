"""What pybal.conf says, as values: the result of reading it, given to :mod:`pybal.daemon.app` to build from.

All durations are float seconds. The defaults are PyBal 1.15's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from pybal.config.command_options import ServerField
from pybal.config.limit import Limit
from pybal.config.pattern import Pattern
from pybal.core.model import Address, Service, SuspectSelf

MOST_BODY = 64 * 1024 * 1024
"""Bytes of an HTTP response's body beyond which no server is believed."""


class IPVSBackend(StrEnum):
    """How the IPVS table is written."""

    NETLINK = "netlink"
    IPVSADM = "ipvsadm"
    MEMORY = "memory"


class DriftPolicy(StrEnum):
    """What is done about services of ours that others changed in the IPVS table."""

    REPAIR = "repair"
    REPORT = "report"


class VIPPolicy(StrEnum):
    """How many of the services of a VIP must be fit for it to stay announced."""

    ANY = "any"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Intervals:
    """What every kind of monitor that checks in turns has beside its interval.

    So many successes or failures in a row make a transition; the first success of all is enough. ``fast_interval``
    applies while there are too few for one, ``down_interval`` while the server is down; ``None`` stands for the interval.
    ``jitter`` is the share of the interval by which a turn may be late at random.
    """

    rise: int = 1
    fall: int = 1
    fast_interval: float | None = None
    down_interval: float | None = None
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class ProxyFetchSettings:
    """Options of ProxyFetch: HTTP and HTTPS checks. ``urls`` has at least one.

    ``statuses`` are ranges, both ends included, in place of ``http_status``. Empty texts, a ``port`` of 0 and no
    ``source`` leave the matter to the URL, the service and the kernel.
    """

    urls: tuple[str, ...]
    http_status: int = 200
    timeout: float = 5.0
    interval: float = 10.0
    check_all: bool = False
    max_failures: int = 0
    rhythm: Intervals = Intervals()
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    host: str = ""
    http_version: str = "1.0"
    statuses: tuple[tuple[int, int], ...] = ()
    body_regex: Pattern | None = None
    max_body: int = MOST_BODY
    verify: bool = False
    ca: str = ""
    sni: str = ""
    port: int = 0
    source: Address | None = None


@dataclass(frozen=True, slots=True)
class IdleConnectionSettings:
    """Options of IdleConnection: a held TCP connection on which nothing is ever sent.

    ``timeout`` is that of an attempt to connect. ``fall`` counts the loss of a connection and attempts that failed.
    """

    timeout_clean_reconnect: float = 3.0
    max_delay: float = 300.0
    keepalive: bool = True
    keepalive_retries: int = 3
    keepalive_idle: int = 10
    keepalive_interval: int = 30
    timeout: float = 30.0
    fall: int = 1


@dataclass(frozen=True, slots=True)
class DNSQuerySettings:
    """Options of DNSQuery. ``hostnames`` has at least one."""

    hostnames: tuple[str, ...]
    timeout: float = 5.0
    interval: float = 10.0
    fail_on_nxdomain: bool = False
    rhythm: Intervals = Intervals()


@dataclass(frozen=True, slots=True)
class UDPSettings:
    """Options of UDP: an empty datagram, and the ICMP errors that answer it within ``timeout``."""

    interval: float = 10.0
    icmp_timeout: float = 20.0
    timeout: float = 3.5
    rhythm: Intervals = Intervals()


@dataclass(frozen=True, slots=True)
class RunCommandSettings:
    """Options of RunCommand. ``arguments`` are literal texts and facts about the server."""

    command: str
    arguments: tuple[str | ServerField, ...] = ()
    timeout: float = 20.0
    interval: float = 60.0
    log_output: bool = True
    rhythm: Intervals = Intervals()


@dataclass(frozen=True, slots=True)
class TCPConnectSettings:
    """Options of TCPConnect. ``port`` 0 is the service's; without ``expect``, if something is sent, any answer will do."""

    send: bytes = b""
    expect: bytes = b""
    port: int = 0
    timeout: float = 5.0
    interval: float = 10.0
    rhythm: Intervals = Intervals()


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """Options of TLS. ``name`` is asked for, and verified with ``verify``; ``ca`` is a file. Days of 0 are no limit."""

    name: str = ""
    verify: bool = False
    ca: str = ""
    warn_days: int = 14
    fail_days: int = 0
    port: int = 0
    timeout: float = 5.0
    interval: float = 10.0
    rhythm: Intervals = Intervals()


@dataclass(frozen=True, slots=True)
class GRPCSettings:
    """Options of gRPC: the health of ``service``. Without an ``authority`` a server is asked for by its own name."""

    service: str = ""
    tls: bool = False
    authority: str = ""
    port: int = 0
    timeout: float = 5.0
    interval: float = 10.0
    rhythm: Intervals = Intervals()


@dataclass(frozen=True, slots=True)
class ICMPSettings:
    """Options of ICMP: an echo request and its reply."""

    timeout: float = 5.0
    interval: float = 10.0
    rhythm: Intervals = Intervals()


MonitorSettings = (
    ProxyFetchSettings
    | IdleConnectionSettings
    | DNSQuerySettings
    | UDPSettings
    | RunCommandSettings
    | TCPConnectSettings
    | TLSSettings
    | GRPCSettings
    | ICMPSettings
)


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """How the server of a pool source is reached, and who we are to it.

    ``endpoints`` are ``host:port`` in place of those of the URL; ``discovery`` is the domain whose SRV records name them.
    With ``tls`` the server's certificate is verified, up to an authority in the file ``ca``, or else to one of the
    system's. ``certificate`` and ``key`` are ours. The first line of ``password_file`` or ``token_file`` is read anew
    whenever it is needed. Empty texts stand for nothing.
    """

    endpoints: tuple[str, ...] = ()
    discovery: str = ""
    tls: bool = True
    ca: str = ""
    certificate: str = ""
    key: str = ""
    user: str = ""
    password_file: str = ""
    token_file: str = ""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where the members of a service come from, and what is believed of it.

    ``url`` is the value of ``config``, a URL whose scheme is known; it may hold credentials, so it is not part of the
    representation. With ``allow_empty`` a list of nobody is believed. ``max_step`` is the share of a list, from 0 to 1,
    that may leave it in one step. So many servers as ``admin_floor`` stay enabled whatever it says. A source not known to be
    good for ``max_age`` seconds is an alert. One that must be asked is asked every ``interval`` seconds. ``port`` is that
    of the service, 0 if it is not known.
    """

    url: str = field(repr=False)
    access: AccessSettings = AccessSettings()
    allow_empty: bool = False
    max_step: float = 0.5
    admin_floor: int = 0
    max_age: float = 300.0
    interval: float = 1.0
    port: int = 0

    @property
    def scheme(self) -> str:
        """What the URL begins with, in small letters."""
        return self.url.partition(":")[0].lower()


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """One service section.

    ``monitors`` holds the settings of ``service.monitors``, in the same order. ``share_checks`` is whether checks are
    shared with other services of which it is true. ``line`` is that of the section's header.
    With fewer servers serving than ``bgp_withdraw_below`` its VIP is not fit to be announced.
    """

    service: Service
    source: SourceSettings
    monitors: tuple[MonitorSettings, ...] = ()
    bgp: bool = True
    bgp_med: int = 0
    bgp_withdraw_below: Limit | None = None
    bgp_vip_policy: VIPPolicy = VIPPolicy.ANY
    share_checks: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """One BGP peer: the options of [global], where a section [bgp NAME] does not override them.

    A ``peer_asn`` of ``None`` takes whatever number the peer says it has. ``multihop`` is the TTL of what is sent,
    0 for a peer on the same link; ``ttl_security`` sends and demands 255 (RFC 5082). ``hold_time`` is in seconds. The
    MD5 password (RFC 2385) is the first line of ``md5_password_file``; it is read when the sessions begin. Communities are
    as ExaBGP takes them: ``64600:1``, ``64600:1:2``. Without a ``local_address`` the kernel chooses.
    """

    address: Address
    local_asn: int
    peer_asn: int | None = None
    as_path: tuple[int, ...] = ()
    nexthop_ipv4: IPv4Address | None = None
    nexthop_ipv6: IPv6Address | None = None
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()
    local_address: Address | None = None
    router_id: IPv4Address | None = None
    hold_time: int = 9
    md5_password_file: str = ""
    ttl_security: bool = False
    multihop: int = 0


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """How a VIP is drained: with a MED of at least ``med``, perhaps with GRACEFUL_SHUTDOWN, withdrawn after ``wait`` seconds."""

    med: int = 2**32 - 2
    graceful_shutdown: bool = False
    wait: float = 30.0


@dataclass(frozen=True, slots=True)
class BGPSettings:
    """The global BGP options; present only with ``bgp = yes``.

    Without the ``gate`` VIPs are announced whatever is known of their services, as PyBal 1.15 did. ``wait`` is how long
    first checks, and lists that do not come, can hold back an announcement, in seconds.
    """

    peers: tuple[PeerSettings, ...]
    med: int = 0
    local_ips: tuple[Address, ...] = ()
    local_port: int = 179
    gate: bool = True
    wait: float = 30.0
    vip_policy: VIPPolicy = VIPPolicy.ANY
    drain: DrainSettings = DrainSettings()


@dataclass(frozen=True, slots=True)
class InstrumentationSettings:
    """Where the HTTP endpoints listen; present only with ``instrumentation = yes``."""

    ips: tuple[Address, ...]
    port: int = 9090
    advertised_ips: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class IPVSSettings:
    """How the IPVS table is kept: audited every ``audit_interval`` seconds.

    A service that leaves is drained for ``remove_grace`` seconds, then deleted. ``exclusive`` says that all that is in
    the table is ours, and what we do not want leaves.
    """

    audit_interval: float = 15.0
    drift: DriftPolicy = DriftPolicy.REPAIR
    remove_grace: float = 30.0
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole pybal.conf without problems. ``services`` are in the order of the file.

    ``control_socket`` is the path of the socket for commands, empty for that of the service manager; besides root
    and our own user the members of ``control_group`` may give them, if it names one.
    A reload that removes more than the share ``max_blast_radius`` of the services or of the pooled servers is refused.
    """

    services: tuple[ServiceSettings, ...]
    bgp: BGPSettings | None = None
    instrumentation: InstrumentationSettings | None = None
    ipvs_backend: IPVSBackend = IPVSBackend.NETLINK
    ipvs: IPVSSettings = IPVSSettings()
    dry_run: bool = False
    suspect_self: SuspectSelf = SuspectSelf.HOLD
    control_socket: str = ""
    control_group: str = ""
    max_blast_radius: float = 0.5
