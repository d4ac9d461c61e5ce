"""Wrong blocks are found: configurations, pool files, commands and places."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.command_blocks import is_checkable, is_valid_in_text, problems
from tests.docs.page import Block, Page
from tests.docs.settings_blocks import problems as problems_of_settings

PAGE = """\
<!-- place: network -->

# A page

<!-- run
$ true
-->

* a list

    ```ini title="lvs2:/etc/pybal/pybal.conf"
    [global]
    ```

    indented code
"""

ETCD = """\
[etcd a.example.org]
ca = /no/file

[web]
config = etcd://a.example.org/pools/
"""


def block(language: str, title: str, content: str) -> Block:
    return Block("docs/page.md", 1, language, title, content)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (block("ini", "", "[web]\ndepool-treshold = .5\n"), "did you mean depool-threshold"),
        (block("ini", "", "[web]\nport = http\n"), "found 'http'"),
        (block("ini", "", "[global]\nbgp-hold-tme = 9\n"), "did you mean bgp-hold-time"),
        (block("text", "/etc/pybal/pools/web", "{'host': 'a', 'weight': ten}\n"), "line 1"),
        (block("json", "web1:/etc/pybal/pools/web.json", '[{"host": "a"}]\n'), "an object"),
    ],
)
def test_wrong_settings_are_problems(found: Block, problem: str, tmp_path: Path) -> None:
    (text,) = problems_of_settings(found, tmp_path)
    assert problem.lower() in text.lower()


def test_complete_settings_are_no_problem(tmp_path: Path) -> None:
    assert problems_of_settings(block("ini", "", "[web]\ndepool-threshold = .5\n"), tmp_path) == ()
    assert problems_of_settings(block("ini", "", ETCD), tmp_path) == ()


@pytest.mark.parametrize("command", ["make tset", "python -m tests.dosc.play", "pybal depool web", "pybal pols"])
def test_commands_with_wrong_arguments_are_problems(command: str) -> None:
    found = block("sh", "", f"{command} # a comment\n")
    assert is_checkable(found)
    assert list(problems(found)) == [f"docs/page.md:1: {command}"]


def test_other_programs_are_not_checkable() -> None:
    assert not is_checkable(block("sh", "", "make test\napt install bird2\n"))
    assert not is_checkable(block("console", "", "$ make test\n"))


def test_unknown_command_in_the_text_is_found() -> None:
    assert [is_valid_in_text(code) for code in ("pybal pols", "pybal pools SERVICE", "pybal COMMAND", "pybal -n")] == [
        False,
        True,
        True,
        True,
    ]


def test_page_has_its_place_and_its_blocks() -> None:
    page = Page("docs/page.md", PAGE)
    assert page.place == "network"
    assert page.blocks == (
        Block("docs/page.md", 6, "console", "", "$ true\n"),
        Block("docs/page.md", 12, "ini", "lvs2:/etc/pybal/pybal.conf", "[global]\n"),
    )
    assert Page("docs/page.md", "text\n\n    code\n").blocks == (Block("docs/page.md", 3, "", "", "code\n"),)
