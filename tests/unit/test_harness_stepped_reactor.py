"""The stepped reactor of the harness."""

from __future__ import annotations

from tests.harness.stepped_reactor import SteppedReactor


def test_advance_awaits_a_response_that_is_pending_at_its_end() -> None:
    """A request sent in the last step lost its response to the next fault of the test, and timed out."""
    pending: list[int] = []
    reactor = SteppedReactor(lambda: bool(pending) and pending.pop() > 0)
    try:
        reactor.callLater(1.0, pending.extend, range(3))
        reactor.advance(1.0)
        assert pending == []
    finally:
        reactor.close()
