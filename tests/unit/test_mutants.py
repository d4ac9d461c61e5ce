"""The lists of mutants fit the modules that they break."""

from __future__ import annotations

import pytest

from tests.mutants.targets import ROOT, TARGETS, Target

of_each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.path.stem)


@of_each_target
def test_every_mutant_matches_its_module_exactly_once(target: Target) -> None:
    assert target.stale == []


@of_each_target
def test_every_mutant_has_its_own_name(target: Target) -> None:
    names = [mutant.name for mutant in target.mutants]

    assert sorted(set(names)) == sorted(names)


@of_each_target
def test_every_suite_exists(target: Target) -> None:
    assert [name for name, files in target.suites.items() if not any(any(ROOT.glob(each)) for each in files)] == []
