"""Support: the valid settings that this version or this machine cannot use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from grp import getgrnam

from pybal.config.errors import Problem, shown
from pybal.config.settings import Settings
from pybal.monitors import kinds as monitors
from pybal.runtime.systemd import watchdog_seconds
from pybal.sources import kinds as sources

UNWATCHED_SECONDS = 60.0
"""The longest ``bgp-dead-after`` without a watchdog."""


def unsupported(settings: Settings, file: str) -> Iterator[Problem]:
    """Yield the settings of ``file`` that this version or this machine does not support."""
    for peer in settings.bgp.peers if settings.bgp else ():
        if peer.md5_password_file and not os.access(peer.md5_password_file, os.R_OK):
            found = f"{shown(peer.md5_password_file)} for peer {peer.address}"
            yield Problem(file, 0, "global", "bgp-md5-password-file", found, "a readable file")
    if settings.bgp:
        yield from _too_late(settings.bgp.dead_after, file)
    if settings.control_group and not _is_group(settings.control_group):
        yield Problem(file, 0, "global", "control-group", shown(settings.control_group), "an existing group")
    for refusal in sources.refusals(service.source for service in settings.services):
        yield Problem(file, 0, *refusal)
    yield from unknown(settings, file)
    for service in settings.services:
        for monitor in service.monitors:
            if unusable := monitors.refusal(monitor):
                yield Problem(file, service.line, service.service.name, *unusable)


def unknown(settings: Settings, file: str) -> Iterator[Problem]:
    """Yield the pool sources of a kind that this version does not support; open no file."""
    schemes = f"a supported scheme: {', '.join(sorted(sources.SUPPORTED))}"
    for service in settings.services:
        if sources.kind_of(service.source) not in sources.SUPPORTED:
            found = shown(service.source.url)
            yield Problem(file, service.line, service.service.name, "config", found, schemes)


def _too_late(dead_after: float, file: str) -> Iterator[Problem]:
    """Yield a problem if the service manager would kill a hung daemon before its VIPs are withdrawn."""
    watchdog = watchdog_seconds(os.environ)
    most = watchdog or UNWATCHED_SECONDS
    why = "WatchdogSec of the unit" if watchdog else "because no watchdog ends a hung daemon"
    if dead_after > most:
        yield Problem(file, 0, "global", "bgp-dead-after", f"{dead_after:g}", f"seconds, at most {most:g}, {why}")


def _is_group(name: str) -> bool:
    try:
        getgrnam(name)
    except KeyError:
        return False
    return True
