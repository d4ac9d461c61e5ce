"""Written values are read back; the syntax equals that of the standard library."""

from __future__ import annotations

import ast
import string
from configparser import BasicInterpolation, ConfigParser, InterpolationError
from ipaddress import IPv4Address, IPv6Address

from hypothesis import assume, example, given
from hypothesis import strategies as st

from pybal.config import bgp_options, command_options, convert, ini, url_options
from pybal.config.errors import InvalidValueError, shown

NAMES = st.text(string.ascii_letters + string.digits + "-_.", min_size=1, max_size=6).filter(
    lambda name: name.lower() != "rem"
)
TEXTS = st.text(string.ascii_letters + string.digits + "'\"[](),%=:/#;- ", max_size=20).filter(
    lambda value: ";" not in value and value.strip() != '""'
)
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF).filter(str.isprintable), max_size=20)


@given(st.integers(1, 65535))
def test_ports_are_read_back(port: int) -> None:
    assert convert.port(str(port)) == port


@given(st.integers())
def test_integer_refuses_numbers_out_of_range(number: int) -> None:
    converter = convert.integer(-5, 1000)
    try:
        assert converter(str(number)) == number
        assert -5 <= number <= 1000
    except InvalidValueError:
        assert not -5 <= number <= 1000


@given(st.decimals(0, 1, places=5))
def test_shares_are_read_back(number: object) -> None:
    assert convert.share(str(f"{number:f}")) == float(str(number))


@given(st.floats(0.001, 86400).map(lambda value: round(value, 3)))
def test_seconds_are_read_back(number: float) -> None:
    assert convert.seconds(f"{number:.3f}") == number


@given(st.ip_addresses())
def test_addresses_are_read_back(ip: IPv4Address | IPv6Address) -> None:
    assume(not ip.is_multicast)
    assert convert.listen_address(str(ip)) == ip
    assert convert.listen_address(ip.exploded) == ip


@given(st.lists(st.integers(1, 2**32 - 1)))
def test_path_of_as_numbers_is_read_back(path: list[int]) -> None:
    assert bgp_options.as_path(" ".join(map(str, path))) == tuple(path)


@given(st.lists(PRINTABLE))
def test_lists_in_python_syntax_are_read_back(texts: list[str]) -> None:
    assert convert.texts(repr(texts)) == tuple(texts)
    assert convert.texts(repr(tuple(texts))) == tuple(texts)


@given(PRINTABLE)
def test_quoted_texts_equal_python_literals(text: str) -> None:
    for quote in "'\"":
        written = quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote
        assert convert.texts(written) == (ast.literal_eval(written),) == (text,)


@given(st.text("[]()'\"ac,\\ #;\n1.-", max_size=40))
@example("('a')")
@example("['a' # b\n,]")
@example("]\n ")
def test_texts_equals_the_python_literal_or_refuses_it(text: str) -> None:
    try:
        found = convert.texts("[" + text)
    except InvalidValueError:
        return
    assume(";" not in text)
    # Stripped: to Python, blanks on a line after the list are an indentation.
    assert found == tuple(ast.literal_eval(f"[{text}".strip()))


@given(st.lists(PRINTABLE | st.integers(0, 10**6)))
def test_arguments_in_python_syntax_are_read_back(arguments: list[str | int]) -> None:
    assert command_options.arguments(repr(arguments)) == tuple(map(str, arguments))


@given(st.text())
def test_shown_value_is_one_short_line(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) < 1000


@given(st.text() | st.text("[]'\"(),ab1.", max_size=30))
def test_every_converter_returns_or_refuses_any_text(text: str) -> None:
    for converter in (
        convert.boolean, convert.port, convert.share, convert.seconds, convert.pause, convert.address,
        convert.listen_address, bgp_options.nexthop_ipv4, bgp_options.nexthop_ipv6, convert.texts, convert.words,
        bgp_options.local_addresses, bgp_options.as_path, convert.hostname, url_options.check_url, url_options.source_url,
        command_options.command, command_options.arguments, convert.choice("a", "b"), convert.some(convert.address, "x"),
    ):  # fmt: skip
        try:
            converter(text)
        except InvalidValueError as error:
            refusal = error
        else:
            continue
        assert refusal.found
        assert refusal.wanted


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "A", "DEFAULT", "b c"]),
            st.lists(st.tuples(NAMES, st.sampled_from(["=", ":", " = ", ": "]), TEXTS), max_size=4),
        ),
        max_size=5,
    )
)
def test_ini_equals_the_parser_of_the_standard_library(
    sections: list[tuple[str, list[tuple[str, str, str]]]],
) -> None:
    text = "".join(
        f"[{name}]\n" + "".join(f"{key}{delimiter}{value}\n" for key, delimiter, value in options)
        for name, options in sections
    )
    peer = ConfigParser(strict=False, interpolation=None)
    peer.read_string(text)
    document = ini.read(text, "f")
    assert document.problems == []
    assert {e.name: e.text for e in document.defaults.entries.values()} == dict(peer.defaults())
    for name, section in document.sections.items():
        own = {e.name: e.text for e in section.entries.values()}
        assert {**peer.defaults(), **own} == dict(peer.items(name))
    assert list(document.sections) == peer.sections()


@given(st.dictionaries(st.sampled_from("abcd"), st.text("ab%()sd ", max_size=12), min_size=1))
def test_references_equal_those_of_the_standard_library(options: dict[str, str]) -> None:
    peer, interpolation = ConfigParser(), BasicInterpolation()  # read_dict would refuse values with a lone %
    for name, text in options.items():
        try:
            expected: str | None = interpolation.before_get(peer, "x", name, text, options)
        except InterpolationError:
            expected = None
        try:
            found: str | None = ini.expand(text, options.get, set())
        except InvalidValueError:
            found = None
        assert found == expected
