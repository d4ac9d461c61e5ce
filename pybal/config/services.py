"""The options of one service section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from pybal.config.convert import (
    SCHEDULER_FLAGS,
    SCHEDULERS,
    address,
    boolean,
    choice,
    one_of,
    port,
    seconds,
    share,
    texts,
    unsigned,
    words,
)
from pybal.config.errors import shown
from pybal.config.general import vip_policy
from pybal.config.limit import least
from pybal.config.option import Kinds
from pybal.config.options import Options, asked_by
from pybal.config.settings import BGPSettings, ProxyFetchSettings, ServiceSettings, SourceSettings, VIPPolicy
from pybal.config.url_options import source_url
from pybal.core.model import IPProtocol, Service, SuspectCheck

_protocol = choice(*IPProtocol)
_scheduler = choice(*SCHEDULERS)
_initial_state = choice("up", "unknown")
_suspect_check = choice(*SuspectCheck)


def read_service(options: Options, bgp: BGPSettings | None, kinds: Kinds) -> ServiceSettings:
    """Return the settings of a service, which is announced as ``bgp`` says unless it has options of its own."""
    # With a protocol that is refused, one-packet scheduling is not to be refused on top.
    protocol = IPProtocol(options.need("protocol", _protocol, "udp"))
    scheduler = options.need("scheduler", _scheduler, "")
    number = options.need("port", port, 0)
    monitors = tuple(_monitors(options, kinds))
    settings = ServiceSettings(
        service=Service(
            name=options.name,
            protocol=protocol,
            vip=options.need("ip", address, IPv4Address(0)),
            port=number,
            scheduler=scheduler,
            scheduler_flags=tuple(dict.fromkeys(_scheduler_flags(options, scheduler))),
            one_packet=_one_packet(options, protocol),
            tunneling=options.get("tunneling", boolean, False),
            depool_threshold=options.get("depool-threshold", share, 0.5),
            monitors=monitors,
            initially_up=options.get("initial-state", _initial_state, "unknown") == "up",
            suspect_check=SuspectCheck(options.get("suspect-check", _suspect_check, SuspectCheck.ALERT)),
        ),
        source=_source(options, number),
        monitors=tuple(kinds[name].read(options) for name in monitors),
        bgp=options.get("bgp", boolean, True),
        bgp_med=options.get("bgp-med", unsigned, bgp.med if bgp else 0),
        bgp_withdraw_below=options.get("bgp-withdraw-below", least, None),
        bgp_vip_policy=VIPPolicy(options.get("bgp-vip-policy", vip_policy, bgp.vip_policy if bgp else VIPPolicy.ANY)),
        share_checks=options.get("share-checks", boolean, False),
        line=options.line,
    )
    _refuse_foreign_sources(options, settings)
    interval = max((getattr(monitor, "interval", 0.0) for monitor in settings.monitors), default=0.0)
    return replace(settings, service=replace(settings.service, interval=interval)) if interval else settings


def _source(options: Options, number: int) -> SourceSettings:
    settings = SourceSettings(
        url=options.need("config", source_url, ""),
        allow_empty=options.get("allow-empty", boolean, False),
        max_step=options.get("max-depool-step", share, 0.5),
        admin_floor=options.get("admin-floor", unsigned, 0),
        max_age=options.get("source-max-age", seconds, 300.0),
        interval=options.get("source-interval", seconds, 1.0),
        port=number,
    )
    if settings.max_age <= settings.interval:
        options.refuse("source-max-age", f"{settings.max_age:g}", f"more than source-interval, {settings.interval:g}")
    return settings


def _refuse_foreign_sources(options: Options, settings: ServiceSettings) -> None:
    vip = settings.service.vip
    for monitor in settings.monitors:
        source = monitor.source if isinstance(monitor, ProxyFetchSettings) else None
        if source and source.version != vip.version and not options.refused("ip"):
            wanted = f"an IPv{vip.version} address, as ip is one and the servers have them"
            options.refuse("proxyfetch.source", shown(str(source)), wanted)


def _one_packet(options: Options, protocol: IPProtocol) -> bool:
    asked_for = options.get("ops", boolean, False)
    if asked_for and protocol is IPProtocol.TCP:
        options.refuse("ops", "yes", "no: one-packet scheduling is for udp")
    return asked_for


def _scheduler_flags(options: Options, scheduler: str) -> Iterator[str]:
    allowed = SCHEDULER_FLAGS.get(scheduler, ())
    for name in ("scheduler-flag", "scheduler_flag"):
        for flag in options.get(name, words, ()):
            if scheduler and flag not in allowed:
                wanted = one_of(flag, allowed) if allowed else f"none: the scheduler {scheduler} has no flags"
                options.refuse(name, shown(flag), wanted)
            yield flag


def _monitors(options: Options, kinds: Kinds) -> Iterator[str]:
    for name, times in Counter(options.get("monitors", texts, ())).items():
        if name in kinds:
            yield name
        else:
            options.refuse("monitors", shown(name), one_of(name, kinds))
        if times > 1:
            options.warn("monitors", f"{shown(name)} more than once", "each monitor once")


def service_options(kinds: Kinds) -> frozenset[str]:
    """Return the names of all options of a service, those of its monitors included."""
    own = asked_by(lambda options: read_service(options, None, kinds))
    return own.union(*(kind.options for kind in kinds.values()))
