"""What ``pybal diff`` says of the table and of what is wanted of it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from pybal.control.diff import Compared, Difference
from pybal.core.model import IPProtocol, Service
from pybal.ipvs.goal import Retired
from pybal.ipvs.model import entry, key_of

WEB = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr")
OTHER = replace(WEB, name="", vip=IPv4Address("10.9.9.9"))
GOING = replace(WEB, name="going", vip=IPv4Address("10.2.1.3"))
A, B, C = (IPv4Address(f"10.0.0.{n}") for n in (11, 12, 13))


def test_each_difference_is_the_command_that_would_undo_it_with_what_is_there_and_why() -> None:
    wanted, held = entry(WEB, {A: 10, B: 10}), entry(replace(WEB, scheduler="rr"), {A: 0, C: 10})
    difference = Difference([Compared("web", wanted, held, "frozen")])
    assert difference
    assert difference.text() == (
        "~ service web: frozen\n"
        "    ipvsadm -E -t 10.2.1.1:80 -s wrr  # is -A -t 10.2.1.1:80 -s rr\n"
        "    ipvsadm -a -t 10.2.1.1:80 -r 10.0.0.12:80 -g -w 10\n"
        "    ipvsadm -e -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10  # is -a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 0\n"
        "    ipvsadm -d -t 10.2.1.1:80 -r 10.0.0.13:80\n"
        "0 of 1 services as wanted\n"
    )


def test_a_service_that_is_not_there_is_to_be_made() -> None:
    difference = Difference([Compared("web", entry(WEB, {A: 10}), None)])
    assert difference.document() == {
        "services": [
            {
                "service": "web",
                "key": "tcp 10.2.1.1:80",
                "intent": "1bf7965c6cc9",
                "kernel": "",
                "ipvsadm": ["-A -t 10.2.1.1:80 -s wrr", "-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10"],
                "why": None,
            }
        ],
        "waiting": [],
        "retired": [],
        "foreign": [],
    }


def test_what_is_not_ours_what_goes_and_what_nothing_is_wanted_of_yet_is_said_and_is_no_difference() -> None:
    same = Compared("web", entry(WEB, {A: 10}), entry(WEB, {A: 10}), "not said where nothing differs")
    difference = Difference([same], ["text"], {key_of(GOING): Retired("going", 41.6)}, [key_of(OTHER)])
    assert not difference
    assert difference.text() == (
        "? service text: nothing is wanted of it yet, as its list of servers has not come\n"
        "- service going (tcp 10.2.1.3:80): left the configuration, deleted in 42 s\n"
        "not ours, left alone: tcp 10.9.9.9:80\n"
        "1 of 1 services as wanted\n"
    )
