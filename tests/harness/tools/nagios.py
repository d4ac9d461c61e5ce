"""The result of a check of Nagios or Icinga: its exit code and its line."""

from __future__ import annotations

from typing import NamedTuple

OK, WARNING, CRITICAL, UNKNOWN = range(4)


class Verdict(NamedTuple):
    code: int
    line: str
