"""The options of the section [global]."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from pybal.config.convert import (
    address,
    as_path,
    asn,
    boolean,
    choice,
    each,
    listen_address,
    local_addresses,
    nexthop_ipv4,
    nexthop_ipv6,
    port,
    some,
    unsigned,
)
from pybal.config.errors import Unwanted
from pybal.config.options import Options, asked_by
from pybal.config.settings import BGPSettings, InstrumentationSettings, IPVSBackend, PeerSettings, Settings
from pybal.model import Address

_LOOPBACK: tuple[Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_A_PEER = "the IPv4 or IPv6 address of a BGP peer"
_backend = choice(*IPVSBackend)
_addresses = each(address)
_listen_addresses = each(listen_address)


def _peer(text: str) -> Address:
    try:
        return address(text)
    except Unwanted as error:
        raise Unwanted(error.found, _A_PEER) from None


_peers = some(_peer, _A_PEER)


def read_global(options: Options) -> Settings:
    """Return the settings without any service. What is there for a part that is switched off is not looked at."""
    return Settings(
        services=(),
        bgp=_bgp(options) if options.get("bgp", boolean, False) else None,
        instrumentation=_instrumentation(options) if options.get("instrumentation", boolean, False) else None,
        ipvs_backend=IPVSBackend(options.get("ipvs-backend", _backend, IPVSBackend.NETLINK)),
        dry_run=options.get("dry-run", boolean, False),
    )


def _bgp(options: Options) -> BGPSettings:
    local_asn = options.need("bgp-local-asn", asn, 0)
    as_path_ = options.get("bgp-as-path", as_path, (local_asn,))
    nexthops = options.get("bgp-nexthop-ipv4", nexthop_ipv4, None), options.get("bgp-nexthop-ipv6", nexthop_ipv6, None)
    addresses = options.need("bgp-peer-address", _peers, ())
    return BGPSettings(
        peers=tuple(PeerSettings(each, local_asn, None, as_path_, *nexthops) for each in addresses),
        med=options.get("bgp-med", unsigned, 0),
        local_ips=options.get("bgp-local-ips", local_addresses, ()),
        local_port=options.get("bgp-local-port", port, 179),
    )


def _instrumentation(options: Options) -> InstrumentationSettings:
    return InstrumentationSettings(
        ips=options.get("instrumentation_ips", _listen_addresses, _LOOPBACK),
        port=options.get("instrumentation_port", port, 9090),
        advertised_ips=options.get("advertised_instrumentation_ips", _addresses, ()),
    )


GLOBAL_OPTIONS = frozenset().union(*map(asked_by, (read_global, _bgp, _instrumentation)))
"""The names of all options of [global]."""
