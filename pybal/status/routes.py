"""The table of HTTP paths: builds the response to each request from the current state of the daemon."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from itertools import chain
from typing import ParamSpec
from urllib.parse import unquote_to_bytes

from prometheus_client import CollectorRegistry
from twisted.internet.interfaces import IReactorTime

from pybal.core.decision import Decision
from pybal.core.model import Pool, Snapshot
from pybal.ipvs.audit import Findings
from pybal.monitors.base import Monitor
from pybal.reload.render import Configuration
from pybal.runtime.clocks import Clocks
from pybal.runtime.held import Held
from pybal.status import bgp as announcing
from pybal.status import compat115, history, loop, metrics, reload, v1
from pybal.status import ipvs as kernel
from pybal.status import sources as origins
from pybal.status.metrics import Exposition, Family, Histogram
from pybal.status.page import html
from pybal.status.process import process_registry

TEXT = b"text/plain"
JSON = b"application/json"
HTML = b"text/html; charset=utf-8"

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class RouteResponse:
    """A response. Its body is complete, or an iterator of pieces that each take little time to make."""

    body: bytes | Iterator[bytes]
    content_type: bytes = TEXT
    code: int = 200


def _page_files() -> dict[str, RouteResponse]:
    folder = resources.files("pybal.status.page")
    kinds = {"style.css": b"text/css; charset=utf-8", "page.js": b"text/javascript; charset=utf-8"}
    return {name: RouteResponse((folder / name).read_bytes(), kind) for name, kind in kinds.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """The functions that return the state of the daemon, and the responses made from it.

    ``monitors`` returns each running monitor with the names of its service and host, ``monitors_of`` the monitors of one
    host of a service, ``decisions`` the last decisions of a service. ``ipvs_text`` and ``ipvs_json`` return the table of
    the IPVS backend, ``audit`` its comparison with the wanted state, ``bgp`` the announcements. ``configuration`` returns
    the loaded configuration, ``sources`` the pool sources by service, ``families`` further metrics, ``registry`` contains
    those of the process. ``held`` records the
    callbacks of the event loop. ``wall`` returns the wall clock time, for display.
    """

    clock: IReactorTime
    snapshot: Callable[[], Snapshot]
    held: Held
    monitors: Callable[[], Iterable[tuple[str, str, Monitor]]]
    ipvs_text: Callable[[], str]
    ipvs_json: Callable[[], object]
    audit: Callable[[], Findings]
    decisions: Callable[[str], Iterable[Decision]]
    monitors_of: Callable[[str, str], Iterable[Monitor]]
    wall: Callable[[], datetime]
    configuration: Callable[[], Configuration]
    sources: Callable[[], origins.Sources] = tuple
    bgp: Callable[[], announcing.BGP] = announcing.BGP
    families: Callable[[], Iterable[Family | Histogram]] = tuple
    registry: CollectorRegistry = field(default_factory=process_registry)
    _exposition: Exposition = field(default_factory=Exposition, init=False)
    _files: dict[str, RouteResponse] = field(default_factory=_page_files, init=False)

    def answer(self, path: bytes, *, as_json: bool) -> RouteResponse:
        """Return the response for ``path``, which is URL-encoded and has no query."""
        snapshot = self.snapshot()
        pools = snapshot.pools
        match _segments(path):
            case ["alerts"]:
                return _either(as_json, compat115.alerts_text, compat115.alerts_json, snapshot)
            case ["pools"] | ["pools", ""]:
                return _either(as_json, compat115.pools_text, compat115.pools_json, snapshot)
            case ["pools", service] | ["pools", service, ""] if service in pools:
                return _either(as_json, compat115.pool_text, compat115.pool_json, pools[service])
            case ["pools", service, host] if service in pools and host in pools[service].servers:
                return _either(as_json, compat115.server_text, compat115.server_json, pools[service].servers[host])
            case ["metrics"]:
                return RouteResponse(self._metrics(snapshot), metrics.CONTENT_TYPE)
            case ["v1", *further]:
                return self._v1(further, snapshot, as_json=as_json)
            case [""]:
                return RouteResponse(_encode(html.index(snapshot, self.bgp(), self.clock.seconds())), HTML)
            case ["page", "pools", service] if service in pools:
                return RouteResponse(_encode(html.pool(snapshot, pools[service], self.clock.seconds())), HTML)
            case ["page", name] if name in self._files:
                return self._files[name]
        return _not_found(as_json=as_json)

    def _v1(self, path: list[str], snapshot: Snapshot, *, as_json: bool) -> RouteResponse:
        clocks = Clocks(self.clock.seconds(), self.wall())
        match path:
            case ["alerts"]:
                return _either(as_json, v1.alerts_text, v1.alerts_json, snapshot)
            case ["pools"]:
                return _either(as_json, v1.pools_text, v1.pools_json, snapshot)
            case ["pools", service, *further] if service in snapshot.pools:
                return self._v1_pool(snapshot, snapshot.pools[service], further, as_json=as_json)
            case ["ipvs"]:
                return _either(as_json, self.ipvs_text, self.ipvs_json)
            case ["ipvs", "services"]:
                return _either(as_json, kernel.services_text, kernel.services_json, self.audit(), clocks.monotonic)
            case ["bgp"]:
                return _either(as_json, announcing.text, announcing.json, self.bgp(), clocks.monotonic)
            case ["loop"]:
                return _either(as_json, loop.text, loop.json, self.held, clocks.monotonic)
            case ["config"]:
                return _either(as_json, reload.text, reload.json, self.configuration(), clocks)
            case ["sources"]:
                return _either(as_json, origins.sources_text, origins.sources_json, self.sources(), clocks)
        return _not_found(as_json=as_json)

    def _v1_pool(self, snapshot: Snapshot, pool: Pool, path: list[str], *, as_json: bool) -> RouteResponse:
        now = self.clock.seconds()
        clocks = Clocks(now, self.wall())
        match path:
            case []:
                return _either(as_json, v1.pool_text, v1.pool_json, snapshot, pool, now)
            case [host] if server := pool.servers.get(host):
                return _either(as_json, v1.server_text, v1.server_json, snapshot, pool, server, now)
            case [host, "history"] if server := pool.servers.get(host):
                monitors = self.monitors_of(pool.service.name, host)
                return _either(as_json, history.results_text, history.results_json, server, monitors, clocks)
            case ["history"]:
                decisions = self.decisions(pool.service.name)
                return _either(as_json, history.decisions_text, history.decisions_json, pool, decisions, clocks)
        return _not_found(as_json=as_json)

    def _metrics(self, snapshot: Snapshot) -> Iterator[bytes]:
        clocks = Clocks(self.clock.seconds(), self.wall())
        sources = origins.families(self.sources(), clocks)
        announced = announcing.families(self.bgp(), self.clock.seconds())
        loaded = reload.families(self.configuration(), clocks)
        families = chain(announced, self.families(), loaded, sources)
        pieces = self._exposition.pieces(snapshot, self.monitors(), families, self.registry)
        # Render the first piece now: if it fails, the response can still be an error.
        first = next(pieces)
        return (_encode(piece) for piece in chain([first], pieces))


def _segments(path: bytes) -> list[str]:
    """Return the decoded names in a path. A name that is not UTF-8 becomes one that matches no object."""
    return [unquote_to_bytes(part).decode("utf-8", "replace") for part in path.removeprefix(b"/").split(b"/")]


def _either(
    as_json: bool, text: Callable[P, str], value: Callable[P, object], *args: P.args, **kwargs: P.kwargs
) -> RouteResponse:
    if as_json:
        return RouteResponse(json.dumps(value(*args, **kwargs)).encode(), JSON)
    return RouteResponse(_encode(text(*args, **kwargs)))


def _not_found(*, as_json: bool) -> RouteResponse:
    body = json.dumps({"error": compat115.NOT_FOUND}) if as_json else compat115.NOT_FOUND
    return RouteResponse(body.encode(), JSON if as_json else TEXT, 404)


def _encode(text: str) -> bytes:
    # A name from a file in another encoding must not make the whole response fail.
    return text.encode("utf-8", "backslashreplace")
