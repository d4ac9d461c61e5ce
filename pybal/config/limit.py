"""Limits on the number of servers: a number, or a share of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from typing_extensions import override

from pybal.config.convert import DECIMAL, WHOLE
from pybal.config.errors import InvalidValueError, shown

_WHOLE_PERCENT = 100
_MOST_SERVERS = 1_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of servers, or a share of them in per cent; one of the two is 0."""

    servers: int = 0
    percent: float = 0.0

    @override
    def __str__(self) -> str:
        return str(self.servers) if self.servers else f"{self.percent:g}%"

    def of(self, total: int) -> int:
        """Return the limit as a number of servers of ``total``, rounded up."""
        return self.servers or ceil(Decimal(str(self.percent)) * total / 100)


def least(text: str) -> Limit | None:
    """Return a number of servers or a share of them in per cent, ``None`` for ``off``."""
    number = text.removesuffix("%").rstrip()
    if text == "off":
        return None
    if text.endswith("%") and DECIMAL.fullmatch(number) and 0 < float(number) <= _WHOLE_PERCENT:
        return Limit(percent=float(number))
    if WHOLE.fullmatch(text) and 0 < int(text) <= _MOST_SERVERS:
        return Limit(int(text))
    raise InvalidValueError(shown(text), "a number of servers of at least 1, a share of at most 100%, or off")
