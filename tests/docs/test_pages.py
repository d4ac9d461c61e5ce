"""The commands and files of each page are run in its place, and print what the page shows."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from tests.docs.page import ROOT, Page, pages
from tests.docs.places import PLACES
from tests.docs.play import difference, play
from tests.harness.guest import guest

ON_THIS_HOST = [page for page in pages() if page.place and page.place != "guest"]
IN_A_GUEST = [page for page in pages() if page.place == "guest"]


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
@pytest.mark.parametrize("page", ON_THIS_HOST, ids=str)
def test_page_shows_the_outputs_of_its_commands(page: Page, tmp_path: Path) -> None:
    with PLACES[page.place](tmp_path) as place:
        for played in play(page, place):
            assert played.expected, difference(page, played)


@pytest.mark.skipif(guest.missing() is not None, reason=str(guest.missing()))
@pytest.mark.parametrize("page", IN_A_GUEST, ids=str)
def test_page_shows_the_outputs_of_its_commands_in_a_guest(page: Page) -> None:
    command = [sys.executable, "-m", "tests.docs.play", page.name]
    with tempfile.TemporaryFile() as output:
        status = guest.run(command, stdout=output, stderr=output, cwd=ROOT, timeout=600)
        output.seek(0)
        assert status == 0, output.read().decode(errors="replace")
