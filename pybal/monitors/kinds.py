"""The table of the kinds of monitor: from the settings of a service to the monitors of its servers.

One factory is created for each monitor of a service, and creates the monitor of each server::

    factories = [prepare(settings, service, engine=engine, random=random, files=files) for settings in service_settings.monitors]
    monitor = factories[0].monitor(host, address, report)
    monitor.start()
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Any

from pybal.checks.engine import Engine
from pybal.core.model import Service
from pybal.monitors import (
    dnsquery,
    grpc,
    icmp,
    idleconnection,
    mysql,
    proxyfetch,
    redis,
    runcommand,
    tcpconnect,
    tls,
    udp,
)
from pybal.monitors.base import MonitorFactory
from pybal.monitors.factory import MonitorRefusal, MonitorSettings
from pybal.monitors.kind import Kind
from pybal.runtime.file_values import FileValues

_ALL: tuple[Kind[Any], ...] = (
    proxyfetch.KIND,
    idleconnection.KIND,
    dnsquery.KIND,
    udp.KIND,
    runcommand.KIND,
    tcpconnect.KIND,
    tls.KIND,
    grpc.KIND,
    icmp.KIND,
    mysql.KIND,
    redis.KIND,
)

KINDS: Mapping[str, Kind[Any]] = MappingProxyType({kind.name: kind for kind in _ALL})
"""The kinds of monitor by the name in pybal.conf."""

_BY_SETTINGS: Mapping[type, Kind[Any]] = {kind.settings: kind for kind in _ALL}


def name_of(settings: MonitorSettings) -> str:
    """Return the name of the kind in pybal.conf."""
    return _BY_SETTINGS[type(settings)].name


def refusal(settings: MonitorSettings) -> MonitorRefusal | None:
    """Return why this machine cannot run such a monitor, ``None`` if it can."""
    return settings.refusal(_BY_SETTINGS[type(settings)].prefix)


def prepare(
    settings: MonitorSettings, service: Service, *, engine: Engine, random: Random, files: FileValues
) -> MonitorFactory:
    """Return the factory of this kind for a service; its checks wait for the files that they need."""
    return _BY_SETTINGS[type(settings)].prepare(settings, service, engine=engine, random=random, files=files)
