"""Addresses that no other host can reach: refused as next hop, peer and VIP, with their place."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pybal.config.errors import ConfigError
from pybal.config.parse import parse
from pybal.monitors.kinds import KINDS

BGP = "[global]\nbgp = yes\nbgp-local-asn = 64600\nbgp-router-id = 192.0.2.10\n"
HOPS = "bgp-nexthop-ipv4 = 192.0.2.10\nbgp-nexthop-ipv6 = 2001:db8::10\n"
REACHABLE = "that the routers can reach"


def service(vip: str) -> str:
    return f"[web]\nprotocol = tcp\nport = 80\nscheduler = wrr\nconfig = file:///pools/web\nip = {vip}\n"


def problems(text: str, vip: str = "198.51.100.1") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text + service(vip), "f", KINDS)
    return [str(problem) for problem in caught.value.problems]


def accepted(text: str, vip: str = "198.51.100.1") -> list[str]:
    """Return the warnings."""
    return [str(warning) for warning in parse(text + service(vip), "f", KINDS).warnings]


UNREACHABLE = {
    "127.0.0.1": "a loopback address",
    "224.0.0.9": "a multicast address",
    "255.255.255.255": "the broadcast address",
    "240.0.0.1": "a reserved address",
    "0.0.0.7": "a reserved address",
    "::1": "a loopback address",
    "ff02::5": "a multicast address",
    "fe80::1": "a link-local address",
    "::ffff:192.0.2.1": "an IPv4-mapped address; the IPv4 address is 192.0.2.1",
}
"""The unspecified and multicast addresses are refused earlier, by the type of the option."""


def family(text: str) -> int:
    return 6 if ":" in text else 4


@pytest.mark.parametrize(("hop", "why"), UNREACHABLE.items())
def test_unreachable_next_hop_is_refused(hop: str, why: str) -> None:
    hops = HOPS.replace("192.0.2.10" if family(hop) == 4 else "2001:db8::10", hop)
    (problem,) = problems(BGP + "bgp-peer-address = 192.0.2.251\n" + hops)
    line = 6 if family(hop) == 4 else 7
    assert problem.startswith(f"f:{line}: [global] bgp-nexthop-ipv{family(hop)}: found '{hop}'")
    assert f"{why}; expected an IPv{family(hop)} address of this balancer {REACHABLE}" in problem or "multicast" in why


@pytest.mark.parametrize("hop", ["0.0.0.0", "::", "224.0.0.9", "fe80::1%eth0"])
def test_next_hop_of_no_single_host_is_refused(hop: str) -> None:
    hops = HOPS.replace("192.0.2.10" if family(hop) == 4 else "2001:db8::10", hop.replace("%", "%%"))
    (problem,) = problems(BGP + "bgp-peer-address = 192.0.2.251\n" + hops)
    assert f"bgp-nexthop-ipv{family(hop)}: found '{hop}'; expected an IPv{family(hop)} address" in problem


@pytest.mark.parametrize(("peer", "why"), UNREACHABLE.items())
@pytest.mark.parametrize("section", ["", "[bgp a]\n"])
def test_unreachable_peer_is_refused(peer: str, why: str, section: str) -> None:
    (problem, *_) = problems(f"{BGP}{HOPS}{section}bgp-peer-address = {peer}\n")
    place = "[bgp a]" if section else "[global]"
    assert problem.startswith(f"f:{8 if section else 7}: {place} bgp-peer-address: found ")
    assert why in problem


@pytest.mark.parametrize("peer", ["fe80::1", "fe80::1%eth0"])
def test_link_local_peer_is_refused_with_the_reason(peer: str) -> None:
    (problem,) = problems(f"{BGP}{HOPS}bgp-peer-address = {peer.replace('%', '%%')}\n")
    assert problem == (
        f"f:7: [global] bgp-peer-address: found '{peer}', a link-local address; expected a global or unique local address of the "
        "router: ExaBGP before 5.0 cannot connect to link-local addresses, with or without a zone"
    )


def test_loopback_peer_needs_an_explicit_local_address() -> None:
    peer = f"{BGP}{HOPS}bgp-peer-address = 127.0.0.2\n"
    wanted = "the address of a router; for one on this host set bgp-local-address to another loopback address"
    assert problems(peer) == [f"f:7: [global] bgp-peer-address: found 127.0.0.2, a loopback address; expected {wanted}"]
    assert accepted(peer + "bgp-local-address = 127.0.0.1\n") == []
    assert len(problems(peer + "bgp-local-address = 127.0.0.2\n")) == 1


def test_unreachable_local_address_is_refused() -> None:
    (problem,) = problems(f"{BGP}{HOPS}bgp-peer-address = 2001:db8::251\nbgp-local-address = fe80::9\n")
    assert problem.startswith("f:8: [global] bgp-local-address: found fe80::9, a link-local address; expected")


def test_addresses_in_use_between_routers_are_accepted() -> None:
    hops = "bgp-nexthop-ipv4 = 169.254.0.1\nbgp-nexthop-ipv6 = fd00::1\n"
    assert accepted(BGP + hops + "bgp-peer-address = [ '169.254.0.2', 'fd00::2' ]\n") == []


VIPS = {vip: why for vip, why in UNREACHABLE.items() if not why.startswith("a multicast")}


@pytest.mark.parametrize(("vip", "why"), VIPS.items())
def test_unreachable_vip_is_refused_where_it_is_written(vip: str, why: str) -> None:
    wanted = [f"f:7: [web] ip: found {ip_address(vip)}, {why}; expected an address that clients can reach"]
    assert problems("[global]\n", vip) == wanted
    assert problems("[global]\nipvs-backend = ipvsadm\n", vip) == [wanted[0].replace("f:7", "f:8")]
    memory = "[global]\nipvs-backend = memory\n"
    assert accepted(memory, vip) == [wanted[0].replace("f:7", "f:8")]
    announced = BGP + HOPS + "bgp-peer-address = 192.0.2.251\nipvs-backend = memory\n"
    assert problems(announced, vip) == [wanted[0].replace("f:7", "f:14")]


def test_unreachable_advertised_address_is_refused() -> None:
    text = BGP + HOPS + "bgp-peer-address = 192.0.2.251\ninstrumentation = yes\n"
    text += "advertised_instrumentation_ips = [ '192.0.2.7', '127.0.0.1' ]\n"
    wanted = "addresses that other hosts can reach: they are announced"
    assert problems(text) == [
        f"f:9: [global] advertised_instrumentation_ips: found 127.0.0.1, a loopback address; expected {wanted}"
    ]
