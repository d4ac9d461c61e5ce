"""Documents that the shipped plugin check_pybal concludes from without a server."""

from __future__ import annotations

from tests.fuzz.targets.status import plugin


def test_stale_source_without_a_problem_is_a_warning() -> None:
    program = plugin()
    result = program.sources({"web": {"age": 1.0, "stale": True}}, program.Limits())
    assert (result.state, result.lines) == (program.WARNING, ["web: the copy on disk is in use"])
