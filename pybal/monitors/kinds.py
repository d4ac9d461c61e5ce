"""The table of the kinds of monitor: from the settings of one service to the monitors of its servers.

The controller makes one plan for each monitor of its service, once, and asks it for a monitor for each server::

    plans = [prepare(settings, service, engine=engine, random=random) for settings in service_settings.monitors]
    monitor = plans[0].monitor(host, address, report)
    monitor.start()
"""

from __future__ import annotations

from random import Random

from pybal.checks.engine import Engine
from pybal.config.settings import (
    DNSQuerySettings,
    IdleConnectionSettings,
    MonitorSettings,
    ProxyFetchSettings,
    RunCommandSettings,
    TCPConnectSettings,
    UDPSettings,
)
from pybal.model import Service
from pybal.monitors.base import Plan
from pybal.monitors.dnsquery import DNSQueryPlan
from pybal.monitors.idleconnection import IdleConnectionPlan
from pybal.monitors.proxyfetch import ProxyFetchPlan
from pybal.monitors.runcommand import RunCommandPlan
from pybal.monitors.tcpconnect import TCPConnectPlan
from pybal.monitors.udp import UDPPlan

NAMES: dict[type[MonitorSettings], str] = {
    ProxyFetchSettings: "ProxyFetch",
    IdleConnectionSettings: "IdleConnection",
    DNSQuerySettings: "DNSQuery",
    UDPSettings: "UDP",
    RunCommandSettings: "RunCommand",
    TCPConnectSettings: "TCPConnect",
}
"""The name of each kind, as in pybal.conf."""


def name_of(settings: MonitorSettings) -> str:
    """Return the name of the kind, as in pybal.conf."""
    return NAMES[type(settings)]


def supported(settings: MonitorSettings) -> bool:
    """Tell whether this release can run monitors of this kind; what it cannot run must not be started with."""
    return type(settings) in NAMES


def prepare(settings: MonitorSettings, service: Service, *, engine: Engine, random: Random) -> Plan:
    """Return what all monitors of this kind and service share; NotImplementedError unless :func:`supported`."""
    match settings:
        case ProxyFetchSettings():
            return ProxyFetchPlan(settings, service, engine=engine, random=random)
        case IdleConnectionSettings():
            return IdleConnectionPlan(settings, service, engine=engine, random=random)
        case DNSQuerySettings():
            return DNSQueryPlan(settings, service, engine=engine, random=random)
        case UDPSettings():
            return UDPPlan(settings, service, engine=engine, random=random)
        case RunCommandSettings():
            return RunCommandPlan(settings, service, engine=engine, random=random)
        case TCPConnectSettings():
            return TCPConnectPlan(settings, service, engine=engine, random=random)
        case _:
            raise NotImplementedError(f"monitors of kind {name_of(settings)}")
