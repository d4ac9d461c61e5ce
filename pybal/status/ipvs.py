"""The wanted state of IPVS and the state found by the last audit, as text, JSON and metrics. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from operator import attrgetter

from pybal.core.model import Pool
from pybal.core.steps import parts
from pybal.core.text import end_of, format_age
from pybal.ipvs import fingerprint, render
from pybal.ipvs.audit import Findings, Reading
from pybal.ipvs.backend import Backend
from pybal.ipvs.goal import Intent
from pybal.ipvs.model import Endpoint, ServiceKey, TableEntry, Traffic
from pybal.ipvs.render import operation, place
from pybal.monitors.base import Labels
from pybal.status.json_pieces import JSON, PAUSE, Elements, LargeJSON, Members, Pause
from pybal.status.metrics import Family, Kind

_BATCH = 50
"""Lines in one piece."""

_TRAFFIC: tuple[tuple[str, Kind, str, Callable[[Traffic], int]], ...] = (
    ("active_connections", "gauge", "Active connections to the destination at the last audit", attrgetter("active")),
    (
        "inactive_connections",
        "gauge",
        "Inactive connections to the destination at the last audit",
        attrgetter("inactive"),
    ),
    ("connections_total", "counter", "Connections scheduled to the destination", attrgetter("connections")),
    ("packets_total", "counter", "Packets from clients to the destination", attrgetter("packets")),
    ("bytes_total", "counter", "Bytes from clients to the destination", attrgetter("bytes")),
)


def table_text(backend: Backend) -> Iterator[str]:
    """Yield the present table as ``ipvsadm -Sn`` prints it; raise BackendError.

    Each service is read in its turn.
    """
    for entry in _entries(backend):
        yield ""
        lines = render.entry_lines(entry) if entry else iter(())
        while batch := "".join(f"{line}\n" for line in islice(lines, _BATCH)):
            yield batch


def table_json(backend: Backend) -> Elements:
    """Return the same as JSON."""

    def elements() -> Iterator[LargeJSON | Pause]:
        for entry in _entries(backend):
            yield PAUSE
            if entry:
                yield {**render.entry_document(entry), "destinations": Elements(render.destination_documents(entry))}

    return Elements(elements())


def services_text(findings: Findings, now: float) -> Iterator[str]:
    """Yield a line for each service, each retired service, each foreign service, and the audit."""
    for key, intent in findings.intents.items():
        yield f"{_line(key, intent, findings.readings.get(key), now)}\n"
    for key, gone in findings.retired.items():
        yield f"{gone.name} ({place(key)}): retired, deleted in {gone.remaining:.0f} s\n"
    for key in findings.foreign:
        yield f"not managed by PyBal: {place(key)}\n"
    problem = f": {findings.problem}" if findings.problem else ""
    yield f"audited {format_age(findings.age)} ago{problem}\n"


def services_json(findings: Findings, now: float) -> dict[str, LargeJSON]:
    """Return the state as JSON; ages in seconds. A fingerprint is empty if the entry is absent or unread."""

    def services() -> Iterator[tuple[str, JSON] | Pause]:
        for key, intent in findings.intents.items():
            yield PAUSE
            yield intent.service.name, _service(key, intent, findings.readings.get(key), findings, now)

    return {
        "services": Members(services()),
        "retired": [
            {"service": gone.name, "key": place(key), "deleted_in": round(gone.remaining, 3)}
            for key, gone in findings.retired.items()
        ],
        "foreign": [place(key) for key in findings.foreign],
        "audit": {
            "age": round(findings.age, 3),
            "interval": findings.interval,
            "repairs": findings.repairs,
            "problem": findings.problem or None,
        },
    }


def families(findings: Findings) -> Iterator[Family]:
    """Yield the metrics of the audit."""
    counted: Counter[tuple[str, str]] = Counter({(name, str(kind)): n for (name, kind), n in findings.drift.items()})
    drift = [((("kind", kind), ("service", name)), n) for (name, kind), n in sorted(counted.items())]
    yield Family("pybal_ipvs_drift_total", "counter", "Changes of services by another program, by kind", drift)
    standing = [
        ((("service", intent.service.name),), len(reading.drift) if (reading := findings.readings.get(key)) else 0)
        for key, intent in findings.intents.items()
    ]
    yield Family("pybal_ipvs_drift", "gauge", "Changes by another program found by the last audit", standing)
    yield Family(
        "pybal_ipvs_foreign_services",
        "gauge",
        "IPVS services that PyBal does not manage",
        [((), len(findings.foreign))],
    )
    yield Family("pybal_ipvs_audit_age_seconds", "gauge", "Time since the last complete audit", [((), findings.age)])
    yield Family("pybal_ipvs_audit_up", "gauge", "Whether the last audit could read IPVS", [((), not findings.problem)])


def destination_families(findings: Findings, pools: Mapping[str, Pool]) -> Iterator[Family | None]:
    """Yield the metrics of the traffic to each destination, and ``None`` between two parts.

    The traffic is that of the last audit. The label ``host`` is the server at the address, the first one if several share it, empty without one.
    """
    found: list[tuple[Labels, Traffic]] = []
    for key, reading in tuple(findings.readings.items()):
        if (intent := findings.intents.get(key)) and (pool := pools.get(intent.service.name)):
            for part in parts(reading.traffic):
                found += [(_destination(endpoint, pool), traffic) for endpoint, traffic in part]
                yield None
    for name, kind, explanation, value in _TRAFFIC:
        series = [(labels, value(traffic)) for labels, traffic in found]
        yield Family(f"pybal_ipvs_destination_{name}", kind, explanation, series)


def _destination(endpoint: Endpoint, pool: Pool) -> Labels:
    host = next(iter(pool.servers.hosts_at.get(endpoint[0], ())), "")
    return ("destination", end_of(*endpoint)), ("host", host), ("service", pool.service.name)


def _entries(backend: Backend) -> Iterator[TableEntry | None]:
    """Yield each service, and ``None`` between the steps of reading it."""
    for key in sorted((service.key for service in backend.services()), key=render.order):
        yield (yield from backend.reading(key))  # None if it was deleted since


def _line(key: ServiceKey, intent: Intent, reading: Reading | None, now: float) -> str:
    name, kernel = intent.service.name, "not read yet"
    if reading:
        kernel = f"kernel {fingerprint.of_entry(reading.held) or 'absent'} {format_age(now - reading.at)} ago"
        kernel += f", {len(reading.drift)} changed by another program" if reading.drift else ""
    verified = "verified" if intent.verified else "not verified"
    configuration, wanted = fingerprint.of_service(intent.service), fingerprint.of_entry(intent.entry)
    return f"{name} ({place(key)}): {verified}, configuration {configuration}, wanted {wanted}, {kernel}"


def _service(key: ServiceKey, intent: Intent, reading: Reading | None, findings: Findings, now: float) -> JSON:
    drift: dict[str, JSON] = {
        str(kind): n for (name, kind), n in sorted(findings.drift.items()) if name == intent.service.name
    }
    return {
        "key": place(key),
        "configuration": fingerprint.of_service(intent.service),
        "intent": fingerprint.of_entry(intent.entry),
        "kernel": fingerprint.of_entry(reading.held) if reading else "",
        "verified": intent.verified,
        "audit_age": round(now - reading.at, 3) if reading else None,
        "drift": [f"ipvsadm {operation(op)}" for op in reading.drift] if reading else [],
        "drift_total": drift,
    }
