"""Addresses that lead to no other host."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pybal.core.unreachable import why_unreachable


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
        "::ffff:192.0.2.1",
    ],
)
def test_address_that_leads_to_no_host_is_unreachable(text: str) -> None:
    assert why_unreachable(ip_address(text))
    assert why_unreachable(ip_address(text), reserved=True)


@pytest.mark.parametrize("text", ["192.0.2.1", "10.0.0.255", "169.254.1.1", "100.64.0.1", "2001:db8::1", "fd00::1"])
def test_address_of_a_host_is_reachable(text: str) -> None:
    assert why_unreachable(ip_address(text)) == ""


@pytest.mark.parametrize("text", ["127.0.1.1", "::1"])
def test_loopback_address_is_reachable_if_accepted(text: str) -> None:
    assert why_unreachable(ip_address(text), loopback=True) == ""


def test_reserved_address_is_reachable_if_accepted() -> None:
    assert why_unreachable(ip_address("240.0.0.1")) == "a reserved address"
    assert why_unreachable(ip_address("240.0.0.1"), reserved=True) == ""
