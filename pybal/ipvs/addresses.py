"""Addresses that no destination of IPVS can have. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from pybal.core.model import Address

_THIS_NETWORK, _BROADCAST = IPv4Network("0.0.0.0/8"), IPv4Address("255.255.255.255")


def unusable(address: Address, *, loopback: bool = False) -> str:
    """Return why an address cannot be a destination, empty if it can.

    ``loopback`` accepts the loopback network. The kernel refuses some of them; the others would send the traffic of clients to this host.
    """
    if isinstance(address, IPv4Address):
        if address in _THIS_NETWORK:
            return "an address of this host (0.0.0.0/8)"
        if address == _BROADCAST:
            return "the broadcast address"
    elif address.is_unspecified:
        return "the unspecified address"
    elif address.ipv4_mapped is not None:
        return "an IPv4-mapped address"
    elif address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_loopback and not loopback:
        return "a loopback address"
    return ""
