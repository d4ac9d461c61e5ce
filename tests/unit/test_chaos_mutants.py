"""The mutants of the whole system fit today's code and its table in README.md."""

from __future__ import annotations

import pytest

from tests.chaos.mutants import DEFECTS, ROOT, Defect
from tests.chaos.one_daemon.faults import FAULTS as CHANGES
from tests.chaos.whole_system.system import FAULTS


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: f"{defect.system}: {defect.mutant.name}")
def test_every_mutant_matches_its_module_exactly_once(defect: Defect) -> None:
    assert defect.matches() == 1


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: f"{defect.system}: {defect.mutant.name}")
def test_every_mutant_leaves_a_valid_module(defect: Defect) -> None:
    source = (ROOT / defect.path).read_text().replace(defect.mutant.old, defect.mutant.new)

    compile(source, defect.path, "exec")


def test_every_mutant_names_a_kind_of_fault() -> None:
    kinds = {kind.__name__ for kind in FAULTS} | {change.__name__ for change in CHANGES}

    assert {defect.fault for defect in DEFECTS} <= kinds


def test_readme_lists_exactly_the_mutants() -> None:
    lines = (ROOT / "tests/chaos/README.md").read_text().splitlines()

    listed = [line for line in lines if line.startswith("| ") and "(`pybal/" in line]

    assert listed == [defect.line for defect in DEFECTS]
