"""The commands and files of each page are run in its place, and print what the page shows.

tests/e2e/lvs/test_pages.py runs the pages whose place is the guest, tests/incidents those of incidents.
"""

from __future__ import annotations

import os

import pytest

from tests.docs.page import Page, pages
from tests.docs.places import PLACES
from tests.docs.play import difference, play

ON_THIS_HOST = [page for page in pages() if page.place == "network"]


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
@pytest.mark.parametrize("page", ON_THIS_HOST, ids=str)
def test_page_shows_the_outputs_of_its_commands(page: Page) -> None:
    with PLACES[page.place]() as place:
        for played in play(page, place):
            assert played.expected, difference(page, played)
