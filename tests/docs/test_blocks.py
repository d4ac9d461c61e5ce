"""Each block of the documentation is run, parsed, or listed with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import command_blocks, settings_blocks
from tests.docs.page import ROOT, Block, Page, pages
from tests.docs.settings_blocks import is_configuration, is_pool_file
from tests.docs.transcript import matches
from tests.docs.unchecked import UNCHECKED

PAGES = pages()
BLOCKS = [(page, block) for page in PAGES for block in page.blocks]
SETTINGS = [block for _, block in BLOCKS if is_configuration(block) or is_pool_file(block)]
COMMANDS = [block for _, block in BLOCKS if command_blocks.is_checkable(block)]
EXCERPTS = [
    block for _, block in BLOCKS if block.title and not block.title.startswith("/") and (ROOT / block.title).exists()
]
PARSED = [*SETTINGS, *COMMANDS, *EXCERPTS]


def _is_checked(page: Page, block: Block) -> bool:
    return block in PARSED or bool(page.place and (block.language == "console" or block.title))


def _names(key: tuple[str, str], block: Block) -> bool:
    page, beginning = key
    return block.page == page and block.content.startswith(beginning)


def test_every_block_is_run_or_parsed_or_listed_with_a_reason() -> None:
    unchecked = [str(block) for page, block in BLOCKS if not _is_checked(page, block)]
    listed = [str(block) for _, block in BLOCKS if any(_names(key, block) for key in UNCHECKED)]
    assert unchecked == listed


def test_every_listed_block_exists_and_has_a_reason() -> None:
    found = {key for key in UNCHECKED if any(_names(key, block) for _, block in BLOCKS)}
    assert [key for key, reason in UNCHECKED.items() if key not in found or not reason] == []


def test_every_block_is_fenced_and_names_its_language() -> None:
    assert [str(block) for _, block in BLOCKS if not block.language] == []


@pytest.mark.parametrize("block", SETTINGS, ids=str)
def test_configuration_has_no_problem_and_no_warning(block: Block, tmp_path: Path) -> None:
    assert settings_blocks.problems(block, tmp_path) == ()


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_named_commands_have_valid_arguments(block: Block) -> None:
    assert list(command_blocks.problems(block)) == []


@pytest.mark.parametrize("block", EXCERPTS, ids=str)
def test_excerpt_equals_the_file_that_its_title_names(block: Block) -> None:
    assert matches(f"...\n{block.content}...\n", (ROOT / block.title).read_text())


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_named_in_the_text_exist(page: Page) -> None:
    assert [code for code in page.inline_code() if not command_blocks.is_valid_in_text(code)] == []
