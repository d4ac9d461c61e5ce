"""Addresses that lead to no other host, and why: not for a VIP, server, next hop or peer. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from pybal.core.model import Address

_THIS_NETWORK = IPv4Network("0.0.0.0/8")  # RFC 1122
_RESERVED = IPv4Network("240.0.0.0/4")  # RFC 1112; ends with the broadcast address


def why_unreachable(ip: Address, *, loopback: bool = False, reserved: bool = False) -> str:
    """Return why an address leads to no other host, e.g. ``a multicast address``; empty if it may.

    ``loopback`` and ``reserved`` accept the addresses of these kinds: Linux sends packets to 240.0.0.0/4, routers do not.
    IPv4 link-local addresses (169.254.0.0/16) are in use between routers, without a zone.
    """
    if ip.is_unspecified:
        return "the unspecified address"
    if ip.is_loopback:
        return "" if loopback else "a loopback address"
    if ip.is_multicast:
        return "a multicast address"
    if isinstance(ip, IPv4Address):
        if ip == _RESERVED.broadcast_address:
            return "the broadcast address"
        return "a reserved address" if ip in _THIS_NETWORK or (ip in _RESERVED and not reserved) else ""
    if ip.ipv4_mapped:
        return f"an IPv4-mapped address; the IPv4 address is {ip.ipv4_mapped}"
    return "a link-local address" if ip.is_link_local else ""
