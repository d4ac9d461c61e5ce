"""The decisions on announcements as records of the journal, and back. Pure.

A record with ``event`` ``bgp`` has the settings of the decisions, ``decision`` has what differs from the decision before:

===================  =====================================================================
``bgp``
===================  =====================================================================
``settings``         ``gate``, ``wait``, ``hold``, ``med``, ``drain``
``services``         in order: name, ``med``, ``minimum``, ``policy``
``advertised``       addresses that serve the HTTP endpoints
``facts``            by service: its pool, and whether it is verified, frozen, absent in IPVS
``drains``           the operators' requests
``memory``           the earlier decisions on which the next ones depend
``verdicts``         the last ones
===================  =====================================================================

===================  =====================================================================
``decision``         made at the time ``at``
===================  =====================================================================
``forgotten``        services of which the earlier facts were forgotten
``facts``            as above, those that changed
``drains``           as above, if they changed
``verdicts``         those that changed
``gone``             VIPs that have no verdict any more
===================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from pybal.bgp.model import Announcement
from pybal.bgp.verdict import Drain, Memory, ServicePast, Standing, Verdict, VIPPast, Why
from pybal.config.limit import Limit
from pybal.config.settings import BGPSettings, DrainSettings, VIPPolicy
from pybal.core.model import Address
from pybal.journal.values import Document, address_of

Drains = Mapping[Address | None, Drain]


class Facts(NamedTuple):
    """The facts about a service beside its pool, which is known by its number."""

    pool: int
    verified: bool
    frozen: bool
    absent: bool


@dataclass(frozen=True, slots=True)
class AnnouncedService:
    """The settings of a service for the decision on its VIP; see :class:`pybal.bgp.verdict.Standing`."""

    name: str
    med: int
    minimum: Limit | None
    policy: VIPPolicy

    @classmethod
    def of(cls, standing: Standing) -> AnnouncedService:
        return cls(standing.name, standing.med, standing.minimum, standing.policy)


@dataclass(frozen=True, slots=True)
class AnnouncementSettings:
    """The settings of all decisions; ``bgp`` has no peers."""

    bgp: BGPSettings
    services: tuple[AnnouncedService, ...]
    advertised: tuple[Address, ...]


def settings_value(settings: AnnouncementSettings) -> dict[str, Any]:
    """Return the settings of the decisions, without secrets: peers are left out."""
    bgp = settings.bgp
    own = {"gate": bgp.gate, "wait": bgp.wait, "hold": bgp.hold, "med": bgp.med, "drain": asdict(bgp.drain)}
    services = [
        {"service": each.name, "med": each.med, "minimum": each.minimum and asdict(each.minimum), "policy": each.policy}
        for each in settings.services
    ]
    return {"settings": own, "services": services, "advertised": list(map(str, settings.advertised))}


def settings_of(record: Document) -> AnnouncementSettings:
    """Return the settings of a record."""
    own = record["settings"]
    bgp = BGPSettings(
        peers=(),
        gate=own["gate"],
        wait=own["wait"],
        hold=own["hold"],
        med=own["med"],
        drain=DrainSettings(**own["drain"]),
    )
    services = tuple(
        AnnouncedService(
            each["service"], each["med"], each["minimum"] and Limit(**each["minimum"]), VIPPolicy(each["policy"])
        )
        for each in record["services"]
    )
    return AnnouncementSettings(bgp, services, tuple(map(address_of, record["advertised"])))


def facts_value(facts: Mapping[str, Facts]) -> dict[str, Any]:
    """Return the facts by service."""
    return {name: each._asdict() for name, each in facts.items()}


def facts_of(value: Document) -> dict[str, Facts]:
    """Return the facts by service."""
    return {name: Facts(**each) for name, each in value.items()}


def drains_value(drains: Drains) -> list[dict[str, Any]]:
    """Return the drains as a list."""
    return [asdict(each) | {"vip": None if each.vip is None else str(each.vip)} for each in drains.values()]


def drains_of(value: Iterable[Document]) -> Drains:
    """Return the drains by VIP."""
    found = [Drain(**{**each, "vip": each["vip"] and address_of(each["vip"])}) for each in value]
    return {each.vip: each for each in found}


def verdict_value(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict with the attributes of its announcement."""
    sent = verdict.announcement
    return {
        "vip": str(verdict.vip),
        "announced": sent is not None,
        **({} if sent is None else {"med": sent.med, "graceful_shutdown": sent.graceful_shutdown}),
        "why": verdict.why,
        "detail": verdict.detail,
        "since": verdict.since,
        "flaps": verdict.flaps,
    }


def verdict_of(value: Document) -> Verdict:
    """Return the verdict of a value."""
    vip = address_of(value["vip"])
    sent = Announcement(vip, value["med"], value["graceful_shutdown"]) if value["announced"] else None
    why = value["why"] and Why(value["why"])
    return Verdict(vip, sent, why, value["detail"], value["since"], value["flaps"])


def memory_value(memory: Memory) -> dict[str, Any]:
    """Return the earlier decisions."""
    return {
        "vips": {str(vip): asdict(past) for vip, past in memory.vips.items()},
        "services": {name: asdict(past) for name, past in memory.services.items()},
    }


def memory_of(value: Document) -> Memory:
    """Return the earlier decisions."""
    vips = {address_of(vip): _vip_past(past) for vip, past in value["vips"].items()}
    services = {name: ServicePast(**past) for name, past in value["services"].items()}
    return Memory(MappingProxyType(vips), MappingProxyType(services))


def _vip_past(value: Document) -> VIPPast:
    return VIPPast(
        **{
            **value,
            "why": value["why"] and Why(value["why"]),
            "withdrawn": value["withdrawn"] and Why(value["withdrawn"]),
        }
    )


def verdicts_of(values: Iterable[Document]) -> Sequence[Verdict]:
    """Return the verdicts of values."""
    return tuple(map(verdict_of, values))
