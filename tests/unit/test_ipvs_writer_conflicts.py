"""Another writer is detected by three repairs of one entry within five minutes."""

from __future__ import annotations

from ipaddress import IPv4Address

from pybal.ipvs.model import TCP, Command, Destination, Key, Op, VirtualService
from pybal.ipvs.writer_conflicts import WriterConflicts

WEB = VirtualService(Key(TCP, IPv4Address("10.2.1.1"), 80), "wrr")
OP = Op(Command.ADD, WEB, Destination(IPv4Address("10.0.0.11"), 80))


def repaired_at(*times: float) -> WriterConflicts:
    disputes = WriterConflicts()
    for time in times:
        disputes.forget(time)
        disputes.repaired([OP], time)
    return disputes


def test_three_repairs_within_five_minutes_report_another_writer() -> None:
    text = "10.0.0.11 repaired 3 times within 5 min (another program writes to IPVS)"
    assert repaired_at(0, 200, 300).text(WEB.key, 300) == text


def test_three_repairs_over_a_longer_time_report_nothing() -> None:
    assert repaired_at(0, 200, 301).text(WEB.key, 301) == ""


def test_forgetting_old_repairs_keeps_newer_ones() -> None:
    assert repaired_at(0, 200, 310, 350).text(WEB.key, 350)


def test_old_repairs_are_ignored_before_they_are_forgotten() -> None:
    assert repaired_at(0, 1, 2).text(WEB.key, 301) == ""
