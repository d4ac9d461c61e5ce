"""The options of one service section."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from pybal.config.convert import nearest, texts
from pybal.config.errors import InvalidValueError, shown
from pybal.config.option import NO_DEFAULTS, Kinds, names_of, options_of, read_options
from pybal.config.options import Options
from pybal.config.settings import BGPSettings, ServiceOptions, ServiceSettings, SourceSettings
from pybal.core.model import Service

_MOST_SHOWN = 5
_NAME = re.compile(r"[\w.-]{1,100}")


def read_service(options: Options, bgp: BGPSettings | None, kinds: Kinds) -> ServiceSettings:
    """Return the settings of a service; ``bgp`` holds the defaults of its announcement."""
    names = _monitors(options, kinds)
    own = read_options(ServiceOptions, options, monitors=names)
    source = read_options(SourceSettings, options, port=own.port)
    if source.scheme == "k8s":
        source = replace(source, threshold=own.depool_threshold, monitored=bool(names))
    checks = tuple(kinds[name].read(options) for name in names)
    defaults = {"bgp_med": bgp.med, "bgp_vip_policy": bgp.vip_policy} if bgp else NO_DEFAULTS
    service = _service(options.name, own)
    if interval := max((getattr(monitor, "interval", 0.0) for monitor in checks), default=0.0):
        service = replace(service, interval=interval)
    return read_options(
        ServiceSettings,
        options,
        defaults=defaults,
        service=service,
        source=source,
        monitors=checks,
        line=options.line,
    )


def service_options(kinds: Kinds) -> frozenset[str]:
    """Return the names of all options of a service, including the options of its monitors."""
    return names_of(ServiceSettings).union(*(kind.options for kind in kinds.values()))


REQUIRED = tuple(
    found.name for settings in (ServiceOptions, SourceSettings) for found in options_of(settings) if found.required
)
"""The names of the options that every service has, in its section or in [DEFAULT]."""


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


def _monitors(options: Options, kinds: Kinds) -> tuple[str, ...]:
    """Return the monitors of known kinds, each once; add a problem for the others."""
    known = Counter[str]()

    def convert(text: str) -> None:
        names = texts(text)
        known.update(name for name in names if name in kinds)
        if unknown := [name for name in names if name not in kinds][:_MOST_SHOWN]:
            near = nearest(unknown[0], kinds) if _NAME.fullmatch(unknown[0]) else ""
            wanted = f"a list of monitors in quotes, of {', '.join(kinds)}"
            raise InvalidValueError(", ".join(map(shown, unknown)), wanted, meant=near, meant_for=unknown[0])

    options.get("monitors", convert, None)
    for name, times in known.items():
        if times > 1:
            options.warn("monitors", f"{shown(name)} more than once", "each monitor once")
    return tuple(known)
