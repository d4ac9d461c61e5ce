"""The types of the JSON documents below ``/v1``: their OpenAPI description derives from them. Pure.

The views build plain dictionaries; tests/e2e/test_openapi.py compares every document of a daemon with its type.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from pybal.bgp.delivery import Unsent
from pybal.bgp.model import SessionState
from pybal.bgp.verdict import Why
from pybal.checks.result import CheckOutcome, Phase
from pybal.core.model import Health, IPProtocol, Placement, Severity
from pybal.reload.plan import Verb
from pybal.status.compat115 import Level

Age = Annotated[float, "Seconds"]
Time = Annotated[str, "Time in UTC, ISO 8601"]
Decided = Literal["removed", "kept", "forced in", "depooled", "pooled"]
Fact = str | float | None | list[str | float | None]


class Error(TypedDict):
    """The path, service or host does not exist."""

    error: str


class Status115(TypedDict):
    """The state of all pools, as in PyBal 1.15."""

    status: Level
    msg: str


class Server115(TypedDict):
    """A server, as in PyBal 1.15."""

    pooled: bool
    weight: int
    up: bool
    enabled: bool


class Alert(TypedDict):
    """An alert."""

    level: Severity
    service: Annotated[str, "Empty for an alert of the whole daemon"]
    kind: Annotated[str, "A fixed word, see docs/alerts.md"]
    subject: Annotated[str, "The host, peer or file"]
    text: str
    since: Annotated[float | None, "Seconds of the monotonic clock"]
    age: Age | None
    data: Annotated[dict[str, Fact], "The facts, with all names that the text omits"]


class Report(TypedDict):
    """The last conclusive report of a monitor."""

    monitor: str
    up: bool | None
    reason: str
    age: Age | None
    reason_age: Age | None


class Server(TypedDict):
    """A server of a pool."""

    host: str
    address: str | None
    weight: int
    enabled: bool
    health: Health
    placement: Placement
    why: Annotated[str, "The reason for the placement"]
    reports: list[Report]


class Pool(TypedDict):
    """The arithmetic of a pool."""

    service: str
    protocol: IPProtocol
    vip: str
    port: int
    scheduler: str
    listed: Annotated[bool, "Whether a server list has been received"]


class PoolWithServers(Pool):
    """A pool and its servers by host."""

    servers: dict[str, Server]


class ServerWithPool(Server):
    """A server and its pool."""

    pool: Pool


class Decision(TypedDict):
    """A decision of a pool, with the reason of each server."""

    time: Time
    age: Age
    decision: Decided
    servers: Annotated[dict[str, str], "The reason by host"]
    others: Annotated[int, "Number of servers that are not kept"]
    arithmetic: str


class PoolHistory(TypedDict):
    """The last decisions of a pool, oldest first."""

    service: str
    decisions: list[Decision]


class ServerDecision(TypedDict):
    """A decision of the pool about one server."""

    time: Time
    age: Age
    decision: Decided
    reason: str
    arithmetic: str


class ChangedReason(TypedDict):
    """The last reason of a server that stayed down."""

    time: Time
    age: Age
    reason: str


class Transition(TypedDict):
    """A transition of a monitor between up and down."""

    time: Time
    age: Age
    up: bool
    reason: str
    last_reason: ChangedReason | None


class Result(TypedDict):
    """The result of one check."""

    time: Time
    age: Age
    subject: Annotated[str, "The URL or name that was checked"]
    follow_up: Annotated[bool, "Whether the check diagnoses a failure"]
    result: CheckOutcome
    phase: Phase
    reason: str
    duration: Age
    phases: Annotated[dict[str, Age], "Durations by phase, in order of time"]
    bytes: int


class MonitorHistory(TypedDict):
    """The last results of a monitor, oldest first."""

    monitor: str
    shared_by: Annotated[list[str], "Services that share the checks"]
    results: list[Result]


class ServerHistory(TypedDict):
    """The decisions about a server, and the transitions and results of its monitors."""

    host: str
    address: str | None
    decisions: list[ServerDecision]
    transitions: Annotated[dict[str, list[Transition]], "By monitor; a monitor that was always up has none"]
    monitors: list[MonitorHistory]


class PoolExplanation(TypedDict):
    """The explanation of a pool, a sentence per line."""

    service: str
    lines: list[str]


class MonitorState(TypedDict):
    """A monitor of a server."""

    monitor: str
    up: bool | None
    needed: Annotated[int, "Consecutive results to the contrary that change the state"]
    next_check: Annotated[float | None, "Seconds from now; null if none is scheduled"]
    results: list[Result]


class ServerExplanation(TypedDict):
    """The explanation of a server, a sentence per line, and its monitors."""

    service: str
    host: str
    placement: Placement
    why: str
    lines: list[str]
    monitors: list[MonitorState]


class Freeze(TypedDict):
    """A freeze; ``left`` are the seconds until its end."""

    by: str
    reason: str
    age: Age
    left: Age


class Drain(TypedDict):
    """A drain; ``vip`` is null for a drain of all VIPs."""

    vip: str | None
    by: str
    reason: str
    kept: Annotated[bool, "Whether it lasts across restarts"]
    age: Age


class ServiceSummary(TypedDict):
    """A service in the summary."""

    service: str
    protocol: IPProtocol
    vip: str
    port: int
    total: int
    serving: int
    down: int
    pooled: int
    forced: int
    floor: int
    wanted: Annotated[bool | None, "Whether the VIP should be announced; null without BGP"]
    announced: bool | None
    peers: list[str] | None
    why: Why | Unsent | None


class Finding(TypedDict):
    """A finding of `pybal doctor` that needs action."""

    grade: Annotated[str, "fail or warn"]
    about: str
    text: str
    why: str
    fix: Annotated[str, "A command, or the option to set"]


class Status(TypedDict):
    """The summary that `pybal status` shows."""

    version: str
    process: int
    uptime: Age
    dry_run: bool
    frozen: Freeze | None
    drains: list[Drain]
    monitors: int
    services: list[ServiceSummary]
    alerts: list[Alert]
    groups: list[Alert]
    findings: list[Finding]


class Source(TypedDict):
    """A pool source."""

    source: Annotated[str, "Its URL, without credentials"]
    problem: str | None
    stale: bool
    last_success: Time | None
    last_change: Time | None
    age: Annotated[float, "Seconds since the last good list was read"]
    errors: Annotated[dict[str, int], "Numbers by kind"]
    differences: Annotated[int, "Entries that the watch missed"]


class MonitorOfHost(TypedDict):
    """A monitor that a reload starts or stops."""

    host: str
    monitor: str


class Step(TypedDict):
    """The step of a reload for one service."""

    service: str
    step: Verb
    reasons: list[str]
    ipvsadm: list[str]
    later: list[str]
    until: str
    started: list[MonitorOfHost]
    stopped: list[MonitorOfHost]


class Plan(TypedDict):
    """The plan of a reload."""

    empty: bool
    refused: list[str]
    general: list[str]
    services: list[Step]
    announcements: list[str]


class Reload(TypedDict):
    """The last reload."""

    time: Time
    accepted: bool
    problems: list[str]
    warnings: list[str]
    plan: Plan | None


class Config(TypedDict):
    """The loaded configuration file."""

    file: str
    sha256: str
    loaded: Time
    changed: Annotated[bool, "Whether the file differs from the loaded one"]
    last_reload: Reload | None


class VIP(TypedDict):
    """A VIP and the peers that were sent it."""

    vip: str
    wanted: bool
    announced: bool
    peers: list[str]
    why: Why | Unsent | None
    detail: str
    med: int | None
    graceful_shutdown: bool
    age: Age


class Announced(TypedDict):
    """An announcement that a peer was sent."""

    vip: str
    med: int
    graceful_shutdown: bool


class Peer(TypedDict):
    """A peer and its session."""

    peer: str
    local_asn: int
    peer_asn: int | None
    state: SessionState
    age: Age
    down_for: Age | None
    last_error: str
    announced: list[Announced]
    families: list[Literal["ipv4", "ipv6"]]
    wanted: int
    refused: int
    repairs: int


class BGP(TypedDict):
    """The announcements and sessions."""

    enabled: bool
    restarts: Annotated[int, "Restarts of ExaBGP"]
    vips: list[VIP]
    peers: list[Peer]


class Hold(TypedDict):
    """A callback that held the event loop; times in seconds."""

    callback: str
    wall: Age
    cpu: Age
    age: Age


class Loop(TypedDict):
    """The callbacks of the event loop, and the longest of them."""

    callbacks: int
    seconds: Age
    longest: list[Hold]


class Destination(TypedDict):
    """A destination in IPVS."""

    address: str
    port: int
    weight: int
    forward: str


class MarkedService(TypedDict):
    """A service in IPVS by firewall mark."""

    mark: int
    ipv6: bool
    scheduler: str
    flags: list[str]
    one_packet: bool
    destinations: list[Destination]


class TableService(TypedDict):
    """A service in IPVS."""

    protocol: str
    address: str
    port: int
    scheduler: str
    flags: list[str]
    one_packet: bool
    destinations: list[Destination]


class IPVSService(TypedDict):
    """The fingerprints of a service; one is empty if the entry is absent or unread."""

    key: str
    configuration: str
    intent: str
    kernel: str
    verified: bool
    audit_age: Age | None
    drift: Annotated[list[str], "Commands that undo the changes of another program"]
    drift_total: Annotated[dict[str, int], "Numbers by kind"]


class Retired(TypedDict):
    """A removed service that is drained."""

    service: str
    key: str
    deleted_in: Age


class Audit(TypedDict):
    """The last comparison with IPVS."""

    age: Age
    interval: Age
    repairs: Annotated[bool, "Whether changes of other programs are repaired"]
    problem: str | None


class IPVSServices(TypedDict):
    """The services in IPVS beside the wanted state."""

    services: dict[str, IPVSService]
    retired: list[Retired]
    foreign: list[str]
    audit: Audit
