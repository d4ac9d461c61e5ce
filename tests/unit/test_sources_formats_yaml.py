"""Pool lists in YAML."""

from __future__ import annotations

import time

import pytest
import yaml

from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.formats import text as formats
from pybal.sources.formats import yaml as yaml_format
from pybal.sources.formats.text import Listing, parse

LAST = (Member("a", 1), Member("b", 2))


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with both parsers of PyYAML; the C parser is optional."""
    monkeypatch.setattr(yaml_format, "LOADER", getattr(yaml, request.param))


def listing(text: str, last: tuple[Member, ...] | None = None) -> Listing:
    return parse(text.encode(), "pool.yaml", last)


def refusal(text: str, last: tuple[Member, ...] | None = None) -> str:
    with pytest.raises(SourceError) as refused:
        listing(text, last)
    return str(refused.value).removeprefix("pool.yaml: ")


@pytest.mark.parametrize(
    "text",
    [
        "a: {weight: 1}\nb: {weight: 2, enabled: false}\n",
        "a:\n  weight: 1\nb:\n  enabled: false\n  weight: 2\n",
        "- host: a\n  weight: 1\n- {host: b, weight: 2, enabled: no}\n",
        '{"a": {"weight": 1}, "b": {"weight": 2, "enabled": false}}',
        "---\n# servers\na: {weight: 1}   # the first\nb: {weight: 2, enabled: Off}\n...\n",
        "a: {weight: &one 1}\nb: &other {weight: 2, enabled: FALSE}\n",
        "\ufeffa: {weight: 1}\r\nb: {weight: 2, enabled: false}\r\n",
    ],
)
def test_equivalent_notations_parse_equally(text: str) -> None:
    assert listing(text, LAST) == Listing((Member("a", 1), Member("b", 2, enabled=False)))


@pytest.mark.parametrize("name", ["pool.yaml", "pool.yml"])
def test_both_yaml_extensions_select_yaml(name: str) -> None:
    assert parse(b"a: {}\n", name).members == (Member("a"),)


def test_alias_has_the_value_of_its_anchor() -> None:
    text = "a: &usual {weight: 7, enabled: false}\nb: *usual\n"
    assert listing(text).members == (Member("a", 7, enabled=False), Member("b", 7, enabled=False))


@pytest.mark.parametrize("text", ["{}\n", "[]", "--- {}\n"])
def test_empty_collection_is_an_empty_list(text: str) -> None:
    assert listing(text, LAST) == Listing(())


@pytest.mark.parametrize("text", ["", "# all gone\n", "---\n", "~\n", "null\n"])
def test_empty_document_is_refused(text: str) -> None:
    assert "wanted" in refusal(text)


@pytest.mark.parametrize(
    "host", ["no", "1.5", "10.0.0.5", "2001:10:20:30:40:50:1:2", "1:20", "0x10", "2026-11-21", "007"]
)
def test_host_is_a_string_in_any_notation(host: str) -> None:
    """YAML 1.1 has a boolean, base 60 numbers and a date among these."""
    assert listing(f"{host}: {{}}\n").members == (Member(host),)
    assert listing(f"- host: {host}\n").members == (Member(host),)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("c: {weight: '10'}", "weight '10' of host c, wanted an integer from 0 to 2147483647"),
        ("c: {weight: 010}", "weight '010' of host c, wanted an integer from 0 to 2147483647"),
        ("c: {weight: 0x10}", "weight '0x10' of host c, wanted an integer from 0 to 2147483647"),
        ("c: {weight: 1:30}", "weight '1:30' of host c, wanted an integer from 0 to 2147483647"),
        ("c: {weight: 1_000}", "weight '1_000' of host c, wanted an integer from 0 to 2147483647"),
        ("c: {weight: 1.0}", "weight '1.0' of host c, wanted an integer from 0 to 2147483647"),
        ("c: {weight: -1}", "weight -1 of host c, wanted an integer from 0 to 2147483647"),
        ("c: {weight: }", "weight None of host c, wanted an integer from 0 to 2147483647"),
        ("c: {weight: yes}", "weight True of host c, wanted an integer from 0 to 2147483647"),
        ("c: {weight: [1]}", "weight a list of host c, wanted an integer from 0 to 2147483647"),
        ("c: {weight: " + "9" * 5000 + "}", "weight inf of host c, wanted an integer from 0 to 2147483647"),
        ("c: {enabled: 1}", "enabled 1 of host c, wanted true or false"),
        ("c: {enabled: 'false'}", "enabled 'false' of host c, wanted true or false"),
        ("c: {enabled: nO}", "enabled 'nO' of host c, wanted true or false"),
        ("c: {enabled: {}}", "enabled an object of host c, wanted true or false"),
        ("c: {Enabled: no}", "unknown key 'Enabled' of host c (did you mean 'enabled'?)"),
        ("c: {weight: 1, weight: 2}", "duplicate key 'weight' of host 'c'"),
        ("c: {<<: {weight: 1}}", "'<<' of host 'c', wanted {weight: INTEGER, enabled: true}"),
        ("c: {[x]: 1}", "a list of host 'c', wanted {weight: INTEGER, enabled: true}"),
        ("c:", "host 'c': wanted {weight: INTEGER, enabled: true}"),
        ("c: 10", "host 'c': wanted {weight: INTEGER, enabled: true}"),
        ("'': {}", "host '', wanted a name or an address"),
        ("~: {}", "host None, wanted a name or an address"),
        ("a b: {}", "host 'a b', wanted a name or an address"),
        ("? [c]\n: {}", "host a list, wanted a name or an address"),
        ("good: {}", "host good is listed already"),
    ],
)
def test_invalid_entry_is_omitted_and_reported_with_its_line(entry: str, problem: str) -> None:
    found = listing(f"good: {{}}\n# a comment\n{entry}\nalso-good: {{}}\n")
    assert found.members == (Member("good"), Member("also-good"))
    assert found.problems == (f"line 3: {problem}",)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("- c", "host None: wanted {weight: INTEGER, enabled: true}"),
        ("- {weight: 5}", "host None, wanted a name or an address"),
        ("- {host: ~}", "host None, wanted a name or an address"),
        ("- {host: [c]}", "host a list, wanted a name or an address"),
        ("- {host: c, host: d}", "duplicate key 'host' of host 'c'"),
        ("- {host: good}", "host good is listed already"),
    ],
)
def test_invalid_item_is_omitted_and_reported_with_its_line(entry: str, problem: str) -> None:
    found = listing(f"- host: good\n\n{entry}\n- host: also-good\n")
    assert found.members == (Member("good"), Member("also-good"))
    assert found.problems == (f"line 3: {problem}",)


@pytest.mark.parametrize(
    "text", ["a:\n\tweight: 10\n", "b: {}\na:\n \tweight: 10\n", "a:\n  weight: 10\n\tenabled: true\n"]
)
def test_tab_in_the_indentation_is_named(text: str) -> None:
    line = text[: text.index("\t")].count("\n") + 1
    with pytest.raises(SourceError, match=f"line {line}: not YAML: found a tab in the indentation; expected blanks"):
        listing(text)


def test_invalid_entry_keeps_the_last_value_of_its_host() -> None:
    found = listing("c: {}\nb: {weight: x}\nd: {weight: x}\n", LAST)
    assert found.members == (Member("c"), Member("b", 2))
    assert len(found.problems) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: {}\n--- {}\n", "line 2: second document, wanted one"),
        (
            "a: !!python/object/apply:os.system {}\n",
            "line 1: tag 'tag:yaml.org,2002:python/object/apply:os.system', wanted none",
        ),
        ("a:\n  weight: !!int '7'\n", "line 2: tag 'tag:yaml.org,2002:int', wanted none"),
        ("a: *b\n", "line 1: alias 'b' without an anchor before it"),
        ("a: &a {x: *a}\n", "line 1: alias 'a' without an anchor before it"),
        ("web1\n", "line 1: 'web1', wanted a mapping of hosts, or a list"),
        ("a: " + "[" * 8 + "]" * 8 + "\n", "line 1: nested more than 8 levels deep"),
    ],
)
def test_yaml_other_than_a_list_of_hosts_is_refused_with_its_line(text: str, reason: str) -> None:
    assert refusal(text) == reason


def test_yaml_of_too_many_hosts_is_refused_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MOST_ENTRIES", 400)  # PyYAML's parser in Python takes seconds for 40,000
    assert refusal("\n" + "a: {}\n" * 600) == "line 402: more than 400 entries"


@pytest.mark.parametrize("text", ["a: {\n", "a: {}\n b: {}\n", "a: {}\n\tb: {}\n", "a: '\n", "<p>\n<b>: 1\n"])
def test_invalid_yaml_is_refused_with_its_line(text: str) -> None:
    assert refusal(text).startswith("line ")
    assert ": not YAML: " in refusal(text)


@pytest.mark.parametrize("data", [b"\xff: {}\n", b"a: \x00\n"])
def test_binary_data_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError, match=r"pool\.yaml: not YAML: "):
        parse(data, "pool.yaml")


def test_exponential_aliases_are_not_expanded() -> None:
    bomb = "x0: &x0 [a, a]\n" + "".join(f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]\n" for i in range(1, 60))
    found = listing(bomb + "good: {}\n")
    assert found.members == (Member("good"),)
    assert len(found.problems) == 60


@pytest.mark.parametrize("text", ["a: {}\nb:\n  weight: 10", "- host: a\n- host: b", "a: {}\n# b"])
def test_file_without_final_newline_is_accepted_only_at_the_start(text: str) -> None:
    problem = "no newline at the end; the list may be truncated"
    assert refusal(text, LAST) == problem
    assert listing(text).problems == (problem,)


def test_html_page_is_refused() -> None:
    assert refusal("<html>502 Bad Gateway</html>\n") == (
        "line 1: '<html>502 Bad Gateway</html>', wanted a mapping of hosts, or a list"
    )


@pytest.mark.parametrize("piece", ["[", "- ", "{a: ", "? ", "|", "&", "!"])
def test_megabyte_of_opening_tokens_is_refused_quickly(piece: str) -> None:
    began = time.process_time()
    refusal(piece * (640 * 2**10 // len(piece)))
    assert time.process_time() - began < 10
