"""The table of the kinds of monitor: from the settings of a service to the monitors of its servers.

One factory is created for each monitor of a service, and creates the monitor of each server::

    factories = [prepare(settings, service, engine=engine, random=random) for settings in service_settings.monitors]
    monitor = factories[0].monitor(host, address, report)
    monitor.start()
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from socket import AF_INET
from typing import NamedTuple

from pybal.checks import tls
from pybal.checks.engine import Engine
from pybal.checks.icmp import echo_socket
from pybal.config.settings import (
    DNSQuerySettings,
    GRPCSettings,
    ICMPSettings,
    IdleConnectionSettings,
    MonitorSettings,
    ProxyFetchSettings,
    RunCommandSettings,
    TCPConnectSettings,
    TLSSettings,
    UDPSettings,
)
from pybal.core.model import Service
from pybal.monitors.base import MonitorFactory
from pybal.monitors.dnsquery import DNSQueryFactory
from pybal.monitors.grpc import GRPCFactory
from pybal.monitors.icmp import ICMPFactory
from pybal.monitors.idleconnection import IdleConnectionFactory
from pybal.monitors.proxyfetch import ProxyFetchFactory
from pybal.monitors.runcommand import RunCommandFactory
from pybal.monitors.tcpconnect import TCPConnectFactory
from pybal.monitors.tls import TLSFactory
from pybal.monitors.udp import UDPFactory

NAMES: dict[type[MonitorSettings], str] = {
    ProxyFetchSettings: "ProxyFetch",
    IdleConnectionSettings: "IdleConnection",
    DNSQuerySettings: "DNSQuery",
    UDPSettings: "UDP",
    RunCommandSettings: "RunCommand",
    TCPConnectSettings: "TCPConnect",
    TLSSettings: "TLS",
    GRPCSettings: "gRPC",
    ICMPSettings: "ICMP",
}
"""The name of each kind in pybal.conf."""

_FACTORIES: dict[type[MonitorSettings], Callable[..., MonitorFactory]] = {
    ProxyFetchSettings: ProxyFetchFactory,
    IdleConnectionSettings: IdleConnectionFactory,
    DNSQuerySettings: DNSQueryFactory,
    UDPSettings: UDPFactory,
    RunCommandSettings: RunCommandFactory,
    TCPConnectSettings: TCPConnectFactory,
    TLSSettings: TLSFactory,
    GRPCSettings: GRPCFactory,
    ICMPSettings: ICMPFactory,
}


class MonitorRefusal(NamedTuple):
    """An option that this machine cannot apply."""

    option: str
    found: str
    wanted: str


def name_of(settings: MonitorSettings) -> str:
    """Return the name of the kind in pybal.conf."""
    return NAMES[type(settings)]


def refusal(settings: MonitorSettings) -> MonitorRefusal | None:
    """Return why this machine cannot run such a monitor, ``None`` if it can."""
    if isinstance(settings, TLSSettings | ProxyFetchSettings) and settings.verify:
        try:
            tls.verify(tls.context(), settings.ca, name=False)
        except OSError as error:
            return MonitorRefusal(
                f"{name_of(settings).lower()}.ca",
                f"{settings.ca} ({error.strerror or error})",
                "a file of certificates in PEM form",
            )
    if isinstance(settings, ICMPSettings):
        try:
            echo_socket(AF_INET).close()
        except OSError as error:
            wanted = "CAP_NET_RAW, or our group in the sysctl net.ipv4.ping_group_range"
            return MonitorRefusal("monitors", f"ICMP ({error.strerror})", wanted)
    return None


def port_of(settings: MonitorSettings, service: Service) -> int:
    """Return the port that the checks of a service connect to, 0 for ICMP."""
    return 0 if isinstance(settings, ICMPSettings) else getattr(settings, "port", 0) or service.port


def prepare(settings: MonitorSettings, service: Service, *, engine: Engine, random: Random) -> MonitorFactory:
    """Return the factory of this kind for a service; ``settings`` must not be refused by :func:`refusal`.

    A factory uses only the port (:func:`port_of`) of the service and, in the log, its name, because services with equal
    settings may share their checks (:mod:`pybal.monitors.shared`).
    """
    return _FACTORIES[type(settings)](settings, service, engine=engine, random=random)
