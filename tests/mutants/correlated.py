"""Mutants of correlated failures: exact replacements in pybal/core/correlated.py."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "disabled servers may correlate a pool",
        "lambda server: server.eligible and server.health is Health.DOWN",
        "lambda server: server.health is Health.DOWN",
        survives="the search that follows counts exactly",
    ),
    Mutant(
        "servers with pending monitors hide failures",
        "server.health is Health.UP and not server.pending)",
        "server.health is Health.UP)",
    ),
    Mutant(
        "correlation needs more failures than passes",
        "down + reports >= max(MIN_SERVERS, up - reports)",
        "down + reports > max(MIN_SERVERS, up - reports)",
    ),
    Mutant("later failures are not awaited", "down + reports >= max", "down >= max"),
    Mutant(
        "servers that fail in the same batch still pass",
        "up - reports)",
        "up)",
    ),
    Mutant("a former report is not removed", "        self._remove(old, monitor, old.reports[monitor])\n", ""),
    Mutant("a new report is not added", "        self._add(new, monitor, new.reports[monitor])\n", ""),
    Mutant(
        "failures of disabled servers count",
        "if report is None or not server.eligible:\n            return\n        if report.up:\n            self._up[monitor] += 1",
        "if report is None:\n            return\n        if report.up:\n            self._up[monitor] += 1",
    ),
    Mutant("passes are not subtracted", "self._up[monitor] -= 1", "pass"),
    Mutant(
        "suspect failures count as new",
        "suspect = (monitor, report.cause) in server.suspect_failures",
        "suspect = False",
        survives="attributing a failure twice changes nothing",
    ),
    Mutant("failures out of order are appended", "if self._failures and failure < self._failures[-1]:", "if False:"),
    Mutant(
        "the search goes on after an insertion",
        "            insort(self._failures, failure)\n            self._search_again()",
        "            insort(self._failures, failure)",
    ),
    Mutant(
        "the search goes on after a removal",
        "        del self._failures[bisect_left(self._failures, failure)]\n        self._search_again()",
        "        del self._failures[bisect_left(self._failures, failure)]",
    ),
    Mutant("a failure that ended is attributed", "        self._unsuspected.pop(failure.host, None)\n", ""),
    Mutant(
        "two failures are correlated",
        "return self._failures[first:last] if last - first >= max(MIN_SERVERS, up)",
        "return self._failures[first:last] if last - first >= max(2, up)",
    ),
    Mutant(
        "fewer failures than passes are correlated",
        "return self._failures[first:last] if last - first >= max(MIN_SERVERS, up)",
        "return self._failures[first:last] if last - first >= max(MIN_SERVERS, up - 1)",
    ),
    Mutant(
        "two failures are attributed",
        "        if last - first < max(MIN_SERVERS, up):",
        "        if last - first < max(2, up):",
    ),
    Mutant(
        "few failures are attributed",
        "        if last - first < max(MIN_SERVERS, up):",
        "        if last - first < MIN_SERVERS:",
    ),
    Mutant("failures outside the run are attributed", "if begin <= failure <= end]", "]"),
    Mutant("the first failure is not attributed", "if begin <= failure <= end]", "if begin < failure <= end]"),
    Mutant("the last failure is not attributed", "if begin <= failure <= end]", "if begin <= failure < end]"),
    Mutant(
        "the window is open",
        "while failures[self._start].at < oldest:",
        "while failures[self._start].at <= oldest and self._start < end - 1:",
    ),
    Mutant(
        "the last of the largest runs counts",
        "if end - self._start > self._last - self._first:",
        "if end - self._start >= self._last - self._first:",
    ),
)
