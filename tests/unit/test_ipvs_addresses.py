"""Addresses that no destination of IPVS can have."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pybal.ipvs.addresses import unusable


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
def test_address_that_reaches_no_server_is_unusable(text: str) -> None:
    assert unusable(ip_address(text))


@pytest.mark.parametrize("text", ["192.0.2.1", "10.0.0.255", "169.254.1.1", "100.64.0.1", "2001:db8::1", "fd00::1"])
def test_address_of_a_server_is_usable(text: str) -> None:
    assert unusable(ip_address(text)) == ""


@pytest.mark.parametrize("text", ["127.0.1.1", "::1"])
def test_loopback_address_is_usable_if_accepted(text: str) -> None:
    assert unusable(ip_address(text), loopback=True) == ""
