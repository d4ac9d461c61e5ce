"""Bytes of each view, and resources that it loads, in the states of the drawings."""

from __future__ import annotations

import gzip
import re

import pytest

from pybal.status.page.document import EVENTS
from tests.harness.page_reader import PageReader
from tests.harness.page_story import STORIES, views

PAGES = {name + view: text for name, story in STORIES.items() for view, text in views(story)}
LIMITS = {"": (60_000, 9_000), "-pool": (120_000, 12_000), "-server": (60_000, 9_000)}
"""The most bytes of a view: plain, and in gzip format."""


@pytest.mark.parametrize("name", PAGES)
def test_view_is_small(name: str) -> None:
    page = PAGES[name].encode()
    plain, packed = LIMITS[name.removeprefix(name.partition("-")[0])]
    assert len(page) < plain
    assert len(gzip.compress(page)) < packed


@pytest.mark.parametrize("name", PAGES)
def test_view_loads_only_its_own_files(name: str) -> None:
    reader = PageReader.of(PAGES[name])  # which refuses inline styles and event handlers
    assert "style" not in reader.elements
    assert not [link for link in reader.links if not re.match("/(?!/)|#|data:image/svg", link)]
    assert "<script src=/page/page.js defer></script>" in PAGES[name]
    assert PAGES[name].count("<script") == 1
    assert f"data-events={EVENTS}" in PAGES[name]


@pytest.mark.parametrize("name", PAGES)
def test_ids_of_a_view_are_unique(name: str) -> None:
    ids = PageReader.of(PAGES[name]).ids
    assert len(ids) == len(set(ids))
