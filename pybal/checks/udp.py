"""The UDP check: an empty datagram that must not cause an ICMP error.

It passes when its time ends without an error; responses are read and discarded.
"""

from __future__ import annotations

import math

from typing_extensions import override

from pybal.checks.datagram import DatagramCheck
from pybal.checks.result import Phase


class UDPCheck(DatagramCheck):
    """A check of one server. An error after it passed is reported as a separate failure."""

    __slots__ = ()

    @override
    def expire(self) -> None:
        self._engine.unanswered += 1
        self._passed()

    @override
    def _datagram(self) -> bytes:
        return b""

    @override
    def _received_datagram(self, data: bytes) -> bool:
        del data
        return False

    @override
    def _refused(self, error: OSError) -> None:
        self._lost = math.inf  # an error is conclusive, however late it is read
        self._errored(error)

    @override
    @property
    def _phase(self) -> Phase:
        return Phase.ICMP
