"""Mutants of the application of reports: exact replacements in pybal/core/reports.py."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # One server
    Mutant(
        "reports of other monitors are accepted",
        "    if monitor not in server.reports:\n        return server\n    before = server.reports[monitor]\n",
        "    before = server.reports.get(monitor)\n",
    ),
    Mutant(
        "the same report is a change",
        "        if before == report:\n            return server\n",
        "",
        survives="the server is equal, and equal servers are no change",
    ),
    Mutant("another reason begins another state", "        report = report.after(before)\n", ""),
    Mutant(
        "a report clears those of the other monitors",
        "{**server.reports, monitor: report}",
        "{**dict.fromkeys(server.reports), monitor: report}",
    ),
    Mutant("a report removes the other monitors", "{**server.reports, monitor: report}", "{monitor: report}"),
    Mutant("a pending monitor stays pending", "server.pending_monitors - {monitor} if", "server.pending_monitors if"),
    Mutant("a suspect failure outlives the failure", "f[0] != monitor or f == failing)", "True)"),
    Mutant("a suspect failure ends with any report", "f[0] != monitor or f == failing)", "f[0] != monitor)"),
    Mutant("a report ends the suspect failures of other monitors", "f[0] != monitor or f == failing)", "f == failing)"),
    Mutant("disabled servers are pooled", "if not server.eligible:", "if not server.ready:"),
    Mutant("servers without an address are pooled", "if not server.eligible:", "if not server.member.enabled:"),
    Mutant("suspect failures depool", " or server.only_suspect_failures:", ":"),
    Mutant("one suspect failure hides all failures", "or server.only_suspect_failures:", "or server.suspect_failures:"),
    Mutant("unknown servers leave", "if optimistic or server.pooled else", "if optimistic else"),
    Mutant(
        "unknown servers enter",
        "return Placement.POOLED if optimistic or server.pooled else Placement.OUT",
        "return Placement.POOLED",
    ),
    Mutant("initial-state = up is ignored", "if optimistic or server.pooled else", "if server.pooled else"),
    Mutant("servers enter for the floor", "if lacking and server.pooled else", "if lacking else"),
    Mutant("servers never leave", "if lacking and server.pooled else", "if server.pooled else"),
    Mutant(
        "servers always leave",
        "return Placement.FORCED if lacking and server.pooled else Placement.OUT",
        "return Placement.OUT",
    ),
    # The burst
    Mutant(
        "later reports start from the state before the burst",
        "return self._now.get(host) or self._before.get(host)",
        "return self._before.get(host)",
    ),
    Mutant(
        "a server that went down counts as serving",
        "self.serving += new.serving - old.serving",
        "self.serving += max(0, new.serving - old.serving)",
    ),
    Mutant(
        "a server that came up does not count as serving",
        "self.serving += new.serving - old.serving",
        "self.serving += min(0, new.serving - old.serving)",
    ),
    Mutant("servers leave at one below the floor", "self.serving < self._floor)", "self.serving < self._floor - 1)"),
    Mutant("servers stay at the floor", "self.serving < self._floor)", "self.serving <= self._floor)"),
    Mutant("forced servers never leave", "return bool(self._forced) and self.serving >= self._floor", "return False"),
    Mutant(
        "forced servers stay at the floor",
        "return bool(self._forced) and self.serving >= self._floor",
        "return bool(self._forced) and self.serving > self._floor",
    ),
    Mutant("servers forced before the burst stay", "if forced and may_leave else set()", "if False else set()"),
    Mutant(
        "servers forced before the burst are overlooked in a short one",
        "self.serving + reports >= floor",
        "self.serving + reports > floor",
    ),
    Mutant("servers forced within the burst stay", "            self._forced.add(host)\n", "            pass\n"),
    Mutant(
        "servers that are forced no more leave again",
        "            self._forced.discard(host)\n",
        "            pass\n",
        survives="a server is placed by its state, so placing it again changes nothing",
    ),
    Mutant("servers that changed back are other objects", " if server != self._before[host])", ")"),
    # Correlated failures
    Mutant(
        "failures are never correlated",
        "if hold and may_be_correlated(servers, reports):",
        "if False:",
    ),
    Mutant(
        "failures are correlated without suspect-check = hold", "if hold and may_be_correlated", "if may_be_correlated"
    ),
    Mutant(
        "failures that become correlated within the burst are overlooked",
        "may_be_correlated(servers, reports)",
        "may_be_correlated(servers)",
    ),
    Mutant(
        "reports of the burst do not count for correlation",
        "            self._failures.update(old, new, monitor)\n",
        "",
    ),
    Mutant("suspect failures replace each other", "server.suspect_failures | {failure}", "frozenset({failure})"),
)
