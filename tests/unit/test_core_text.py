"""Escaping of texts for terminals."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pybal.core.text import end_of, escaped, printable


@pytest.mark.parametrize(
    "bad", ["\x00", "\x07", "\r", "\x1b", "\x7f", "\x9b", "\u061c", "\u200f", "\u202e", "\u2028", "\u2066", "\ufeff"]
)
def test_control_characters_are_escaped(bad: str) -> None:
    for escape in (escaped, printable):
        assert bad not in escape(f"a{bad}b")
        assert escape(f"a{bad}b").startswith("a\\")


def test_lines_stay_lines_and_words_stay_one_line() -> None:
    assert escaped("a\tb\n") == "a\tb\n"
    assert printable("a\n[web] INFO: up") == "a\\n[web] INFO: up"


def test_ipv6_address_before_a_port_has_brackets() -> None:
    assert end_of(ip_address("10.0.0.11"), 80) == "10.0.0.11:80"
    assert end_of(ip_address("fd00::11"), 80) == "[fd00::11]:80"
