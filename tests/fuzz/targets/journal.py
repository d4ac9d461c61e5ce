"""The journal, which may come from another site with a report."""

from __future__ import annotations

from contextlib import suppress

from pybal.core.policy import step
from pybal.journal.alternative import GLOBAL, NoSuchChangeError, alternative, read_change
from pybal.journal.losses import Losses
from pybal.journal.mask import masked
from pybal.journal.moment import OutsideError, moment, moment_text
from pybal.journal.reader import JournalError, Reader
from pybal.journal.replay import Replay
from pybal.journal.summary import summary_text
from pybal.journal.timeline import Timeline
from pybal.journal.whatif import Comparison, comparison_text
from tests.fuzz.scratch import scratch_file
from tests.fuzz.target import is_line, target
from tests.harness.journal_lines import TIME, JournalLines
from tests.harness.pool_events import down, healthy, listed, moved, off, tried


def _recorded() -> bytes:
    """Return the journal of a pool: a failure, a list, a move."""
    journal, pool = JournalLines(), healthy("ab")
    for event in (down("a"), listed("a", off("b")), moved(a=7), tried("a")):
        before, pool = pool, step(pool, event)
        journal.record("web", event, before, pool)
    return "".join(journal.text).encode()


@target(
    "pybal.client.replay",
    "pybal.journal.alternative",
    "pybal.journal.announcements",
    "pybal.journal.event_text",
    "pybal.journal.losses",
    "pybal.journal.mask",
    "pybal.journal.moment",
    "pybal.journal.reader",
    "pybal.journal.records",
    "pybal.journal.replay",
    "pybal.journal.timeline",
    "pybal.journal.values",
    seeds=[_recorded(), _recorded()[:-40], b'{"journal":2}\n', b'{"journal":1,"n":1}\n[]\n{"event":[]}\n'],
    longest=8192,
)
def journal_records(data: bytes) -> None:
    """A journal is replayed, explained, compared and masked; damaged records are problems."""
    with scratch_file(data) as file:
        replay, losses, reader, whatif = Replay(), Losses(), Reader(file), Comparison(alternative(()))
        with suppress(JournalError):
            for record in reader:
                losses.take(record)
                replay.take(record)
                whatif.take(record)
        whatif.finish()
        assert list(summary_text(replay, losses, reader.problems))
        assert list(comparison_text(whatif))
        with suppress(JournalError, OutsideError):
            assert list(moment_text(moment(Replay(), Reader(file), TIME, "web")))
        with suppress(JournalError):
            events = Timeline(Replay(), ("web",))
            assert all(line.time and line.json() for record in Reader(file) for line in events.take(record))
        with suppress(JournalError):
            other_names = Replay()
            for record in masked(Reader(file)):
                other_names.take(record)


@target("pybal.journal.alternative", seeds=[b"web.depool-threshold=0.7", b"global.suspect-self=no", b"web.x=\x1b"])
def journal_change(data: bytes) -> None:
    """A change of a setting names a section and an option, or is refused in a line."""
    try:
        change = read_change(data.decode("utf-8", "replace"))
        alternative((change,))
    except NoSuchChangeError as error:
        is_line(str(error), 4096)
        return
    assert change.section in {GLOBAL, change.section.strip()}
