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


def test_configuration_is_rendered_in_full() -> None:
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


def test_peer_without_as_number_gets_auto() -> None:
    assert "peer-as auto;" in text(replace(PEER, peer_asn=None))


def test_learned_as_number_is_used_only_if_the_settings_have_none() -> None:
    learned = {PEER.address: 4200000001}
    unnamed = config.configuration(BGPSettings((replace(PEER, peer_asn=None),)), RUN, {}, learned)
    assert "peer-as 4200000001;" in unnamed
    assert "peer-as 64601;" in config.configuration(BGPSettings((PEER,)), RUN, {}, learned)


def test_ttl_security_sends_and_requires_ttl_255() -> None:
    secured = text(replace(PEER, ttl_security=True, multihop=4))
    assert "outgoing-ttl 255;\n    incoming-ttl 255;" in secured


@pytest.mark.parametrize(
    ("version", "enforced"),
    [("4.2.21", False), ("5.0.13", False), ("5.0.14", True), ("5.0.15-dirty", True), ("5.1.0", True), ("main", True)],
)
def test_ttl_warning_depends_on_the_version(version: str, *, enforced: bool) -> None:
    secured = BGPSettings((replace(PEER, ttl_security=True),))
    assert bool(config.ttl_security_warning(secured, version)) is not enforced
    assert not config.ttl_security_warning(BGPSettings((PEER,)), version)


def test_multihop_sets_the_outgoing_ttl_only() -> None:
    assert "outgoing-ttl 4;" in text(replace(PEER, multihop=4))
    assert "incoming-ttl" not in text(replace(PEER, multihop=4))


def test_single_listening_address_becomes_the_local_address() -> None:
    listening = text(PEER, local_ips=(IPv4Address("192.0.2.9"), IPv6Address("2001:db8::9")), local_port=1179)
    assert "local-address 192.0.2.9;" in listening
    assert "listen 1179;" in listening
    assert "router-id 192.0.2.9;" in listening


def test_kernel_chooses_the_local_address_without_a_listener_of_the_family() -> None:
    listening = text(PEER, local_ips=(IPv6Address("2001:db8::9"),))
    assert "local-address 0.0.0.0;" in listening
    assert "listen " not in listening


def test_router_id_is_required_without_an_ipv4_address() -> None:
    lonely = PeerSettings(IPv6Address("2001:db8::2"), 64600, nexthop_ipv6=IPv6Address("2001:db8::3"))
    with pytest.raises(config.UnsupportedValueError, match=r"peer 2001:db8::2: no router ID \(set bgp-router-id"):
        text(lonely)


@pytest.mark.parametrize("password", ['a"b', "a b", "a;b", "a{b", "a}b", "a\\b", "\u00e9", "x" * 81, "a\nb"])
def test_invalid_password_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(config.UnsupportedValueError) as refused:
        text(PEER, password)
    assert password not in str(refused.value)


@given(st.text(min_size=1))
def test_any_password_is_one_word_of_the_file_or_refused(password: str) -> None:
    try:
        lines = text(PEER, password).splitlines()
    except config.UnsupportedValueError:
        return
    assert f'    md5-password "{password}";' in lines
    assert lines.count("}") == 2


@pytest.mark.parametrize("path", ["/with blank", "/with;semicolon", "/with{", "/with#", "/with'", ""])
def test_unsupported_path_is_refused(path: str) -> None:
    with pytest.raises(config.UnsupportedValueError, match="exabgp cannot run"):
        config.configuration(BGPSettings((PEER,)), (path,), {}, {})


def test_invalid_community_is_refused() -> None:
    with pytest.raises(config.UnsupportedValueError, match=r"peer 192\.0\.2\.1: invalid community '1:2 ]; shutdown'"):
        text(replace(PEER, communities=("1:2 ]; shutdown",)))


def test_announce_command_is_rendered_in_full() -> None:
    peer = replace(PEER, as_path=(64600, 64600), communities=("64600:1",), large_communities=("64600:1:2",))
    assert config.announce(peer, replace(VIP, graceful_shutdown=True)) == (
        b"neighbor 192.0.2.1 announce route 198.51.100.1/32 next-hop 192.0.2.2 med 10 as-path [ 64600 64600 ] "
        b"community [ 64600:1 65535:0 ] large-community [ 64600:1:2 ]"
    )


def test_path_with_only_the_local_as_number_is_left_out() -> None:
    assert b"as-path" not in config.announce(replace(PEER, as_path=(64600,)), VIP)


def test_duplicate_community_is_sent_once() -> None:
    peer = replace(PEER, communities=(config.GRACEFUL_SHUTDOWN,))
    command = config.announce(peer, replace(VIP, graceful_shutdown=True))
    assert command.endswith(b"med 10 community [ 65535:0 ]")


def test_withdraw_command_names_the_route() -> None:
    assert config.withdraw(PEER, VIP) == (
        b"neighbor 192.0.2.1 withdraw route 198.51.100.1/32 next-hop 192.0.2.2 med 10"
    )


def test_vip_without_a_next_hop_of_its_family_is_not_announced() -> None:
    assert config.next_hop(PEER, VIP) == PEER.nexthop_ipv4
    assert config.next_hop(PEER, VIP6) is None


def test_environment_keeps_the_user_and_inherits_no_variable() -> None:
    environ = config.environment(BGPSettings((PEER,), local_ips=(IPv4Address("192.0.2.9"), IPv6Address("::1"))), "joe")
    assert environ["exabgp.daemon.user"] == "joe"
    assert environ["exabgp.daemon.drop"] == "false"
    assert environ["exabgp.tcp.bind"] == "192.0.2.9 ::1"
    assert environ["EXABGP_ENVFILE"] == "/nonexistent"
    assert {name for name in environ if not name.startswith("exabgp.")} == {"PATH", "LANG", "EXABGP_ENVFILE"}
