"""Pool lists in YAML, good and bad."""

from __future__ import annotations

import time

import pytest
import yaml

from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.formats import yaml as yaml_format
from pybal.sources.formats.text import Listing, parse

LAST = (Member("a", 1), Member("b", 2))


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parsers of PyYAML: the one of C is not everywhere."""
    monkeypatch.setattr(yaml_format, "_LOADER", getattr(yaml, request.param))


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
        "---\n# who serves\na: {weight: 1}   # the first\nb: {weight: 2, enabled: Off}\n...\n",
        "a: {weight: &one 1}\nb: &other {weight: 2, enabled: FALSE}\n",
        "\ufeffa: {weight: 1}\r\nb: {weight: 2, enabled: false}\r\n",
    ],
)
def test_all_ways_to_write_a_list_say_the_same(text: str) -> None:
    assert listing(text, LAST) == Listing((Member("a", 1), Member("b", 2, enabled=False)))


@pytest.mark.parametrize("name", ["pool.yaml", "pool.yml"])
def test_both_ends_of_a_name_mean_yaml(name: str) -> None:
    assert parse(b"a: {}\n", name).members == (Member("a"),)


def test_an_alias_stands_for_what_it_names() -> None:
    text = "a: &usual {weight: 7, enabled: false}\nb: *usual\n"
    assert listing(text).members == (Member("a", 7, enabled=False), Member("b", 7, enabled=False))


@pytest.mark.parametrize("text", ["{}\n", "[]", "--- {}\n"])
def test_no_entries_are_an_empty_list(text: str) -> None:
    assert listing(text, LAST) == Listing(())


@pytest.mark.parametrize("text", ["", "# all gone\n", "---\n", "~\n", "null\n"])
def test_nothing_at_all_is_no_list(text: str) -> None:
    assert "wanted" in refusal(text)


@pytest.mark.parametrize(
    "host", ["no", "1.5", "10.0.0.5", "2001:10:20:30:40:50:1:2", "1:20", "0x10", "2026-11-21", "007"]
)
def test_a_host_is_a_text_however_it_is_written(host: str) -> None:
    """YAML 1.1 has a boolean, numbers of base 60 and a date among these."""
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
def test_a_bad_entry_is_left_out_with_its_line_and_the_others_stay(entry: str, problem: str) -> None:
    found = listing(f"good: {{}}\n# a comment\n{entry}\nalso-good: {{}}\n")
    assert found == Listing((Member("good"), Member("also-good")), (f"line 3: {problem}",))


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
def test_a_bad_item_is_left_out_with_its_line_and_the_others_stay(entry: str, problem: str) -> None:
    found = listing(f"- host: good\n\n{entry}\n- host: also-good\n")
    assert found == Listing((Member("good"), Member("also-good")), (f"line 3: {problem}",))


def test_a_bad_entry_keeps_the_last_good_value_of_its_host() -> None:
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
        ("\n" + "a: {}\n" * 60_000, "line 50001: more than 100000 values"),
    ],
)
def test_what_is_no_list_of_hosts_is_refused_with_its_line(text: str, reason: str) -> None:
    assert refusal(text) == reason


@pytest.mark.parametrize("text", ["a: {\n", "a: {}\n b: {}\n", "a: {}\n\tb: {}\n", "a: '\n", "<p>\n<b>: 1\n"])
def test_what_is_no_yaml_is_refused_with_its_line(text: str) -> None:
    assert refusal(text).startswith("line ")
    assert ": not YAML: " in refusal(text)


@pytest.mark.parametrize("data", [b"\xff: {}\n", b"a: \x00\n"])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError, match=r"pool\.yaml: not YAML: "):
        parse(data, "pool.yaml")


def test_aliases_that_would_unfold_to_billions_are_not_unfolded() -> None:
    bomb = "x0: &x0 [a, a]\n" + "".join(f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]\n" for i in range(1, 60))
    found = listing(bomb + "good: {}\n")
    assert found.members == (Member("good"),)
    assert len(found.problems) == 60


@pytest.mark.parametrize("text", ["a: {}\nb:\n  weight: 10", "- host: a\n- host: b", "a: {}\n# b"])
def test_a_changed_file_that_may_be_cut_off_is_refused_and_forgiven_at_the_start(text: str) -> None:
    cut_off = "no newline at the end; the list may be truncated"
    assert refusal(text, LAST) == cut_off
    assert listing(text).problems == (cut_off,)


def test_a_page_of_html_is_not_a_list_of_nobody() -> None:
    assert refusal("<html>502 Bad Gateway</html>\n") == (
        "line 1: '<html>502 Bad Gateway</html>', wanted a mapping of hosts, or a list"
    )


@pytest.mark.parametrize("piece", ["[", "- ", "{a: ", "? ", "|", "&", "!"])
def test_a_megabyte_of_beginnings_is_refused_soon(piece: str) -> None:
    began = time.process_time()
    refusal(piece * (2**20 // len(piece)))
    assert time.process_time() - began < 10
