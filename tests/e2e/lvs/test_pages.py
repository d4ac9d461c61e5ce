"""The commands of the pages that need real IPVS, to the letter."""

from __future__ import annotations

import pytest

from tests.docs.page import Page, pages
from tests.docs.places import PLACES
from tests.docs.play import difference, play


@pytest.mark.parametrize("page", [page for page in pages() if page.place == "guest"], ids=str)
def test_page_shows_the_outputs_of_its_commands(page: Page) -> None:
    with PLACES[page.place]() as place:
        for played in play(page, place):
            assert played.expected, difference(page, played)
