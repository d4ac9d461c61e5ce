"""The whole daemon in virtual time: random days, and hours of a large site."""

from __future__ import annotations

from collections.abc import Callable

from tests.virtual.run import SEED, run
from tests.virtual.soak import Soak

SERVICES, SERVERS = 20, 60
"""A tenth of the largest supported site: python -m bench.soak virtual runs all of it."""
SERVER_SECONDS = 1.02e7
GROWTH = 0.02
"""Growth of memory and objects in the second half, as a share."""
MOST_GARBAGE = 40
"""Objects that ten minutes may leave until an examination of the whole heap."""


def test_virtual_days_break_no_invariant(record_property: Callable[[str, object], None]) -> None:
    record_property("simulated", run(SEED))


def test_hours_of_a_large_site_leave_resources_flat(record_property: Callable[[str, object], None]) -> None:
    soak = Soak(SEED, SERVICES, SERVERS)
    samples = list(soak.run(SERVER_SECONDS / soak.servers))
    later = samples[len(samples) // 2 :]
    first, last = later[0], later[-1]
    cost = last.cpu - samples[0].cpu
    record_property(
        "simulated",
        f"seed {SEED}: {soak.server_seconds:.3g} server-seconds, {soak.servers} servers for {last.now / 3600:.1f} h, "
        f"{cost:.0f} s of CPU; memory {first.memory:.0f} to {last.memory:.0f} MB",
    )
    assert soak.server_seconds >= 1e7
    assert max(each.garbage for each in later) < MOST_GARBAGE, samples
    assert last.objects < first.objects * (1 + GROWTH), samples
    assert last.memory < first.memory * (1 + GROWTH) + 2.0, samples
    assert len({each.descriptors for each in later}) == 1, samples
    assert len({each.threads for each in later}) == 1, samples
