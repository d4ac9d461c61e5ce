"""Transcripts of a terminal, and the comparison of outputs."""

from __future__ import annotations

import pytest

from tests.docs.transcript import Step, matches, parse


def test_transcript_has_commands_with_hosts_and_outputs() -> None:
    text = "root@lvs1:~# pybal status\na\n\nb\n$ true\nweb1# echo \\\n  c\nc\n"
    assert parse(text, 10) == [
        Step(10, "root@lvs1:~# ", "lvs1", "pybal status", "a\n\nb\n"),
        Step(14, "$ ", "", "true", ""),
        Step(15, "web1# ", "web1", "echo \\\n  c", "c\n"),
    ]


def test_transcript_without_a_prompt_is_refused_with_its_line() -> None:
    with pytest.raises(ValueError, match="line 7: a transcript begins with a prompt"):
        parse("a\n$ b\n", 7)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("", ""),
        ("a.b\n", "a.b\n"),
        ("a.b\n", "a.b"),
        ("a\n", "a   \n"),
        ("process ..., up 5 s\n", "process 16, up 2 min\n"),
        ("pybal 2.0.0, process ..., up 5 s\n", "pybal 2.10.1, process 16, up 2 min\n"),
        ("age 1.5 s\n", "age 300 ms\n"),
        ("success 2026-11-29T22:03:29.771Z\n", "success 2027-01-01T00:00:00Z\n"),
        ("A  B     C\n", "A     B  C\n"),
        ("a\n...\nd\n", "a\nb\nc\nd\n"),
        ("a\n...\n", "a\n"),
    ],
)
def test_output_matches_with_any_text_times_and_gaps(expected: str, actual: str) -> None:
    assert matches(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("", "a\n"),
        ("a\n", ""),
        ("a.b\n", "axb\n"),
        ("a b\n", "a  b\n"),
        ("3 of 4 servers\n", "4 of 4 servers\n"),
        ("process ...\n", "process 1\nprocess 2\n"),
        ("5 s\n", "5 servers\n"),
        ("a\n...\nd\n", "a\nb\n"),
    ],
)
def test_output_differs_in_words_numbers_and_lines(expected: str, actual: str) -> None:
    assert not matches(expected, actual)
