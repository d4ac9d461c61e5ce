"""BGP peers: options of [global], sections [bgp NAME], and contradictions between them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from pybal.config.errors import ConfigError
from pybal.config.limit import Limit
from pybal.config.parse import parse
from pybal.config.settings import BGPSettings, DrainSettings, PeerSettings, Settings, VIPPolicy
from pybal.monitors.kinds import KINDS

WEB = "[web]\nprotocol = tcp\nip = 192.0.2.1\nport = 80\nscheduler = wrr\nconfig = file:///pools/web\n"
BGP = """\
[global]
bgp = yes
bgp-local-asn = 64600
bgp-peer-address = 192.0.2.251
bgp-nexthop-ipv4 = 192.0.2.10
"""
OWN = IPv4Address("192.0.2.10")
ROUTER = IPv4Address("192.0.2.251")
DEFAULT = PeerSettings(ROUTER, 64600, None, (64600,), OWN, router_id=OWN)


def settings(text: str) -> Settings:
    parsed = parse(text + WEB, "f", KINDS)
    assert parsed.warnings == ()
    return parsed.settings


def bgp(text: str) -> BGPSettings:
    found = settings(text).bgp
    assert found
    return found


def peers(text: str) -> tuple[PeerSettings, ...]:
    return bgp(text).peers


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text + WEB, "f", KINDS)
    return [str(problem) for problem in caught.value.problems]


def test_peer_reads_every_option_from_global() -> None:
    text = (
        BGP
        + """\
bgp-peer-asn = 64601
bgp-as-path = 64600 64600
bgp-nexthop-ipv6 = 2001:db8::10
bgp-communities = 64600:1, no-export
bgp-large-communities = [ '64600:1:4294967295' ]
bgp-local-address = 192.0.2.9
bgp-router-id = 192.0.2.8
bgp-hold-time = 3
bgp-md5-password-file = "/etc/pybal/bgp-password"
bgp-ttl-security = yes
bgp-families = ipv4
"""
    )
    assert peers(text) == (
        PeerSettings(
            ROUTER,
            64600,
            64601,
            (64600, 64600),
            OWN,
            IPv6Address("2001:db8::10"),
            ("64600:1", "65535:65281"),
            ("64600:1:4294967295",),
            IPv4Address("192.0.2.9"),
            IPv4Address("192.0.2.8"),
            3,
            "/etc/pybal/bgp-password",
            True,
            0,
            (4,),
        ),
    )
    assert peers(BGP + "bgp-multihop = 5\n")[0].multihop == 5


@pytest.mark.parametrize("text", ["ipv6, ipv4", "['ipv4', 'ipv6']", "IPv4 ipv6 ipv4", "ipv6 ipv4"])
def test_families_are_read_in_any_order(text: str) -> None:
    assert peers(BGP + f"bgp-families = {text}\n")[0].families == (4, 6)


@pytest.mark.parametrize("text", ["ipv5", "4", "ipv4 evpn", "[]"])
def test_unknown_family_is_refused(text: str) -> None:
    assert problems(BGP + f"bgp-families = {text}\n") == [
        f"f:6: [global] bgp-families: found {text!r}; expected ipv4, ipv6 or both"
    ]


def test_peer_needs_next_hops_of_its_families_only() -> None:
    text = BGP + "bgp-nexthop-ipv4 =\nbgp-router-id = 192.0.2.8\nbgp-nexthop-ipv6 = 2001:db8::2\nbgp-families = ipv6\n"
    text = text.replace("bgp-nexthop-ipv4 = 192.0.2.10\n", "")
    one = "[bgp one]\nbgp-peer-address = 192.0.2.252\nbgp-nexthop-ipv4 = 192.0.2.10\nbgp-families = ipv4\n"
    assert [peer.families for peer in peers(text + one)] == [(6,), (4,)]
    wanted = "ipv4 for at least one peer, because 192.0.2.1 of [web] (line 11) is announced"
    assert problems(text) == [f"f:8: [global] bgp-families: found ipv6; expected {wanted}"]


def test_announcement_options_are_read() -> None:
    assert bgp(BGP) == BGPSettings((DEFAULT,))
    text = """\
bgp-announce-gate = off
bgp-announce-wait = 0
bgp-vip-policy = all
bgp-drain-med = 500
bgp-drain-community = yes
bgp-drain-wait = 5.5
"""
    assert bgp(BGP + text) == BGPSettings(
        (DEFAULT,), gate=False, wait=0.0, vip_policy=VIPPolicy.ALL, drain=DrainSettings(500, True, 5.5)
    )


def test_peer_section_overrides_global_or_adds_a_peer() -> None:
    listed = BGP.replace("192.0.2.251", "[ '192.0.2.251', '192.0.2.252' ]") + "bgp-communities = 64600:1\n"
    found = peers(
        listed
        + "[bgp two]\nbgp-peer-address = 192.0.2.252\nbgp-peer-asn = 64700\nbgp-communities =\n"
        + "[bgp three]\nbgp-peer-address = 2001:db8::3\nbgp-local-asn = 64777\n"
    )
    assert [str(peer.address) for peer in found] == ["192.0.2.251", "192.0.2.252", "2001:db8::3"]
    assert [peer.peer_asn for peer in found] == [None, 64700, None]
    assert [peer.communities for peer in found] == [("64600:1",), (), ("64600:1",)]
    assert [(peer.local_asn, peer.as_path) for peer in found] == [(64600, (64600,))] * 2 + [(64777, (64777,))]
    assert all(peer.nexthop_ipv4 == OWN for peer in found)


def test_peer_address_of_global_is_optional_with_peer_sections() -> None:
    text = BGP.replace("bgp-peer-address = 192.0.2.251\n", "") + "[bgp one]\nbgp-peer-address = 192.0.2.251\n"
    assert peers(text) == (DEFAULT,)


def test_peer_section_requires_one_peer_address() -> None:
    assert problems(BGP + "[bgp one]\nbgp-hold-time = 30\n") == [
        "f:6: [bgp one] bgp-peer-address: found nothing; expected the IPv4 or IPv6 address of a BGP peer"
    ]
    assert problems(BGP + "[bgp one]\nbgp-peer-address = [ '192.0.2.1', '192.0.2.2' ]\n")[0].startswith(
        "f:7: [bgp one] bgp-peer-address: found "
    )


def test_second_section_of_a_peer_is_refused() -> None:
    section = "[bgp one]\nbgp-peer-address = 192.0.2.252\n"
    assert problems(BGP + section + section.replace("one", "two")) == [
        ("f:9: [bgp two] bgp-peer-address: found 192.0.2.252, as in [bgp one] (line 6); expected one section per peer")
    ]


def test_peer_section_in_capitals_is_refused() -> None:
    assert problems(BGP + "[BGP one]\nbgp-peer-address = 192.0.2.251\n") == [
        "f:6: [BGP one] found a section of this name; expected [bgp NAME], in lower case and with a blank. Did you mean: [bgp one]"
    ]


def test_unknown_option_of_a_peer_section_causes_a_warning() -> None:
    parsed = parse(BGP + "[bgp one]\nbgp-peer-address = 192.0.2.251\nbgp-hold-tiem = 5\n" + WEB, "f", KINDS)
    assert [str(warning) for warning in parsed.warnings] == [
        "f:8: [bgp one] bgp-hold-tiem: unknown option (did you mean bgp-hold-time?)"
    ]


def test_inherited_problem_of_global_is_reported_once() -> None:
    sections = "[bgp one]\nbgp-peer-address = 192.0.2.251\n[bgp two]\nbgp-peer-address = 192.0.2.252\n"
    assert problems(BGP + "bgp-hold-time = 0\n" + sections) == [
        "f:6: [global] bgp-hold-time: found '0'; expected whole seconds from 3 to 65535"
    ]


def test_peer_section_is_ignored_when_bgp_is_off() -> None:
    assert settings("[global]\nbgp = no\n[bgp one]\nbgp-peer-address = (unspecified)\n").bgp is None


@pytest.mark.parametrize(
    ("option", "bad", "wanted"),
    [
        ("bgp-hold-time", "2", "whole seconds from 3 to 65535"),
        ("bgp-multihop", "256", "a TTL from 0 to 255"),
        ("bgp-peer-asn", "0", "an AS number from 1 to 4294967295"),
        ("bgp-md5-password-file", "bgp-password", "a path that begins with /"),
        ("bgp-router-id", "2001:db8::1", "an IPv4 address"),
        ("bgp-large-communities", "64600:1", "3 numbers from 0 to 4294967295, such as 64600:1:1"),
        ("bgp-large-communities", "1:2:4294967296", "3 numbers from 0 to 4294967295, such as 64600:1:1"),
        ("bgp-announce-wait", "-1", "seconds, at most 86400"),
        ("bgp-vip-policy", "most", "one of any, all"),
    ],
)
def test_peer_options_refuse_values_out_of_range(option: str, bad: str, wanted: str) -> None:
    assert problems(BGP + f"{option} = {bad}\n") == [f"f:6: [global] {option}: found '{bad}'; expected {wanted}"]


@pytest.mark.parametrize("bad", ["64600", "65536:1", "64600:1:1", "64600:", "no-exports", "64600:1;"])
def test_communities_refuse_other_texts(bad: str) -> None:
    names = "graceful-shutdown, no-export, no-advertise, no-export-subconfed, no-peer"
    (problem,) = problems(BGP + f"bgp-communities = {bad}\n")
    assert problem.split(". Did you mean")[0] == (
        f"f:6: [global] bgp-communities: found '{bad}'; expected 2 numbers from 0 to 65535, such as 64600:1, "
        f"or one of {names}"
    )


def test_communities_are_normalised_and_limited() -> None:
    assert peers(BGP + "bgp-communities = 00064600:0001 64600:1\n")[0].communities == ("64600:1",)
    many = " ".join(f"64600:{number}" for number in range(65))
    assert problems(BGP + f"bgp-communities = {many}\n") == [
        "f:6: [global] bgp-communities: found 65 communities; expected at most 64"
    ]


def test_ibgp_peer_has_no_local_as_in_its_path() -> None:
    assert peers(BGP + "bgp-peer-asn = 64600\n")[0].as_path == ()
    assert peers(BGP + "bgp-peer-asn = 64600\nbgp-as-path = 65000\n")[0].as_path == (65000,)
    assert problems(BGP + "bgp-peer-asn = 64600\nbgp-as-path = 64601 64600\n") == [
        (
            "f:7: [global] bgp-as-path: found '64601 64600'; expected a path without 64600, "
            "or an empty one: the peer 192.0.2.251 of the same AS rejects it as a loop"
        )
    ]


def test_ebgp_path_must_begin_with_the_local_as() -> None:
    wanted = "a path that begins with the local AS 64600: routers reject others"
    path = "bgp-as-path = 64601 64600\n"
    assert problems(BGP + "bgp-peer-asn = 64700\n" + path) == [
        f"f:7: [global] bgp-as-path: found '64601 64600'; expected {wanted}"
    ]
    parsed = parse(BGP + path + WEB, "f", KINDS)
    assert [str(warning) for warning in parsed.warnings] == [
        f"f:6: [global] bgp-as-path: found '64601 64600'; expected {wanted}"
    ]


def test_local_address_must_fit_the_peer() -> None:
    assert problems(BGP + "bgp-local-address = 2001:db8::10\n") == [
        (
            "f:6: [global] bgp-local-address: found '2001:db8::10'; expected an IPv4 address, "
            "like that of the peer 192.0.2.251"
        )
    ]
    assert problems(BGP + "bgp-local-address = 192.0.2.251\n") == [
        "f:6: [global] bgp-local-address: found '192.0.2.251'; expected an address of this balancer; this is the peer's"
    ]


def test_ttl_security_excludes_multihop() -> None:
    assert problems(BGP + "bgp-multihop = 2\n[bgp r]\nbgp-peer-address = 192.0.2.251\nbgp-ttl-security = on\n") == [
        (
            "f:9: [bgp r] bgp-ttl-security: found yes with bgp-multihop = 2; "
            "expected no, or bgp-multihop = 0: ttl-security is for peers on the same link"
        )
    ]


def test_router_id_defaults_to_an_ipv4_address_or_is_required() -> None:
    v6 = BGP.replace("bgp-nexthop-ipv4 = 192.0.2.10", "bgp-nexthop-ipv6 = 2001:db8::10")
    only_v6 = WEB.replace("192.0.2.1", "2001:db8::1")
    local = parse(v6 + "bgp-local-address = 192.0.2.9\n" + only_v6, "f", KINDS).settings.bgp
    assert local
    assert local.peers[0].router_id == IPv4Address("192.0.2.9")
    with pytest.raises(ConfigError) as caught:
        parse(v6 + only_v6, "f", KINDS)
    assert str(caught.value) == (
        "f:1: [global] bgp-router-id: found nothing; expected an IPv4 address, because "
        "neither bgp-nexthop-ipv4 nor bgp-local-address is one"
    )


def test_next_hop_is_required_for_each_peer() -> None:
    text = BGP + "[bgp r]\nbgp-peer-address = 192.0.2.252\nbgp-nexthop-ipv4 =\nbgp-router-id = 192.0.2.9\n"
    assert problems(text) == [
        (
            "f:8: [bgp r] bgp-nexthop-ipv4: found nothing; expected an IPv4 address, "
            "because 192.0.2.1 of [web] (line 12) is announced"
        )
    ]


@pytest.mark.parametrize(
    ("given", "option", "found"),
    [
        (
            "bgp-nexthop-ipv4 = 192.0.2.1",
            "bgp-nexthop-ipv4",
            "192.0.2.1 of [web] (line 12); expected an address of this",
        ),
        ("bgp-nexthop-ipv4 = 192.0.2.252", "bgp-nexthop-ipv4", "192.0.2.252; expected an address of this balancer"),
        ("bgp-nexthop-ipv6 = 2001:db8::7", "bgp-nexthop-ipv6", "2001:db8::7; expected an address of this balancer"),
        (
            "bgp-peer-address = 192.0.2.1",
            "bgp-peer-address",
            "192.0.2.1 of [web] (line 12); expected the address of a router",
        ),
        (
            "bgp-peer-address = 192.0.2.9",
            "bgp-peer-address",
            "192.0.2.9, one of bgp-local-ips; expected the address of a",
        ),
    ],
)
def test_peer_that_cannot_work_is_refused(given: str, option: str, found: str) -> None:
    peer = "2001:db8::7" if "ipv6" in option else "192.0.2.252"
    address = "" if option == "bgp-peer-address" else f"bgp-peer-address = {peer}\n"
    text = BGP + "bgp-local-ips = 192.0.2.9\n[bgp r]\n" + address + given + "\n"
    text += "" if address else "bgp-peer-asn = 64601\n"
    (problem,) = problems(text)
    assert f"[bgp r] {option}: found {found}" in problem


@pytest.mark.parametrize(
    ("text", "found"),
    [("off", None), ("3", Limit(3)), ("25%", Limit(percent=25)), ("12.5 %", Limit(percent=12.5))],
)
def test_withdraw_below_accepts_numbers_and_shares(text: str, found: Limit | None) -> None:
    read = parse(BGP + WEB + f"bgp-withdraw-below = {text.replace('%', '%%')}\n", "f", KINDS).settings.services[0]
    assert read.bgp_withdraw_below == found


@pytest.mark.parametrize("bad", ["0", "0%", "101%", "-1", "half", "%", "1e3"])
def test_withdraw_below_refuses_other_values(bad: str) -> None:
    with pytest.raises(
        ConfigError, match="expected a number of servers of at least 1, a share of at most 100%, or off"
    ):
        parse(BGP + WEB + f"bgp-withdraw-below = {bad.replace('%', '%%')}\n", "f", KINDS)


def test_limit_rounds_a_share_up_exactly() -> None:
    assert [Limit(percent=7).of(total) for total in (0, 1, 14, 100, 101)] == [0, 1, 1, 7, 8]
    assert Limit(3).of(1) == 3


def test_services_of_one_vip_must_have_one_policy() -> None:
    other = WEB.replace("[web]", "[other]").replace("port = 80", "port = 443")
    assert problems(BGP + other + "bgp-vip-policy = all\n") == [
        "f:13: [web] bgp-vip-policy: found any; expected all, as in [other] (line 12) with the same ip"
    ]


def test_withdraw_below_without_gate_causes_a_warning() -> None:
    parsed = parse(BGP + "bgp-announce-gate = off\n" + WEB + "bgp-withdraw-below = 2\n", "f", KINDS)
    assert [str(warning) for warning in parsed.warnings] == [
        (
            "f:13: [web] bgp-withdraw-below: found 2; "
            "expected off or bgp-announce-gate = yes; without the gate VIPs stay announced"
        )
    ]
