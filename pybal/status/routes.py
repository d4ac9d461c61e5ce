"""The table of HTTP paths: builds the response to each request from the current state of the daemon."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from importlib import resources
from types import MappingProxyType
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import unquote_to_bytes

from prometheus_client import CollectorRegistry
from twisted.internet.interfaces import IReactorTime

from pybal.core.history import PoolHistory
from pybal.core.model import Pool, Server, Snapshot
from pybal.core.text import escaped
from pybal.ipvs.audit import Findings
from pybal.ipvs.backend import Backend
from pybal.monitors.base import Monitor
from pybal.reload.render import Configuration
from pybal.runtime.activities import Activities
from pybal.runtime.clocks import Calendar, Clocks
from pybal.runtime.held import Held
from pybal.status import alerts, compat115, events, explain, history, loop, metrics, openapi, reload, v1
from pybal.status import bgp as announcing
from pybal.status import ipvs as kernel
from pybal.status import sources as origins
from pybal.status.json_pieces import LargeJSON
from pybal.status.json_pieces import pieces as json_pieces
from pybal.status.metrics import Exposition, Family, Histogram
from pybal.status.overview import Overview
from pybal.status.page.bgp import bgp_view
from pybal.status.page.facts import Balancer, Facts, HostFinding
from pybal.status.page.history import history_view
from pybal.status.page.host import host_view
from pybal.status.page.overview import overview
from pybal.status.page.pool import pool_view
from pybal.status.page.server import server_view
from pybal.status.page.sources import sources_view
from pybal.status.process import process_registry

TEXT = b"text/plain"
JSON = b"application/json"
HTML = b"text/html; charset=utf-8"

SERVICES = b"services"
"""Leaves the series of servers and of their monitors out of ``/metrics``."""
DESTINATIONS = b"ipvs"
"""Adds the traffic to each destination in IPVS to ``/metrics``."""
SWITCHES = (SERVICES, DESTINATIONS)
"""Parameters of a query that are on with the value 1; others are ignored."""

VIEWS: Mapping[str, Callable[[Facts], Iterator[str]]] = MappingProxyType(
    {"bgp": bgp_view, "sources": sources_view, "host": host_view, "history": history_view}
)
"""The views of the status page below ``/page`` without an argument."""

_LONGEST = 2
"""Segments of a path of PyBal 1.15 after the service."""

P = ParamSpec("P")
S = TypeVar("S")


class Compression(Enum):
    """The way to compress a body that is made in pieces."""

    NONE = "none"
    WHOLE = "whole"
    BY_PIECE = "by piece"
    """Each piece by itself, because most of them equal those of the last body."""


@dataclass(frozen=True, slots=True)
class RouteResponse:
    """A response.

    Its body is complete, or an iterator of pieces that each take little time to make; some may be empty. It is compressed for
    clients that accept that. An ``endless`` one is an event stream, which writes its own body.
    """

    body: bytes | Iterator[bytes]
    content_type: bytes = TEXT
    code: int = 200
    compression: Compression = Compression.NONE
    endless: bool = False


def _page_files() -> dict[str, RouteResponse]:
    folder = resources.files("pybal.status.page")
    kinds = {"style.css": b"text/css; charset=utf-8", "page.js": b"text/javascript; charset=utf-8"}
    files = {name: RouteResponse((folder / name).read_bytes(), kind) for name, kind in kinds.items()}
    return {**files, "events": RouteResponse(b"", events.CONTENT_TYPE, endless=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """The functions that return the state of the daemon, and the responses made from it.

    ``monitors`` returns each running monitor with the names of its service and host, ``monitors_of`` the monitors of one
    host of a service, ``history`` the history of its pool. ``ipvs`` returns the IPVS table,
    ``audit`` returns its comparison with the wanted state, ``bgp`` the announcements. ``configuration`` returns
    the loaded configuration, ``sources`` the pool sources by service, ``overview`` the summary of `pybal status`, ``balancer`` the facts about the daemon itself, ``frozen`` a line about the present freeze, ``override`` a
    line about the operator's override of a service's host, ``host`` the findings of `pybal doctor` that need action, ``in_effect`` a server of a service with its place in IPVS, ``families`` further metrics, ``registry`` contains
    those of the process. ``held`` records the
    callbacks of the event loop. ``begins`` returns whether clients should wait for a service that has just started,
    ``any_begins`` whether for some service. ``wall`` returns the wall clock time, for display.
    """

    clock: IReactorTime
    snapshot: Callable[[], Snapshot]
    held: Held
    monitors: Callable[[], Iterable[tuple[str, str, Monitor]]]
    ipvs: Callable[[], Backend]
    audit: Callable[[], Findings]
    history: Callable[[str], PoolHistory]
    monitors_of: Callable[[str, str], Iterable[Monitor]]
    in_effect: Callable[[str, str], Server | None]
    wall: Callable[[], datetime]
    configuration: Callable[[], Configuration]
    sources: Callable[[], origins.Sources] = tuple
    overview: Callable[[], Overview | None] = lambda: None
    balancer: Balancer = field(default_factory=Balancer)
    frozen: Callable[[], str] = str
    begins: Callable[[str], bool] = lambda _service: False
    any_begins: Callable[[], bool] = lambda: False
    override: Callable[[str, str], str] = lambda _service, _host: ""
    host: Callable[[], Sequence[HostFinding]] = tuple
    activities: Activities = field(default_factory=Activities)
    bgp: Callable[[], announcing.BGP] = announcing.BGP
    families: Callable[[], Iterable[Family | Histogram]] = tuple
    registry: CollectorRegistry = field(default_factory=process_registry)
    _calendar: Calendar = field(init=False)
    _exposition: Exposition = field(default_factory=Exposition, init=False)
    _files: dict[str, RouteResponse] = field(default_factory=_page_files, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_calendar", Calendar(self.clock.seconds, self.wall))

    def answer(self, path: bytes, *, as_json: bool, switches: Collection[bytes] = ()) -> RouteResponse:
        """Return the response for ``path``, which is URL-encoded and has no query.

        ``switches`` are those of :data:`SWITCHES` that are on.
        """
        snapshot = self.snapshot()
        pools = snapshot.pools
        match _segments(path):
            case ["alerts"] | ["alerts", _]:
                return _sliced(as_json, compat115.alerts_text, compat115.alerts_json, lambda: snapshot)
            case ["pools"] | ["pools", ""]:
                return _whole(as_json, compat115.pools_text, compat115.pools_json, lambda: snapshot)
            case ["pools", service] | ["pools", service, ""] if service in pools:
                return _sliced(as_json, compat115.pool_text, compat115.pool_json, lambda: pools[service])
            # Rolling restarts ask for one server: they must not restart one to which IPVS still forwards.
            case ["pools", service, host] | ["pools", service, host, _] if service in pools and (
                server := self.in_effect(service, host)
            ):
                return _whole(as_json, compat115.server_text, compat115.server_json, lambda: server)
            case ["metrics"] | ["metrics", _]:
                return RouteResponse(
                    self._metrics(snapshot, switches), metrics.CONTENT_TYPE, compression=Compression.BY_PIECE
                )
            case ["v1", *further]:
                return self._v1(further, snapshot, as_json=as_json)
            case [""]:
                return _view(overview(self._facts(snapshot)))
            case ["page", *further]:
                return self._page(further, snapshot) or _not_found(as_json=as_json)
        return _not_found(as_json=as_json)

    def awaits(self, path: bytes) -> bool:
        """Return whether the response to ``path`` should wait, because its services have just started."""
        match _segments(path):
            case ["alerts" | "metrics"] | ["alerts" | "metrics", _]:
                return self.any_begins()
            case ["pools", service, *further] if len(further) <= _LONGEST and (
                pool := self.snapshot().pools.get(service)
            ):
                if self.begins(service):
                    return True
                host = further[0] if further else ""
                return bool(host) and not pool.listed and self.in_effect(service, host) is None
        return False

    def _page(self, path: list[str], snapshot: Snapshot) -> RouteResponse | None:
        match path:
            case ["pools", service] if service in snapshot.pools:
                return _view(pool_view(self._facts(snapshot), snapshot.pools[service]))
            case ["pools", service, host] if service in snapshot.pools and host in snapshot.pools[service].servers:
                pool = snapshot.pools[service]
                return _view(server_view(self._facts(snapshot), pool, pool.servers[host]))
            case [name] if name in VIEWS:
                return _view(VIEWS[name](self._facts(snapshot)))
            case [name] if name in self._files:
                return self._files[name]
        return None

    def _facts(self, snapshot: Snapshot) -> Facts:
        return Facts(
            balancer=self.balancer,
            clocks=self._calendar.read(),
            snapshot=snapshot,
            bgp=self.bgp(),
            findings=self.audit(),
            sources=tuple(self.sources()),
            frozen=self.frozen(),
            history=self.history,
            monitors_of=self.monitors_of,
            override=self.override,
            host=self.host(),
            held=self.held,
            activities=self.activities,
            configuration=self.configuration(),
        )

    def _v1(self, path: list[str], snapshot: Snapshot, *, as_json: bool) -> RouteResponse:
        match path:
            case ["alerts"]:
                found = alerts.alerts(snapshot)
                return _sliced(as_json, alerts.alerts_text, alerts.alerts_json, lambda: found, self.clock.seconds())
            case ["alerts", "groups"]:
                found = alerts.alerts(snapshot)
                return _sliced(as_json, alerts.groups_text, alerts.groups_json, lambda: found, self.clock.seconds())
            case ["pools"]:
                return _sliced(as_json, v1.pools_text, v1.pools_json, lambda: snapshot)
            case ["pools", service, *further] if service in snapshot.pools:
                return self._v1_pool(snapshot, snapshot.pools[service], further, as_json=as_json)
            case ["status"] if overview := self.overview():
                return _sliced(as_json, Overview.text, Overview.document, lambda: overview)
        return self._v1_part(path, as_json=as_json)

    def _v1_part(self, path: list[str], *, as_json: bool) -> RouteResponse:
        clocks = self._calendar.read()
        match path:
            case ["openapi.json"]:
                return RouteResponse(openapi.body(), JSON)
            case ["ipvs"]:
                return _sliced(as_json, kernel.table_text, kernel.table_json, self.ipvs)
            case ["ipvs", "services"]:
                return _sliced(as_json, kernel.services_text, kernel.services_json, self.audit, clocks.monotonic)
            case ["bgp"]:
                return _sliced(as_json, announcing.text, announcing.json, self.bgp, clocks.monotonic)
            case ["loop"]:
                return _sliced(as_json, loop.text, loop.json, lambda: self.held, clocks.monotonic)
            case ["config"]:
                return _sliced(as_json, reload.text, reload.json, self.configuration, clocks)
            case ["sources"]:
                return _sliced(as_json, origins.sources_text, origins.sources_json, self.sources, clocks)
        return _not_found(as_json=as_json)

    def _v1_pool(self, snapshot: Snapshot, pool: Pool, path: list[str], *, as_json: bool) -> RouteResponse:
        clocks = self._calendar.read()
        match path:
            case []:
                return _sliced(as_json, v1.pool_text, v1.pool_json, lambda: snapshot, pool, clocks.monotonic)
            case [host, *further] if host in pool.servers:  # first: a host may have the name of a path
                return self._v1_server(snapshot, pool, pool.servers[host], further, as_json=as_json)
            case ["history"]:
                past = self.history(pool.service.name)
                return _sliced(as_json, history.pool_text, history.pool_json, lambda: pool, past, clocks)
            case ["explain"]:
                context = self._context(pool, clocks)
                return _sliced(as_json, explain.pool_text, explain.pool_json, lambda: pool, context)
        return _not_found(as_json=as_json)

    def _v1_server(
        self, snapshot: Snapshot, pool: Pool, server: Server, path: list[str], *, as_json: bool
    ) -> RouteResponse:
        clocks = self._calendar.read()
        monitors = tuple(self.monitors_of(pool.service.name, server.host))
        match path:
            case []:
                return _sliced(
                    as_json, v1.server_text, v1.server_json, lambda: snapshot, pool, server, clocks.monotonic
                )
            case ["history"]:
                past = self.history(pool.service.name)
                return _sliced(
                    as_json, history.server_text, history.server_json, lambda: server, past, monitors, clocks
                )
            case ["explain"]:
                context = self._context(pool, clocks)
                return _sliced(
                    as_json, explain.server_text, explain.server_json, lambda: pool, server, monitors, context
                )
        return _not_found(as_json=as_json)

    def _context(self, pool: Pool, clocks: Clocks) -> explain.Context:
        service = pool.service
        delivery = next((each for each in self.bgp().deliveries() if each.verdict.vip == service.vip), None)
        source = next((source for name, source in self.sources() if name == service.name), None)
        line = "" if source is None else origins.source_line(source, clocks)
        return explain.Context(clocks, delivery, line, self.frozen(), lambda host: self.override(service.name, host))

    def _metrics(self, snapshot: Snapshot, switches: Collection[bytes]) -> Iterator[bytes]:
        clocks = self._calendar.read()

        def families() -> Iterator[Family | Histogram | None]:
            yield from alerts.families(alerts.alerts(snapshot))
            yield from announcing.families(self.bgp(), clocks.monotonic)
            yield from self.families()
            yield from reload.families(self.configuration(), clocks)
            yield from origins.families(self.sources(), clocks)
            if DESTINATIONS in switches:
                yield from kernel.destination_families(self.audit(), snapshot.pools)

        servers = SERVICES not in switches
        return self._exposition.pieces(snapshot, self.monitors(), families(), self.registry, servers=servers)


def _segments(path: bytes) -> list[str]:
    """Return the decoded names in a path. A name that is not UTF-8 becomes one that matches no object."""
    return [unquote_to_bytes(part).decode("utf-8", "replace") for part in path.removeprefix(b"/").split(b"/")]


def _sliced(
    as_json: bool,
    text: Callable[Concatenate[S, P], str | Iterator[str]],
    value: Callable[Concatenate[S, P], LargeJSON],
    subject: Callable[[], S],
    *args: P.args,
    **kwargs: P.kwargs,
) -> RouteResponse:
    """Return a response whose body is made later, in slices; ``subject`` is called when it begins."""

    def pieces() -> Iterator[bytes]:
        if as_json:
            yield from _encoded(json_pieces(value(subject(), *args, **kwargs)))
        else:
            made = text(subject(), *args, **kwargs)
            yield from _printed([made] if isinstance(made, str) else made)

    return RouteResponse(pieces(), JSON if as_json else TEXT)


def _whole(
    as_json: bool,
    text: Callable[[S], str],
    value: Callable[[S], LargeJSON],
    subject: Callable[[], S],
) -> RouteResponse:
    """Return a small response, made immediately."""
    made = _sliced(as_json, text, value, subject)
    return replace(made, body=b"".join(made.body))  # type: ignore[arg-type]  # an iterator


def _view(pieces: Iterator[str]) -> RouteResponse:
    """Return a view of the status page."""
    return RouteResponse(_printed(pieces), HTML, compression=Compression.WHOLE)


def _not_found(*, as_json: bool) -> RouteResponse:
    body = json.dumps({"error": compat115.NOT_FOUND}) if as_json else compat115.NOT_FOUND
    return RouteResponse(body.encode(), JSON if as_json else TEXT, 404)


def _encoded(texts: Iterable[str]) -> Iterator[bytes]:
    # A name from a file in another encoding must not make the whole response fail.
    return (text.encode("utf-8", "backslashreplace") for text in texts)


def _printed(texts: Iterable[str]) -> Iterator[bytes]:
    """Yield texts for people, with control characters escaped: a peer or a server may have sent them."""
    return _encoded(map(escaped, texts))
