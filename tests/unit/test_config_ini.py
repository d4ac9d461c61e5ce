"""The parser of sections: the syntax of SafeConfigParser of Python 2, with located problems."""

from __future__ import annotations

from pybal.config import ini
from pybal.config.errors import InvalidValueError, Problem


def values(text: str | bytes, section: str = "a") -> dict[str, str]:
    document = ini.read(text, "f")
    assert document.problems == []
    return {name: entry.text for name, entry in document.sections[section].entries.items()}


def problems(text: str | bytes) -> list[str]:
    return [str(problem) for problem in ini.read(text, "f").problems]


def expanded(text: str, **others: str) -> str:
    try:
        return ini.expand(text, others.get, set())
    except InvalidValueError as error:
        return str(error)


def test_first_equals_sign_or_colon_separates_key_and_value() -> None:
    assert values("[a]\nk = v\nip: 2001:db8::1\nurl=http://x/?q=1") == {
        "k": "v",
        "ip": "2001:db8::1",
        "url": "http://x/?q=1",
    }


def test_option_names_ignore_case_and_section_names_do_not() -> None:
    document = ini.read("[a]\nBGP-Med = 1\n[A]\nbgp-med = 2", "f")
    assert [section.entries["bgp-med"].text for section in document.sections.values()] == ["1", "2"]


def test_repeated_section_continues_and_last_value_counts() -> None:
    document = ini.read("[a]\nk = 1\nl = 1\n[b]\n[a]\nk = 2\nk = 3", "f")
    assert list(document.sections) == ["a", "b"]
    assert document.sections["a"].line == 1
    assert {(e.name, e.text, e.line) for e in document.sections["a"].entries.values()} == {("k", "3", 7), ("l", "1", 3)}


def test_semicolon_after_a_blank_starts_a_comment() -> None:
    assert values("[a] ; x\nk = v ; x\nl = v\t;x\nm = v;w\nn = ; x\no =;x \np = a;b ;c") == {
        "k": "v",
        "l": "v",
        "m": "v;w",
        "n": "",
        "o": ";x",
        "p": "a;b ;c",
    }


def test_hash_starts_a_comment_in_the_first_column_only() -> None:
    assert values("#x\n[a]\n# k = 1\n; k = 2\nk = a # b\nREM k = 3\nrem\nremark = 1") == {"k": "a # b", "remark": "1"}


def test_indented_line_continues_the_value_after_comments() -> None:
    assert values("[a]\nk = [ 'a',\n  # 1\n\n# 2\n\t'b' ; 3\n ]\nl = 1") == {"k": "[ 'a',\n# 1\n'b' ; 3\n]", "l": "1"}


def test_two_double_quotes_are_an_empty_value() -> None:
    assert values("[a]\nk = \"\"\nl =\nm = ''") == {"k": "", "l": "", "m": "''"}


def test_crlf_and_byte_order_mark_are_accepted() -> None:
    assert values(b"\xef\xbb\xbf[a]\r\nk = 1\r\n  2\r\n") == {"k": "1\n2"}


def test_invalid_utf8_is_accepted_in_comments() -> None:
    assert values(b"# caf\xe9\n[a]\nk = 1 ; caf\xe9\nl = caf\xc3\xa9") == {"k": "1", "l": "caf\xe9"}


def test_invalid_utf8_is_refused_in_values() -> None:
    assert problems(b"[a]\nk = caf\xe9\nl = 1\n  \xff") == [
        "f:2: [a] k: found the byte 0xe9; expected printable text in UTF-8",
        "f:4: [a] l: found the byte 0xff; expected printable text in UTF-8",
    ]


def test_unprintable_characters_are_refused_everywhere() -> None:
    assert problems("[a\x07]\nk = a\0b\nl = a\tb\n\xa0m = 1\nn = a\rb") == [
        r"f:1: [a\x07] found the section 'a\x07'; expected a name of printable characters",
        r"f:2: [a\x07] k: found the character '\x00'; expected printable text in UTF-8",
        r"f:4: [a\x07] found the option '\xa0m'; expected a name of printable characters. Did you mean: m = 1",
        r"f:5: [a\x07] n: found the character '\r'; expected printable text in UTF-8",
    ]


def test_every_malformed_line_is_refused() -> None:
    assert problems("k = 1\n[a]\nfoo\n  bar\n[]\n = 1\nk = 1\n[b]\n l = 1") == [
        "f:1: found 'k = 1'; expected a section header first, such as [web], in the first column",
        "f:3: [a] found 'foo'; expected [section] or option = value, starting in the first column",
        "f:5: [a] found '[]'; expected [section] or option = value, starting in the first column",
        "f:9: [b] found 'l = 1'; expected [section] or option = value, starting in the first column",
    ]


def test_continuation_of_a_malformed_line_is_dropped() -> None:
    document = ini.read("[a]\nk = 1\nfoo\n  bar", "f")
    assert document.sections["a"].entries["k"].text == "1"


def test_default_section_is_kept_apart() -> None:
    document = ini.read("[DEFAULT]\nk = 1\n[default]\nk = 2", "f")
    assert document.defaults.entries["k"].text == "1"
    assert list(document.sections) == ["default"]


def test_percent_signs_and_references_are_replaced() -> None:
    assert expanded("100%%") == "100%"
    assert expanded("%(A)s-%(b)s", a="1", b="[%(a)s%%]") == "1-[1%]"


def test_malformed_reference_is_refused() -> None:
    lone = "found a lone '%'; expected %% or %(option)s"
    assert expanded("50%") == lone
    assert expanded("%s") == lone
    assert expanded("%(a)d", a="1") == lone
    assert expanded("%(a)s", a="50%") == lone
    assert expanded("%(x)s") == "found '%(x)s'; expected the name of an option of the same section or of [DEFAULT]"


def test_cycle_of_references_is_refused() -> None:
    assert (
        expanded("%(a)s", a="%(b)s", b="%(a)s")
        == "found references nested more than 10 levels deep; expected fewer levels and no cycle"
    )
    deep = {f"v{n}": f"%(v{n + 1})s" for n in range(9)}
    assert expanded("%(v1)s", **deep, v9="end") == "end"
    assert "nested" in expanded("%(v0)s", **deep, v9="end")


def test_size_of_expanded_references_is_bounded() -> None:
    laughs = {f"v{n}": f"%(v{n + 1})s" * 100 for n in range(8)}
    assert "expand to too much text" in expanded("%(v0)s", **laughs, v8="ha")
    assert "expand to too much text" in expanded("%(v0)s", **laughs, v8="")
    assert "expand to too much text" in expanded("%(a)s" * 100, a="x" * 100_000)


def test_problem_is_one_printable_line() -> None:
    assert str(Problem("/x\udcff", 3, "a\n", "b\t", "c\r", "d")) == r"/x\udcff:3: [a\n] b\t: found c\r; expected d"
