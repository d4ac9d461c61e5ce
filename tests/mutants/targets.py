"""The modules with mutants, and the suites that must detect them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants import (
    adj_rib_out,
    changes,
    controller,
    correlated,
    counted,
    goal,
    journal,
    moves,
    policy,
    reconciler,
    reload,
    reports,
    safety,
    verdict,
    writer,
)
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Target:
    """A module, its mutants, and patterns of the files of its suites; those that detect most run first."""

    path: Path
    mutants: Sequence[Mutant]
    suites: Mapping[str, Sequence[str]]

    @property
    def stale(self) -> Sequence[str]:
        """The names of the mutants that do not apply to the module, or in several places."""
        source = (ROOT / self.path).read_text()
        return [mutant.name for mutant in self.mutants if source.count(mutant.old) != 1]


CORE = ("policy", "changes", "moves", "reports", "correlated", "counted", "model")


def core_target(name: str, mutants: Sequence[Mutant]) -> Target:
    """Return a module of the policy, whose suites are those of the whole policy."""
    first = (name, *(each for each in CORE if each != name))
    return Target(
        Path(f"pybal/core/{name}.py"),
        mutants,
        {
            "unit": [f"tests/unit/test_core_{each}*.py" for each in first],
            "property": ("tests/property/test_*policy*.py", "tests/property/test_core_*.py"),
        },
    )


RECONCILER_SUITES = {
    "unit": [f"tests/unit/test_ipvs_{each}.py" for each in ("reconciler", "retire", "slices", "audit")],
    "property": ("tests/property/test_ipvs_amend.py", "tests/property/test_ipvs_ownership.py"),
}
TARGETS = (
    core_target("policy", policy.MUTANTS),
    core_target("changes", changes.MUTANTS),
    core_target("moves", moves.MUTANTS),
    core_target("reports", reports.MUTANTS),
    core_target("correlated", correlated.MUTANTS),
    core_target("counted", counted.MUTANTS),
    core_target("model", counted.MODEL_MUTANTS),
    Target(
        Path("pybal/bgp/verdict.py"),
        verdict.MUTANTS,
        {
            "unit": ("tests/unit/test_bgp_verdict.py",),
            "property": ("tests/property/test_bgp_verdict_machine.py",),
        },
    ),
    Target(
        Path("pybal/bgp/adj_rib_out.py"),
        adj_rib_out.MUTANTS,
        {
            "unit": ("tests/unit/test_bgp_adj_rib_out.py",),
            "property": ("tests/property/test_bgp_adj_rib_out.py",),
        },
    ),
    Target(
        Path("pybal/sources/safety.py"),
        safety.MUTANTS,
        {"unit": ("tests/unit/test_sources_safety.py", "tests/unit/test_sources_pool_source.py")},
    ),
    Target(Path("pybal/ipvs/reconciler.py"), reconciler.MUTANTS, RECONCILER_SUITES),
    Target(Path("pybal/ipvs/writer.py"), writer.MUTANTS, RECONCILER_SUITES),
    Target(Path("pybal/ipvs/goal.py"), goal.MUTANTS, RECONCILER_SUITES),
    Target(
        Path("pybal/daemon/controller.py"),
        controller.MUTANTS,
        {"unit": ("tests/unit/test_daemon_controller.py",)},
    ),
    Target(
        Path("pybal/reload/plan.py"),
        reload.PLAN_MUTANTS,
        {
            "unit": ("tests/unit/test_reload_plan.py", "tests/unit/test_daemon_reloader.py"),
            "property": ("tests/property/test_reload_plan.py",),
        },
    ),
    Target(
        Path("pybal/daemon/reloader.py"),
        reload.RELOADER_MUTANTS,
        {"unit": ("tests/unit/test_daemon_reloader.py",)},
    ),
    *(
        Target(
            Path(f"pybal/journal/{name}.py"),
            mutants,
            {
                "unit": ("tests/unit/test_journal_codec.py", "tests/unit/test_journal_recorder.py"),
                "property": ("tests/property/test_journal_*.py",),
            },
        )
        for name, mutants in (
            ("codec", journal.CODEC_MUTANTS),
            ("values", journal.VALUES_MUTANTS),
        )
    ),
    Target(
        Path("pybal/journal/replay.py"),
        journal.REPLAY_MUTANTS,
        {
            "unit": [f"tests/unit/test_{each}.py" for each in ("journal_recorder", "journal_replay", "client_replay")],
            "property": ("tests/property/test_journal_*.py",),
        },
    ),
)
