"""Pool files in the two formats of PyBal 1.15; test_sources_formats_yaml.py covers YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.formats.entry import shown
from pybal.sources.formats.text import parse, summary

POOLS = Path("tests/data/pools")

APPSERVERS = (
    Member("mw1.example.net", 10, enabled=True),
    Member("mw2.example.net", 30, enabled=False),
    Member("mw3.example.net", 0, enabled=True),
    Member("2001:db8::4", 15, enabled=True),
    Member("10.0.0.5", 10, enabled=True),
)

LAST = (Member("a", 1), Member("b", 2))


EXPECTED = "expected { 'host': 'HOST', 'weight': INTEGER, 'enabled': True }"


def unreadable(line: str, meant: str = "") -> tuple[str, str]:
    """Return a line and its problem."""
    return line, f"found {shown(line)}; {EXPECTED}" + (f". Did you mean: {meant}" if meant else "")


def refusal(data: bytes, name: str, last: tuple[Member, ...] | None = None) -> str:
    with pytest.raises(SourceError) as refused:
        parse(data, name, last)
    return str(refused.value)


@pytest.mark.parametrize("name", ["appservers", "appservers.json", "appservers.yaml"])
def test_parse_returns_servers_in_file_order(name: str) -> None:
    listing = parse((POOLS / name).read_bytes(), name)
    assert listing.members == APPSERVERS
    assert listing.problems == ()


@pytest.mark.parametrize("data", [b"", b"\n \n", b"# all gone\n", b"\xef\xbb\xbf\r\n"])
def test_file_without_entries_is_an_empty_list(data: bytes) -> None:
    assert parse(data, "pool").members == ()
    assert parse(data, "pool", LAST).members == ()


def test_empty_json_object_is_an_empty_list() -> None:
    assert parse(b"{}", "pool.json").members == ()


def test_carriage_returns_and_a_byte_order_mark_are_ignored() -> None:
    assert parse(b"\xef\xbb\xbf{'host': 'a'}\r\n{'host': 'b'}\r\n", "pool", LAST).members == (Member("a"), Member("b"))
    assert parse(b'\xef\xbb\xbf{"a": {}}\r\n', "pool.json").members == (Member("a"),)


def test_comment_may_contain_any_bytes() -> None:
    data = "# \0 \f \x1c \x85 \u2028 é\n{'host': 'a'} # \u2028 '}\n".encode() + b"# M\xfcnchen\n"
    assert parse(data, "pool", LAST).members == (Member("a"),)


def test_unknown_keys_are_ignored() -> None:
    assert parse(b"{'host': 'a', 'rack': 'B7', 'units': 3.5, 'owner': None}\n", "pool", LAST).members == (Member("a"),)
    assert parse(b'{"a": {"rack": ["B", {"7": null}]}}', "pool.json", LAST).members == (Member("a"),)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{'host': 'a', 'weight': '10'}", "weight '10' of host a, wanted an integer from 0 to 2147483647"),
        ("{'host': 'a', 'weight': -1}", "weight -1 of host a, wanted an integer from 0 to 2147483647"),
        ("{'host': 'a', 'weight': 2147483648}", "weight 2147483648 of host a, wanted an integer from 0 to 2147483647"),
        ("{'host': 'a', 'weight': 1.5}", "weight 1.5 of host a, wanted an integer from 0 to 2147483647"),
        ("{'host': 'a', 'weight': True}", "weight True of host a, wanted an integer from 0 to 2147483647"),
        ("{'host': 'a', 'weight': None}", "weight None of host a, wanted an integer from 0 to 2147483647"),
        ("{'host': 'a', 'weight': " + "9" * 5000 + "}", "weight inf of host a, wanted an integer from 0 to 2147483647"),
        ("{'host': 'a', 'enabled': 1}", "enabled 1 of host a, wanted true or false"),
        ("{'host': 'a', 'enabled': 'False'}", "enabled 'False' of host a, wanted true or false"),
        ("{'weight': 10, 'enabled': True}", "host None, wanted a name or an address"),
        ("{'host': ''}", "host '', wanted a name or an address"),
        ("{'host': 'a b'}", "host 'a b', wanted a name or an address"),
        ("{'host': 'a\x00'}", "host 'a\\x00', wanted a name or an address"),
        ("{'host': 'a/../b'}", "host 'a/../b', wanted a name or an address"),
        ("{'host': '--help'}", "host '--help', wanted a name or an address"),
        ("{'host': '-o'}", "host '-o', wanted a name or an address"),
        ("{'host': 'é'}", "host 'é', wanted a name or an address"),
        ("{'host': 7}", "host 7, wanted a name or an address"),
        ("{'host': '" + "a" * 254 + "'}", "host '" + "a" * 59 + "…, wanted a name or an address"),
        ("{'host': 'good'}", "host good is listed already"),
        ("{}", "host None, wanted a name or an address"),
        unreadable(
            "{ host: a.example, weight: 5, enabled: no }", "{ 'host': 'a.example', 'weight': 5, 'enabled': False }"
        ),
        unreadable("'host': 'a', 'weight': 10", "{ 'host': 'a', 'weight': 10 }"),
        unreadable("{ 'host': 'a' 'weight': 10 }", "{ 'host': 'a', 'weight': 10 }"),
        unreadable("{ 'host' = 'a' }", "{ 'host': 'a' }"),
        unreadable("{ \u2018host\u2019: \u2018a\u2019 }", "{ 'host': 'a' }"),
        unreadable("a.example 10", "{ 'host': 'a.example', 'weight': 10 }"),
        unreadable("- host: 2001:db8::1", "{ 'host': '2001:db8::1' }"),
        unreadable("{ 'host': 'a' },", "{ 'host': 'a' }"),
        unreadable("{ 'host': 'a' } ; spare", "{ 'host': 'a' }"),
        unreadable("{ 'host': 'a', 'enabled': maybe }"),
        unreadable("// servers of the web"),
        unreadable("a.example", "{ 'host': 'a.example' }"),
        unreadable("{'host': 'a', 'weight': 10", "{ 'host': 'a', 'weight': 10 }"),
        unreadable("{'host': 'a'} {'host': 'b'}"),
        unreadable("{'host': 'a', 'weight': 010}"),
        unreadable("{'host': 'a', 'enabled': true}", "{ 'host': 'a', 'enabled': True }"),
        unreadable("{'host': __import__('os').getcwd()}"),
        unreadable("{'host': 'a', 'weight': 2**9**9**9}"),
        unreadable("{'host': " + "(" * 1000 + "}"),
        ("{'host': " + "(" * 10000 + "}", f"found 10010 characters; {EXPECTED} in at most 8192 characters"),
    ],
)
def test_invalid_line_is_omitted_and_reported_with_its_number(line: str, problem: str) -> None:
    data = f"{{'host': 'good'}}\n\n{line}\n{{'host': 'also-good'}}\n".encode()
    listing = parse(data, "pool")
    assert listing.members == (Member("good"), Member("also-good"))
    assert listing.problems == (f"line 3: {problem}",)


def test_first_of_two_lines_for_a_host_is_used() -> None:
    listing = parse(b"{'host': 'a', 'weight': 1}\n{'host': 'a', 'weight': 2}\n", "pool")
    assert listing.members == (Member("a", 1),)
    assert listing.problems == ("line 2: host a is listed already",)


def test_invalid_line_makes_a_changed_file_incomplete() -> None:
    """The other lines count, as in PyBal 1.15."""
    listing = parse(b"{'host': 'a', 'weight': 3}\n{'host': 'c', 'weight': 'ten'}\n", "file:///pool", LAST)
    assert listing.members == (Member("a", 3),)
    assert listing.problems == ("line 2: weight 'ten' of host c, wanted an integer from 0 to 2147483647",)
    assert listing.incomplete
    assert listing.unsure == {"c"}


def test_file_without_final_newline_is_complete_if_its_last_line_is_valid() -> None:
    for last in (None, LAST):
        for end in (b"", b"  # a comment", b"\n# a comment", b"\n  "):
            listing = parse(b"{'host': 'a'}\n{'host': 'b'}" + end, "pool", last)
            assert listing.members == (Member("a"), Member("b"))
            assert (listing.problems, listing.incomplete) == ((), False)


def test_file_is_refused_when_its_last_line_is_invalid_and_not_ended() -> None:
    text = b"{'host': 'a'}\n{'host': 'b', 'wei"
    truncated = "no newline at the end; the list may be truncated"
    assert refusal(text, "pool", LAST).endswith(f"; {truncated}")
    first = parse(text, "pool")
    assert (first.members, first.problems[-1], first.incomplete) == ((Member("a"),), truncated, True)
    assert parse(text + b"\n", "pool", LAST).members == (Member("a"),)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pool", "{{'host': 'a', {0}}}\n{{'host': 'b'}}\n"),
        ("pool.json", '{{"a": {{{0}}}, "b": {{}}}}'),
        ("pool.yaml", "a: {{{0}}}\nb: {{}}\n"),
        ("list.yaml", "- {{host: a, {0}}}\n- {{host: b}}\n"),
    ],
)
@pytest.mark.parametrize(("key", "values"), [("enabled", ("false", "true")), ("weight", ("1", "1"))])
def test_entry_with_a_duplicate_key_is_refused(name: str, text: str, key: str, values: tuple[str, str]) -> None:
    if name == "pool":
        values = (values[0].capitalize(), values[1].capitalize())
    quote = "" if "yaml" in name else '"'
    fields = ", ".join(f"{quote}{key}{quote}: {value}" for value in values)
    listing = parse(text.format(fields).encode(), name)
    assert listing.members == (Member("b"),)
    assert listing.problems[0].endswith(f"duplicate key '{key}' of host 'a'")
    assert listing.unsure == {"a"}


@pytest.mark.parametrize(("name", "text"), [("p.json", b'{"a b": {}, "c": {}}'), ("p.yaml", b"- {}\n- host: c\n")])
def test_entry_without_a_valid_host_makes_the_list_incomplete(name: str, text: bytes) -> None:
    assert parse(text, name).incomplete


def test_host_with_a_valid_entry_beside_an_invalid_one_is_not_unsure() -> None:
    assert parse(b"{'host': 'a'}\n{'host': 'a', 'weight': -1}\n", "pool").unsure == frozenset()


def test_html_page_is_refused() -> None:
    page = (POOLS / "error.html").read_bytes()
    assert refusal(page, "pool").startswith("pool: line 1: found '<!DOCTYPE html>'; expected {")
    assert refusal(page, "pool.json") == "pool.json: not JSON: Expecting value: line 1 column 1 (char 0)"


def test_truncated_changed_file_is_refused_unless_cut_between_lines() -> None:
    data = (POOLS / "appservers").read_bytes()
    whole = data.count(b"\n{")
    refused = 0
    for end in range(1, len(data)):
        line = data[:end].rpartition(b"\n")[2].strip()
        if line and not line.startswith(b"#") and b"}" not in line:
            refusal(data[:end], "pool", LAST)
            refused += 1
    assert refused > 10 * whole


def test_truncated_json_file_is_refused() -> None:
    data = (POOLS / "appservers.json").read_bytes().rstrip()
    for end in range(len(data)):
        refusal(data[:end], "pool.json")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (b'"a": {"weight": "10"}', "weight '10' of host a, wanted an integer from 0 to 2147483647"),
        (b'"a": {"weight": 1e3}', "weight 1000.0 of host a, wanted an integer from 0 to 2147483647"),
        (b'"a": {"weight": NaN}', "weight nan of host a, wanted an integer from 0 to 2147483647"),
        (
            b'"a": {"weight": ' + b"9" * 5000 + b"}",
            "weight inf of host a, wanted an integer from 0 to 2147483647",
        ),
        (b'"a": {"weight": [1]}', "weight a list of host a, wanted an integer from 0 to 2147483647"),
        (b'"a": {"enabled": {}}', "enabled an object of host a, wanted true or false"),
        (b'"a": {"enabled": "yes"}', "enabled 'yes' of host a, wanted true or false"),
        (b'"a": 10', 'host \'a\': wanted {"weight": INTEGER, "enabled": true}'),
        (b'"a": [["weight", 10]]', 'host \'a\': wanted {"weight": INTEGER, "enabled": true}'),
        (b'"": {}', "host '', wanted a name or an address"),
        (b'"\\ud800": {}', "host '\\ud800', wanted a name or an address"),
        (b'"good": {}', "host good is listed already"),
    ],
)
def test_invalid_json_entry_is_omitted_and_reported(entry: bytes, problem: str) -> None:
    listing = parse(b'{"good": {}, ' + entry + b', "also-good": {}}', "pool.json")
    assert listing.members == (Member("good"), Member("also-good"))
    assert listing.problems == (problem,)


def test_invalid_json_entry_keeps_the_last_value_of_its_host() -> None:
    listing = parse(b'{"c": {}, "b": {"weight": "x"}, "d": {"weight": "x"}}', "pool.json", LAST)
    assert listing.members == (Member("c"), Member("b", 2))
    assert len(listing.problems) == 2


def test_duplicate_json_entry_keeps_the_first_value() -> None:
    listing = parse(b'{"b": {"weight": 7}, "b": {"weight": 8}}', "pool.json", LAST)
    assert listing.members == (Member("b", 7),)
    assert listing.problems == ("host b is listed already",)


@pytest.mark.parametrize("text", [b"[]", b"null", b"7", b'"a"', b"[" * 100000, b'{"a":' * 100000, b"\xff{}", b"{}{}"])
def test_json_other_than_an_object_of_hosts_is_refused(text: bytes) -> None:
    assert refusal(text, "pool.json").startswith("pool.json: ")


def test_file_with_only_invalid_entries_is_refused() -> None:
    assert refusal(b'{"a": 1}', "pool.json") == 'pool.json: host \'a\': wanted {"weight": INTEGER, "enabled": true}'
    assert refusal(b"{'host': 1}\n", "pool").startswith("pool: line 1: host 1,")


def test_summary_lists_five_problems_and_counts_the_rest() -> None:
    assert summary([f"line {i}" for i in range(1, 9)]) == "line 1; line 2; line 3; line 4; line 5; and 3 more"


@pytest.mark.parametrize("slip", ["enable", "Enabled", "enbaled"])
def test_misspelt_key_does_not_leave_a_disabled_server_enabled(slip: str) -> None:
    good = b"{'host': 'web1'}\n"
    listing = parse(good + f"{{'host': 'web2', '{slip}': False}}\n".encode(), "pool")
    assert [member.host for member in listing.members] == ["web1"]
    assert listing.problems == (f"line 2: unknown key '{slip}' of host web2 (did you mean 'enabled'?)",)
