"""The output of ``pybal diff``."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from pybal.control.diff import ServiceDiff, TableDiff
from pybal.core.model import IPProtocol, Service
from pybal.ipvs.goal import Retired
from pybal.ipvs.model import entry, key_of
from tests.harness.snapshots import document

WEB = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr")
OTHER = replace(WEB, name="", vip=IPv4Address("10.9.9.9"))
GOING = replace(WEB, name="going", vip=IPv4Address("10.2.1.3"))
A, B, C = (IPv4Address(f"10.0.0.{n}") for n in (11, 12, 13))


def test_text_has_the_repairing_command_current_entry_and_reason() -> None:
    wanted, held = entry(WEB, {A: 10, B: 10}), entry(replace(WEB, scheduler="rr"), {A: 0, C: 10})
    difference = TableDiff([ServiceDiff("web", wanted, held, "frozen")])
    assert difference
    assert "".join(difference.text()) == (
        "~ service web: frozen\n"
        "    ipvsadm -E -t 10.2.1.1:80 -s wrr  # now -A -t 10.2.1.1:80 -s rr\n"
        "    ipvsadm -a -t 10.2.1.1:80 -r 10.0.0.12:80 -g -w 10\n"
        "    ipvsadm -e -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10  # now -a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 0\n"
        "    ipvsadm -d -t 10.2.1.1:80 -r 10.0.0.13:80\n"
        "0 of 1 services in sync\n"
    )


def test_document_creates_an_absent_service() -> None:
    difference = TableDiff([ServiceDiff("web", entry(WEB, {A: 10}), None)])
    assert document(difference.document()) == {
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


def test_text_lists_waiting_retired_and_foreign_services_without_diff() -> None:
    same = ServiceDiff("web", entry(WEB, {A: 10}), entry(WEB, {A: 10}), "ignored if nothing differs")
    difference = TableDiff([same], ["text"], {key_of(GOING): Retired("going", 41.6)}, [key_of(OTHER)])
    assert not difference
    assert "".join(difference.text()) == (
        "? service text: waiting for its first server list\n"
        "- service going (tcp 10.2.1.3:80): removed from the configuration, deleted in 42 s\n"
        "not managed by PyBal: tcp 10.9.9.9:80\n"
        "1 of 1 services in sync\n"
    )
