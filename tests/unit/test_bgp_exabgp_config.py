"""ExaBGP's configuration, environment and commands."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.bgp.exabgp import config
from pybal.bgp.model import Announcement
from pybal.config.settings import BGPSettings, PeerSettings

PEER = PeerSettings(IPv4Address("192.0.2.1"), 64600, 64601, nexthop_ipv4=IPv4Address("192.0.2.2"))
RUN = ("/usr/bin/python3", "-I", "-S", "/usr/lib/relay.py", "/run/pybal/exabgp.sock", "2.5")
VIP = Announcement(IPv4Address("198.51.100.1"), 10)
VIP6 = Announcement(IPv6Address("2001:db8::1"))


def text(peer: PeerSettings, password: str = "", **settings: object) -> str:
    passwords = {peer.address: password} if password else {}
    return config.configuration(BGPSettings((peer,), **settings), RUN, passwords, {})  # type: ignore[arg-type]  # as given


def test_the_file_in_full() -> None:
    assert text(PEER, "sesame") == (
        "process pybal {\n"
        "    run /usr/bin/python3 -I -S /usr/lib/relay.py /run/pybal/exabgp.sock 2.5;\n"
        "    encoder json;\n"
        "}\n"
        "\n"
        "neighbor 192.0.2.1 {\n"
        "    router-id 192.0.2.2;\n"
        "    local-address 0.0.0.0;\n"
        "    local-as 64600;\n"
        "    peer-as 64601;\n"
        "    hold-time 9;\n"
        "    adj-rib-in false;\n"
        "    group-updates true;\n"
        '    md5-password "sesame";\n'
        "    capability { asn4 enable; route-refresh enable; graceful-restart disable; }\n"
        "    family { ipv4 unicast; ipv6 unicast; }\n"
        "    api { processes [ pybal ]; neighbor-changes; fsm; "
        "send { parsed; update; notification; } receive { parsed; notification; open; } }\n"
        "}\n"
    )


def test_a_peer_that_names_no_number_is_asked_for_it() -> None:
    assert "peer-as auto;" in text(replace(PEER, peer_asn=None))


def test_a_number_that_was_learned_is_used_where_the_settings_name_none() -> None:
    learned = {PEER.address: 4200000001}
    unnamed = config.configuration(BGPSettings((replace(PEER, peer_asn=None),)), RUN, {}, learned)
    assert "peer-as 4200000001;" in unnamed
    assert "peer-as 64601;" in config.configuration(BGPSettings((PEER,)), RUN, {}, learned)


def test_ttl_security_sends_and_demands_255() -> None:
    secured = text(replace(PEER, ttl_security=True, multihop=4))
    assert "outgoing-ttl 255;\n    incoming-ttl 255;" in secured


@pytest.mark.parametrize(
    ("version", "heeded"),
    [("4.2.21", False), ("5.0.13", False), ("5.0.14", True), ("5.0.15-dirty", True), ("5.1.0", True), ("main", True)],
)
def test_old_versions_do_not_look_at_the_ttl(version: str, *, heeded: bool) -> None:
    secured = BGPSettings((replace(PEER, ttl_security=True),))
    assert bool(config.unheeded(secured, version)) is not heeded
    assert not config.unheeded(BGPSettings((PEER,)), version)


def test_multihop_is_a_ttl_of_what_is_sent() -> None:
    assert "outgoing-ttl 4;" in text(replace(PEER, multihop=4))
    assert "incoming-ttl" not in text(replace(PEER, multihop=4))


def test_who_listens_on_one_address_connects_from_it_and_has_the_key_there() -> None:
    listening = text(PEER, local_ips=(IPv4Address("192.0.2.9"), IPv6Address("2001:db8::9")), local_port=1179)
    assert "local-address 192.0.2.9;" in listening
    assert "listen 1179;" in listening
    assert "router-id 192.0.2.9;" in listening


def test_who_listens_on_none_of_the_family_leaves_the_address_to_the_kernel() -> None:
    listening = text(PEER, local_ips=(IPv6Address("2001:db8::9"),))
    assert "local-address 0.0.0.0;" in listening
    assert "listen " not in listening


def test_without_any_ipv4_address_there_is_no_router_id() -> None:
    lonely = PeerSettings(IPv6Address("2001:db8::2"), 64600, nexthop_ipv6=IPv6Address("2001:db8::3"))
    with pytest.raises(config.UnfitError, match="no router ID for peer 2001:db8::2: wanted bgp-router-id"):
        text(lonely)


@pytest.mark.parametrize("password", ['a"b', "a b", "a;b", "a{b", "a}b", "a\\b", "\u00e9", "x" * 81, "a\nb"])
def test_a_password_that_the_file_cannot_carry_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(config.UnfitError) as refused:
        text(PEER, password)
    assert password not in str(refused.value)


@given(st.text(min_size=1))
def test_whatever_the_password_it_is_one_word_of_the_file_or_refused(password: str) -> None:
    try:
        lines = text(PEER, password).splitlines()
    except config.UnfitError:
        return
    assert f'    md5-password "{password}";' in lines
    assert lines.count("}") == 2


@pytest.mark.parametrize("path", ["/with blank", "/with;semicolon", "/with{", "/with#", "/with'", ""])
def test_a_path_that_exabgp_would_cut_is_refused(path: str) -> None:
    with pytest.raises(config.UnfitError, match="a path that exabgp cannot run"):
        config.configuration(BGPSettings((PEER,)), (path,), {}, {})


def test_a_community_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(config.UnfitError, match="community '1:2 ]; shutdown' of peer"):
        text(replace(PEER, communities=("1:2 ]; shutdown",)))


def test_an_announcement_in_full() -> None:
    peer = replace(PEER, as_path=(64600, 64600), communities=("64600:1",), large_communities=("64600:1:2",))
    assert config.announce(peer, replace(VIP, graceful_shutdown=True)) == (
        b"neighbor 192.0.2.1 announce route 198.51.100.1/32 next-hop 192.0.2.2 med 10 as-path [ 64600 64600 ] "
        b"community [ 64600:1 65535:0 ] large-community [ 64600:1:2 ]"
    )


def test_our_own_number_alone_is_no_path_for_a_peer_within_our_system_would_take_it_for_a_loop() -> None:
    assert b"as-path" not in config.announce(replace(PEER, as_path=(64600,)), VIP)


def test_a_community_given_twice_is_sent_once() -> None:
    peer = replace(PEER, communities=(config.GRACEFUL_SHUTDOWN,))
    command = config.announce(peer, replace(VIP, graceful_shutdown=True))
    assert command.endswith(b"med 10 community [ 65535:0 ]")


def test_a_withdrawal_names_the_route() -> None:
    assert config.withdraw(PEER, VIP) == (
        b"neighbor 192.0.2.1 withdraw route 198.51.100.1/32 next-hop 192.0.2.2 med 10"
    )


def test_a_vip_goes_only_to_peers_with_a_next_hop_of_its_family() -> None:
    assert config.next_hop(PEER, VIP) == PEER.nexthop_ipv4
    assert config.next_hop(PEER, VIP6) is None


def test_exabgp_keeps_its_user_reads_no_file_and_hears_nothing_of_our_environment() -> None:
    environ = config.environment(BGPSettings((PEER,), local_ips=(IPv4Address("192.0.2.9"), IPv6Address("::1"))), "joe")
    assert environ["exabgp.daemon.user"] == "joe"
    assert environ["exabgp.daemon.drop"] == "false"
    assert environ["exabgp.tcp.bind"] == "192.0.2.9 ::1"
    assert environ["EXABGP_ENVFILE"] == "/nonexistent"
    assert {name for name in environ if not name.startswith("exabgp.")} == {"PATH", "LC_ALL", "EXABGP_ENVFILE"}
