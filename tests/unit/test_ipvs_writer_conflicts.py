"""What tells of another writer: three repairs of one thing within five minutes, whenever these are looked at."""

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


def test_three_repairs_within_five_minutes_tell_of_another_writer() -> None:
    text = "10.0.0.11 repaired 3 times within 5 min: another writer changes IPVS"
    assert repaired_at(0, 200, 300).text(WEB.key, 300) == text


def test_three_repairs_that_took_longer_do_not() -> None:
    assert repaired_at(0, 200, 301).text(WEB.key, 301) == ""


def test_what_is_too_old_to_count_takes_nothing_newer_with_it() -> None:
    assert repaired_at(0, 200, 310, 350).text(WEB.key, 350)


def test_what_is_too_old_is_not_told_of_though_nobody_has_forgotten_it_yet() -> None:
    assert repaired_at(0, 1, 2).text(WEB.key, 301) == ""
