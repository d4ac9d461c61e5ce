"""The options of one service section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from pybal.config.convert import one_of
from pybal.config.errors import shown
from pybal.config.option import NO_DEFAULTS, Kinds, names_of, read_options
from pybal.config.options import Options
from pybal.config.settings import BGPSettings, ServiceOptions, ServiceSettings, SourceSettings
from pybal.core.model import Service

_MOST_MONITORS = 50
"""Names of a section; a suggestion is made for each unknown one."""


def read_service(options: Options, bgp: BGPSettings | None, kinds: Kinds) -> ServiceSettings:
    """Return the settings of a service; ``bgp`` holds the defaults of its announcement."""
    own = read_options(ServiceOptions, options)
    names = tuple(_known(options, own.monitors, kinds))
    source = read_options(SourceSettings, options, port=own.port)
    if source.scheme == "k8s":
        source = replace(source, threshold=own.depool_threshold, monitored=bool(names))
    monitors = tuple(kinds[name].read(options) for name in names)
    defaults = {"bgp_med": bgp.med, "bgp_vip_policy": bgp.vip_policy} if bgp else NO_DEFAULTS
    service = _service(options.name, replace(own, monitors=names))
    if interval := max((getattr(monitor, "interval", 0.0) for monitor in monitors), default=0.0):
        service = replace(service, interval=interval)
    return read_options(
        ServiceSettings,
        options,
        defaults=defaults,
        service=service,
        source=source,
        monitors=monitors,
        line=options.line,
    )


def service_options(kinds: Kinds) -> frozenset[str]:
    """Return the names of all options of a service, including the options of its monitors."""
    return names_of(ServiceSettings).union(*(kind.options for kind in kinds.values()))


def _service(name: str, own: ServiceOptions) -> Service:
    return Service(
        name=name,
        protocol=own.protocol,
        vip=own.vip,
        port=own.port,
        scheduler=own.scheduler,
        scheduler_flags=tuple(dict.fromkeys(own.scheduler_flags)),
        one_packet=own.one_packet,
        tunneling=own.tunneling,
        depool_threshold=own.depool_threshold,
        monitors=own.monitors,
        initially_up=own.initially_up,
        suspect_check=own.suspect_check,
        dns_move_wait=own.dns_move_wait,
    )


def _known(options: Options, monitors: tuple[str, ...], kinds: Kinds) -> Iterator[str]:
    """Yield the monitors of known kinds, each once; add a problem for the others."""
    for name, times in islice(Counter(monitors).items(), _MOST_MONITORS):
        if name in kinds:
            yield name
        else:
            options.refuse("monitors", shown(name), one_of(name, kinds))
        if times > 1:
            options.warn("monitors", f"{shown(name)} more than once", "each monitor once")
