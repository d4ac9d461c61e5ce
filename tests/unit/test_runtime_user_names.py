"""Names of users, with a name service that the test holds."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from pybal.runtime.user_names import FRESH, PATIENCE, SLOW, UserNames
from tests.harness.fake_workers import FakeWorkers


class NamesOnClock:
    def __init__(self) -> None:
        self.clock = Clock()
        self.threads = FakeWorkers()
        self.names = UserNames(self.threads, self.clock, {1000: "alice"}.__getitem__)

    def name(self, user: int) -> list[str]:
        found: list[str] = []
        self.names.name(user).addCallback(found.append)
        return found

    @property
    def alerts(self) -> list[str]:
        return [alert.text for alert in self.names.alerts()]


@pytest.fixture
def service() -> NamesOnClock:
    return NamesOnClock()


def test_name_is_looked_up_once_while_it_is_fresh(service: NamesOnClock) -> None:
    assert service.name(1000) == service.name(1000) == ["alice"]
    assert service.threads.calls == 1
    service.clock.advance(FRESH)
    service.name(1000)
    assert service.threads.calls == 2


def test_user_without_a_name_is_its_number(service: NamesOnClock) -> None:
    assert service.name(7) == ["7"]


def test_number_is_used_while_the_name_service_hangs(service: NamesOnClock) -> None:
    service.threads.hold = True
    found = service.name(1000)
    assert found == []
    service.clock.advance(PATIENCE)
    assert found == ["1000"]
    assert service.name(1000) == ["1000"]
    assert service.threads.calls == 1


def test_name_service_that_hangs_is_an_alert_until_it_responds(service: NamesOnClock) -> None:
    service.threads.hold = True
    service.name(1000)
    service.clock.advance(SLOW + 1)
    assert service.alerts == ["no response from the name service for 6 s (user 1000); using numbers"]
    service.threads.release()
    assert service.alerts == []
    assert service.name(1000) == ["alice"]
