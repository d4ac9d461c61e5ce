"""Replay all incidents in two guests, one for each core of a machine of CI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.page import pages
from tests.harness.guest import guest
from tests.harness.guest.suite import pass_in_a_guest
from tests.incidents.run import replays

GUESTS = 2


@pytest.mark.skipif(guest.missing() is not None, reason=f"no user-mode Linux: {guest.missing()}")
@pytest.mark.parametrize("number", range(GUESTS))
def test_replays_pass_in_the_guest_without_skips(number: int, record_property: Callable[[str, object], None]) -> None:
    pass_in_a_guest(["--capture=no", *replays()[number::GUESTS]], record_property)


def test_every_page_of_an_incident_has_a_replay_of_its_name() -> None:
    told = {Path(page.name).stem for page in pages() if page.place == "incident"}
    assert told == {Path(file).stem.removeprefix("test_").replace("_", "-") for file in replays()}
