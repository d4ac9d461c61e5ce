"""Support: the valid settings that this version or this machine cannot use."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pybal.config.errors import Problem, shown
from pybal.config.settings import Settings
from pybal.control.group import UnknownGroupError, group_number
from pybal.monitors import kinds as monitors
from pybal.runtime.systemd import watchdog_seconds
from pybal.sources import kinds as sources

UNWATCHED_SECONDS = 60.0
"""The longest ``bgp-dead-after`` without a watchdog."""


def unsupported(settings: Settings, file: str) -> Iterator[Problem]:
    """Yield the settings of ``file`` that this version does not support."""
    if settings.bgp:
        yield from _too_late(settings.bgp.dead_after, file)
    for service in settings.services:
        if sources.kind_of(service.source) not in sources.SUPPORTED:
            schemes = f"a supported scheme: {', '.join(sorted(sources.SUPPORTED))}"
            yield Problem(file, service.line, service.service.name, "config", shown(service.source.url), schemes)


def uninstalled(settings: Settings, file: str) -> Iterator[Problem]:
    """Yield the services of ``file`` whose sources need a package that is not installed.

    Imports the packages, which takes time: not for the event loop.
    """
    for service in settings.services:
        if package := sources.missing(service.source):
            yield Problem(file, service.line, service.service.name, "config", shown(service.source.url), package)


def absent(settings: Settings, file: str) -> Iterator[Problem]:
    """Yield the settings of ``file`` that this machine cannot use at present.

    Files or capabilities are missing. Their causes may pass without a change of ``file``: the start goes on with an alert of each
    part, but a reload is refused. May wait for file systems.
    """
    for refusal in sources.refusals(service.source for service in settings.services):
        yield Problem(file, 0, *refusal)
    for service in settings.services:
        for monitor in service.monitors:
            if unusable := monitors.refusal(monitor):
                yield Problem(file, service.line, service.service.name, *unusable)


def absent_group(settings: Settings, file: str) -> Iterator[Problem]:
    """Yield the problem of an unknown ``control-group``. May wait for the name service."""
    if settings.control_group:
        try:
            group_number(settings.control_group)
        except UnknownGroupError:
            yield Problem(file, 0, "global", "control-group", shown(settings.control_group), "an existing group")


def _too_late(dead_after: float, file: str) -> Iterator[Problem]:
    """Yield a problem if the service manager would kill a hung daemon before its VIPs are withdrawn."""
    watchdog = watchdog_seconds(os.environ)
    most = watchdog or UNWATCHED_SECONDS
    why = "WatchdogSec of the unit" if watchdog else "because no watchdog ends a hung daemon"
    if dead_after > most:
        yield Problem(file, 0, "global", "bgp-dead-after", f"{dead_after:g}", f"seconds, at most {most:g}, {why}")
