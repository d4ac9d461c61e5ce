"""The options that ``pybal replay --set`` can change: recorded decisions depend on them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pybal.config.bgp_settings import BGPSettings, DrainSettings
from pybal.config.convert import Converter
from pybal.config.errors import InvalidValueError
from pybal.config.option import Option, declared, written
from pybal.config.settings import ServiceOptions, ServiceSettings, Settings
from pybal.core.model import Service
from pybal.core.text import numbered, printable
from pybal.journal.announcements import AnnouncedService, AnnouncementSettings
from pybal.journal.whatif import Alternative, Comparison

GLOBAL = "global"
MOST_REMARKS = 10
_POOL = ("depool_threshold", "initially_up", "suspect_check")
"""Fields of :class:`pybal.core.model.Service`."""
_ANNOUNCED = {"bgp_med": "med", "bgp_withdraw_below": "minimum", "bgp_vip_policy": "policy"}
"""Fields of :class:`~pybal.config.settings.ServiceSettings`, and of :class:`AnnouncedService`."""
_BGP = ("gate", "wait", "hold")


class NoSuchChangeError(Exception):
    """A change that the replay cannot make; the text has the reason and the possible ones."""


@dataclass(frozen=True, slots=True)
class _Field:
    """An option and the field that it sets."""

    option: Option
    name: str


def _options(settings: type[Any], names: Iterable[str], prefix: str = "") -> Iterator[tuple[str, _Field]]:
    for member in fields(settings):
        found = declared(member)
        if member.name in names and isinstance(found, Option):
            yield prefix + found.name, _Field(found, member.name)


_POOL_OPTIONS = dict(_options(ServiceOptions, _POOL))
_ANNOUNCED_OPTIONS = dict(_options(ServiceSettings, _ANNOUNCED))
_BGP_OPTIONS = dict(_options(BGPSettings, _BGP, "bgp-"))
_DRAIN_OPTIONS = dict(_options(DrainSettings, ("med", "wait"), "bgp-drain-"))
_ALL = _POOL_OPTIONS | _ANNOUNCED_OPTIONS | _BGP_OPTIONS | _DRAIN_OPTIONS

SERVICE_OPTIONS = (*_POOL_OPTIONS, *_ANNOUNCED_OPTIONS)
GLOBAL_OPTIONS = (*_BGP_OPTIONS, *_DRAIN_OPTIONS)


@dataclass(frozen=True, slots=True)
class Change:
    """The value of an option of a service, or of ``global``."""

    section: str
    option: str
    value: Any


def read_change(text: str) -> Change:
    """Return the change of ``SECTION.OPTION=VALUE``. Raises NoSuchChangeError."""
    place, equals, value = text.partition("=")
    place = printable(place.strip())
    section, _, name = place.partition(".")
    # A name of a service may have dots as well.
    for option in (*SERVICE_OPTIONS, *GLOBAL_OPTIONS):
        if place.endswith(f".{option}"):
            section, name = place.removesuffix(f".{option}"), option
    if not equals or not name:
        raise NoSuchChangeError(
            f"invalid change {text!r} (use SERVICE.OPTION=VALUE, such as text_80.depool-threshold=0.7)"
        )
    possible = GLOBAL_OPTIONS if section == GLOBAL else SERVICE_OPTIONS
    if name not in possible:
        raise NoSuchChangeError(
            f"{place}: not an option that changes a decision on recorded events (use one of {', '.join(possible)})"
        )
    try:
        return Change(section, name, _converter(name)(value.strip()))
    except InvalidValueError as error:
        raise NoSuchChangeError(f"{place}: {error}") from None


def _converter(name: str) -> Converter[Any]:
    return _ALL[name].option.convert


def changes_of(settings: Settings) -> Iterator[Change]:
    """Yield the values of all options of a configuration that can change a decision."""
    for service in settings.services:
        for name, each in _POOL_OPTIONS.items():
            yield Change(service.service.name, name, getattr(service.service, each.name))
        for name, each in _ANNOUNCED_OPTIONS.items():
            yield Change(service.service.name, name, getattr(service, each.name))
    if settings.bgp:
        for name, each in _BGP_OPTIONS.items():
            yield Change(GLOBAL, name, getattr(settings.bgp, each.name))
        for name, each in _DRAIN_OPTIONS.items():
            yield Change(GLOBAL, name, getattr(settings.bgp.drain, each.name))


def alternative(changes: Iterable[Change]) -> Alternative:
    """Return the settings with these changes; the last one of an option counts."""
    chosen: dict[str, dict[str, Any]] = {}
    for change in changes:
        chosen.setdefault(change.section, {})[change.option] = change.value

    def service(before: Service) -> Service:
        return replace(before, **_values(chosen.get(before.name, {}), _POOL_OPTIONS, str))

    def announced(before: AnnouncedService) -> AnnouncedService:
        return replace(before, **_values(chosen.get(before.name, {}), _ANNOUNCED_OPTIONS, _ANNOUNCED.__getitem__))

    def announcements(before: AnnouncementSettings) -> AnnouncementSettings:
        own = chosen.get(GLOBAL, {})
        drain = replace(before.bgp.drain, **_values(own, _DRAIN_OPTIONS, str))
        bgp = replace(before.bgp, drain=drain, **_values(own, _BGP_OPTIONS, str))
        return replace(before, bgp=bgp, services=tuple(map(announced, before.services)))

    return Alternative(service, announcements)


def _values(chosen: Mapping[str, Any], options: Mapping[str, _Field], name_of: Callable[[str], str]) -> dict[str, Any]:
    return {name_of(each.name): chosen[name] for name, each in options.items() if name in chosen}


def remarks_on(changes: Iterable[Change], given: Sequence[Change], compared: Comparison) -> Iterator[str]:
    """Yield the effective ``changes`` of a comparison with the recorded values.

    The ``given`` ones of the command line also if they change nothing.
    """
    chosen = {(change.section, change.option): change for change in changes}
    asked = {(change.section, change.option) for change in given}
    found, idle = [], []
    for place, change in chosen.items():
        name = f"{change.section}.{change.option}"
        if change.option not in _POOL_OPTIONS and compared.announcements is None:
            idle += [name] if place in asked or change.section == GLOBAL else []
            continue
        before = _recorded(change, compared)
        if before is not None and before != _shown(change):
            found.append(f"{name} = {_shown(change)} instead of {before}")
        elif before is not None and place in asked:
            found.append(f"{name} = {_shown(change)}, as recorded")
    yield from found[:MOST_REMARKS]
    if len(found) > MOST_REMARKS:
        yield f"… and {numbered(len(found) - MOST_REMARKS, 'more setting')}"
    if idle:
        yield f"{', '.join(idle)}: no effect, because BGP is off in this journal"


def _recorded(change: Change, compared: Comparison) -> str | None:
    """Return the last recorded value of an option as an operator writes it, ``None`` if it is unknown."""
    if change.section == GLOBAL:
        bgp = compared.announcements and compared.announcements.bgp
        owner: object = bgp.drain if bgp and change.option in _DRAIN_OPTIONS else bgp
    elif change.option in _POOL_OPTIONS:
        pool = compared.replay.pool(change.section)
        owner = pool and pool.service
    else:
        services = compared.announcements.services if compared.announcements else ()
        owner = next((each for each in services if each.name == change.section), None)
    if owner is None:
        return None
    name = _ALL[change.option].name
    value = getattr(owner, _ANNOUNCED[name] if change.option in _ANNOUNCED_OPTIONS else name)
    return _shown(replace(change, value=value))


def _shown(change: Change) -> str:
    option = _ALL[change.option].option
    return option.show(change.value) if option.show else written(change.value)
