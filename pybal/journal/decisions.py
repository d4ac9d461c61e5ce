"""The records of the decisions on announcements: each has what differs from the one before. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from pybal.bgp.announcer import Inputs
from pybal.bgp.verdict import Decided, Memory, Standing, Verdict
from pybal.config.settings import BGPSettings
from pybal.core.model import Address, Pool
from pybal.journal.announcements import AnnouncedService, AnnouncementSettings, Drains, Facts
from pybal.journal.records import Record, decision_record, settings_record


class Decisions:
    """The last recorded decision on the announcements; ``number_of`` returns the number of a pool."""

    def __init__(self, number_of: Callable[[Pool], int]) -> None:
        self._number_of = number_of
        self._source: BGPSettings | None = None
        self._settings: AnnouncementSettings | None = None
        self._services: dict[str, AnnouncedService] = {}
        self._standings: dict[str, Standing] = {}
        self._facts: dict[str, Facts] = {}
        self._drains: Drains = {}
        self._memory = Memory()
        self._verdicts: dict[Address, Verdict] = {}

    def records(self, inputs: Inputs, decided: Decided) -> Iterator[Record]:
        """Yield the record of a decision, after one of the settings if they changed."""
        if self._settings is None or self._configured(inputs):
            services = tuple(map(AnnouncedService.of, inputs.standings))
            self._source, self._services = inputs.settings, {each.name: each for each in services}
            self._settings = AnnouncementSettings(
                replace(inputs.settings, peers=()), services, tuple(inputs.advertised)
            )
            self._standings.clear()
            yield settings_record(self._settings)
        facts = self._changed_facts(inputs.standings)
        drains = None if inputs.drains == self._drains else inputs.drains
        verdicts = [each for each in decided.verdicts if self._verdicts.get(each.vip) != each]
        gone = list(self._verdicts.keys() - {each.vip for each in decided.verdicts})
        self._facts |= facts
        self._drains, self._memory = inputs.drains, decided.memory
        self._verdicts = {each.vip: each for each in decided.verdicts}
        yield decision_record(facts, drains, tuple(inputs.forgotten), verdicts, gone)

    def _configured(self, inputs: Inputs) -> bool:
        """Return whether the settings of the decisions changed. Unchanged services cost little."""
        if inputs.settings is not self._source or len(inputs.standings) != len(self._services):
            return True
        return any(
            self._standings.get(each.name) is not each and self._services.get(each.name) != AnnouncedService.of(each)
            for each in inputs.standings
        )

    def state(self) -> Record | None:
        """Return the record of the whole state, ``None`` before the first decision."""
        if self._settings is None:
            return None
        verdicts = tuple(self._verdicts.values())
        return settings_record(self._settings, dict(self._facts), self._drains, self._memory, verdicts)

    def _changed_facts(self, standings: Iterable[Standing]) -> dict[str, Facts]:
        found: dict[str, Facts] = {}
        for each in standings:
            if self._standings.get(each.name) is not each:
                self._standings[each.name] = each
                facts = Facts(self._number_of(each.pool), each.verified, each.frozen, each.absent)
                if facts != self._facts.get(each.name):
                    found[each.name] = facts
        return found
