"""Rates of new connections: the difference of two readings of the audit."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from pybal.core.steps import finish
from pybal.ipvs.audit import Reading
from pybal.ipvs.model import Endpoint, Traffic, key_of
from pybal.status.page.traffic import Load, loads
from tests.harness.page_story import facts, plain, service

WEB = service("web", 0)
END: Endpoint = (ip_address("198.51.100.1"), 443)


def load(before: Traffic | None, now: Traffic, at_before: float = 85.0) -> Load:
    earlier = () if before is None else ((END, before),)
    reading = Reading(None, 100.0, (), ((END, now),), earlier, at_before)
    found = replace(facts([plain("web", 0, 1)]).findings, readings={key_of(WEB): reading})
    return finish(loads(found, WEB))[END]


def counted(connections: int) -> Traffic:
    return Traffic(5, 7, connections, 0, 0)


def test_rate_is_the_difference_of_connections_by_the_time_between() -> None:
    assert load(counted(100), counted(130)) == Load(5, 7, 2.0)
    assert load(counted(100), counted(100)) == Load(5, 7, 0.0)


@pytest.mark.parametrize(
    ("before", "at_before"),
    [(None, 0.0), (counted(500), 85.0), (counted(100), 100.0)],
    ids=["first reading", "destination added again", "no time between"],
)
def test_rate_is_unknown_without_an_earlier_reading_to_compare(before: Traffic | None, at_before: float) -> None:
    assert load(before, counted(130), at_before) == Load(5, 7, None)


def test_service_that_was_not_read_has_no_load() -> None:
    assert finish(loads(replace(facts([]).findings, readings={}), WEB)) == {}
