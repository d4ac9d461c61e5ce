"""The lists of mutants fit the modules that they break."""

from __future__ import annotations

import pytest

from tests.mutants.run import ROOT, TARGETS, Target


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.path.stem)
def test_every_mutant_matches_its_module_exactly_once(target: Target) -> None:
    source = (ROOT / target.path).read_text()

    assert [mutant.name for mutant in target.mutants if source.count(mutant.old) != 1] == []
