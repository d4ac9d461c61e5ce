"""The options of each kind of monitor, and the table of the kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypedDict

from pybal.config import http_options
from pybal.config.command_options import arguments, command
from pybal.config.convert import (
    address,
    boolean,
    choice,
    each,
    hostname,
    integer,
    octets,
    optional_hostname,
    optional_text,
    part,
    pause,
    port_or_services,
    seconds,
    some,
)
from pybal.config.errors import shown
from pybal.config.option import Kind
from pybal.config.options import Options, asked_by
from pybal.config.settings import (
    MOST_BODY,
    DNSQuerySettings,
    GRPCSettings,
    ICMPSettings,
    IdleConnectionSettings,
    Intervals,
    MonitorSettings,
    ProxyFetchSettings,
    RunCommandSettings,
    TCPConnectSettings,
    TLSSettings,
    UDPSettings,
)
from pybal.config.url_options import authority, check_url

_check_urls = some(check_url, "a URL http://host/path or https://host/path")
_hostnames = some(hostname, "a host name")
_status = integer(100, 599, "an HTTP status")
_days = integer(0, 3650, "whole days")
_count = integer(0, 2**31 - 1)
_times = integer(1, 1000)
_jitter = part(0.5)
# What Linux takes for TCP_KEEPCNT, and for TCP_KEEPIDLE and TCP_KEEPINTVL.
_probes = integer(1, 127)
_keepalive_seconds = integer(1, 32767, "whole seconds")


class _Turns(TypedDict):
    """What the settings of every kind have that checks in turns."""

    timeout: float
    interval: float
    intervals: Intervals


def _turns(options: Options, kind: str, *, timeout: float = 5.0, interval: float = 10.0) -> _Turns:
    """Return when a monitor checks, and how long it waits; ``kind`` is the prefix of its options, the rest are defaults."""
    interval = options.get(f"{kind}.interval", seconds, interval)
    fast = options.get(f"{kind}.fast-interval", seconds, interval)
    down = options.get(f"{kind}.down-interval", seconds, interval)
    return _Turns(
        timeout=options.get(f"{kind}.timeout", seconds, timeout),
        interval=interval,
        intervals=Intervals(
            rise=options.get(f"{kind}.rise", _times, 1),
            fall=options.get(f"{kind}.fall", _times, 1),
            fast_interval=None if fast == interval else fast,
            down_interval=None if down == interval else down,
            jitter=options.get(f"{kind}.jitter", _jitter, 0.0),
        ),
    )


def _proxyfetch(options: Options) -> ProxyFetchSettings:
    urls = options.need("proxyfetch.url", _check_urls, ())
    verify = options.get("proxyfetch.verify", boolean, False)
    ca = options.get("proxyfetch.ca", optional_text, "")
    if ca and not verify:
        options.refuse("proxyfetch.ca", shown(ca), "proxyfetch.verify = yes beside it")
    if verify and urls and not any(url.lower().startswith("https:") for url in urls):
        options.refuse("proxyfetch.verify", "yes", "a URL https://host/path beside it")
    source = options.get("proxyfetch.source", http_options.source, None)
    vip = options.get("ip", address, None)
    if source and vip and source.version != vip.version:
        wanted = f"an IPv{vip.version} address, as ip is one and the servers have them"
        options.refuse("proxyfetch.source", shown(str(source)), wanted)
    return ProxyFetchSettings(
        urls=urls,
        http_status=options.get("proxyfetch.http_status", _status, 200),
        check_all=options.get("proxyfetch.check_all", boolean, False),
        max_failures=options.get("proxyfetch.max_failures", _count, 0),
        method=options.get("proxyfetch.method", http_options.method, "GET"),
        headers=options.get("proxyfetch.headers", each(http_options.header), ()),
        host=options.get("proxyfetch.host", authority, ""),
        http_version=options.get("proxyfetch.http-version", choice("1.0", "1.1"), "1.0"),
        statuses=options.get("proxyfetch.statuses", http_options.statuses, ()),
        body_regex=options.get("proxyfetch.body-regex", http_options.pattern, None),
        max_body=options.get("proxyfetch.max-body", integer(1, MOST_BODY, "a number of bytes"), MOST_BODY),
        verify=verify,
        ca=ca,
        sni=options.get("proxyfetch.sni", http_options.server_name, ""),
        port=options.get("proxyfetch.port", port_or_services, 0),
        source=source,
        **_turns(options, "proxyfetch"),
    )


def _idleconnection(options: Options) -> IdleConnectionSettings:
    return IdleConnectionSettings(
        timeout_clean_reconnect=options.get("idleconnection.timeout-clean-reconnect", pause, 3.0),
        max_delay=options.get("idleconnection.max-delay", seconds, 300.0),
        keepalive=options.get("idleconnection.keepalive", boolean, True),
        keepalive_retries=options.get("idleconnection.keepalive-retries", _probes, 3),
        keepalive_idle=options.get("idleconnection.keepalive-idle", _keepalive_seconds, 10),
        keepalive_interval=options.get("idleconnection.keepalive-interval", _keepalive_seconds, 30),
        timeout=options.get("idleconnection.timeout", seconds, 30.0),
        fall=options.get("idleconnection.fall", _times, 1),
    )


def _dnsquery(options: Options) -> DNSQuerySettings:
    return DNSQuerySettings(
        hostnames=options.need("dnsquery.hostnames", _hostnames, ()),
        fail_on_nxdomain=options.get("dnsquery.fail-on-nxdomain", boolean, False),
        **_turns(options, "dnsquery"),
    )


def _udp(options: Options) -> UDPSettings:
    return UDPSettings(
        icmp_timeout=options.get("udp.icmp-timeout", seconds, 20.0),
        **_turns(options, "udp", timeout=3.5),
    )


def _runcommand(options: Options) -> RunCommandSettings:
    return RunCommandSettings(
        command=options.need("runcommand.command", command, ""),
        arguments=options.get("runcommand.arguments", arguments, ()),
        log_output=options.get("runcommand.log-output", boolean, True),
        **_turns(options, "runcommand", timeout=20.0, interval=60.0),
    )


def _tcpconnect(options: Options) -> TCPConnectSettings:
    return TCPConnectSettings(
        send=options.get("tcpconnect.send", octets, b""),
        expect=options.get("tcpconnect.expect", octets, b""),
        port=options.get("tcpconnect.port", port_or_services, 0),
        **_turns(options, "tcpconnect"),
    )


def _tls(options: Options) -> TLSSettings:
    verify = options.get("tls.verify", boolean, False)
    ca = options.get("tls.ca", optional_text, "")
    if ca and not verify:
        options.refuse("tls.ca", shown(ca), "tls.verify = yes beside it")
    return TLSSettings(
        name=options.get("tls.name", optional_hostname, ""),
        verify=verify,
        ca=ca,
        warn_days=options.get("tls.warn-days", _days, 14),
        fail_days=options.get("tls.fail-days", _days, 0),
        port=options.get("tls.port", port_or_services, 0),
        **_turns(options, "tls"),
    )


def _grpc(options: Options) -> GRPCSettings:
    return GRPCSettings(
        service=options.get("grpc.service", optional_text, ""),
        tls=options.get("grpc.tls", boolean, False),
        authority=options.get("grpc.authority", authority, ""),
        port=options.get("grpc.port", port_or_services, 0),
        **_turns(options, "grpc"),
    )


def _icmp(options: Options) -> ICMPSettings:
    return ICMPSettings(**_turns(options, "icmp"))


@dataclass(frozen=True, slots=True)
class _ReaderKind(Kind[Any]):
    """A kind whose options are not declared yet."""

    reader: Callable[[Options], MonitorSettings]

    @property
    def options(self) -> frozenset[str]:
        return frozenset(name for name in asked_by(self.reader) if name.startswith(self.prefix))

    def read(self, options: Options) -> MonitorSettings:
        return self.reader(options)


KINDS: Mapping[str, Kind[Any]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _ReaderKind("ProxyFetch", ProxyFetchSettings, _proxyfetch),
            _ReaderKind("IdleConnection", IdleConnectionSettings, _idleconnection),
            _ReaderKind("DNSQuery", DNSQuerySettings, _dnsquery),
            _ReaderKind("UDP", UDPSettings, _udp),
            _ReaderKind("RunCommand", RunCommandSettings, _runcommand),
            _ReaderKind("TCPConnect", TCPConnectSettings, _tcpconnect),
            _ReaderKind("TLS", TLSSettings, _tls),
            _ReaderKind("gRPC", GRPCSettings, _grpc),
            _ReaderKind("ICMP", ICMPSettings, _icmp),
        )
    }
)
"""The kinds of monitor by name."""
