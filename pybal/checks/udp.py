"""The UDP check: an empty datagram, which no ICMP error answers.

Silence is no answer; so it passes when its time is up, and whatever the server says is read and thrown away.
"""

from __future__ import annotations

import math

from pybal.checks.datagram import DatagramCheck
from pybal.checks.result import Phase


class UDPCheck(DatagramCheck):
    """A check of one server. An error that comes after it passed is told as a failure of its own."""

    __slots__ = ()

    def expire(self) -> None:
        self._engine.unheard += 1
        self._passed()

    def _datagram(self) -> bytes:
        return b""

    def _heard(self, data: bytes) -> bool:
        del data
        return False

    def _refused(self, error: OSError) -> None:
        self._lost = math.inf  # an error is a fact, however late it is seen
        self._errored(error)

    @property
    def _phase(self) -> Phase:
        return Phase.ICMP
