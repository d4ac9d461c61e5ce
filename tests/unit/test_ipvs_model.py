"""Configured services as entries of the table."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from pybal.core.model import IPProtocol, Service
from pybal.ipvs import model
from pybal.ipvs.model import TCP, UDP, Command, Destination, Flags, Forward, Key, Op, entry, refusal

WEB = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr")
SERVER = IPv4Address("10.0.0.11")


def test_entry_has_the_port_of_the_service_and_routes_directly() -> None:
    destination = Destination(SERVER, 80, 10, Forward.ROUTE)
    made = entry(WEB, {SERVER: 10})
    assert made.service == model.VirtualService(Key(TCP, IPv4Address("10.2.1.1"), 80), "wrr")
    assert made.destinations == {(SERVER, 80): destination}


def test_tunneling_makes_tunnels_also_to_the_other_family() -> None:
    made = entry(replace(WEB, tunneling=True), {SERVER: 1, IPv6Address("fd00::11"): 1})
    assert {destination.forward for destination in made.destinations.values()} == {Forward.TUNNEL}


def test_udp_ipv6_and_one_packet_scheduling() -> None:
    service = replace(WEB, protocol=IPProtocol.UDP, vip=IPv6Address("fd00:2::1"), one_packet=True)
    made = entry(service, {})
    assert made.service == model.VirtualService(Key(UDP, IPv6Address("fd00:2::1"), 80), "wrr", Flags.ONE_PACKET)


@pytest.mark.parametrize(
    ("names", "flags"),
    [
        ((), Flags(0)),
        (("mh-port",), Flags.SCHED2),
        (("mh-fallback", "mh-port"), Flags.SCHED1 | Flags.SCHED2),
        (("sh-port", "sh-fallback"), Flags.SCHED1 | Flags.SCHED2),
        (("flag-3",), Flags.SCHED3),
    ],
)
def test_scheduler_flags_are_the_bits_of_the_kernel(names: tuple[str, ...], flags: Flags) -> None:
    assert entry(replace(WEB, scheduler_flags=names), {}).service.flags == flags


def test_unknown_flag_raises_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown scheduler flag mh-prot \(known: sh-fallback, sh-port, mh-fallback"):
        entry(replace(WEB, scheduler_flags=("mh-prot",)), {})


def test_entry_serves_if_a_destination_takes_new_connections() -> None:
    assert entry(WEB, {SERVER: 1, SERVER + 1: 0}).serves
    assert not entry(WEB, {SERVER: 0}).serves
    assert not entry(WEB, {}).serves


def test_invalid_entries_can_be_removed_but_not_added() -> None:
    nonsense = Destination(IPv4Address("127.0.0.1"), 81)
    service = entry(WEB, {}).service
    assert refusal(Op(Command.ADD, service, nonsense))
    assert refusal(Op(Command.EDIT, service, nonsense))
    assert refusal(Op(Command.DELETE, service, nonsense)) is None


def test_loopback_servers_are_for_demonstrations_only() -> None:
    op = Op(Command.ADD, entry(WEB, {}).service, Destination(IPv4Address("127.0.0.2"), 80))
    assert refusal(op) == "127.0.0.2 is a loopback address"
    assert refusal(op, loopback=True) is None


def test_masqueraded_destination_may_have_another_port() -> None:
    op = Op(Command.ADD, entry(WEB, {}).service, Destination(SERVER, 8080, forward=Forward.MASQUERADE))
    assert refusal(op) is None
