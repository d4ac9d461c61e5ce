"""The table of all targets."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from tests.fuzz.target import Target

_FOLDER = Path(__file__).parent / "targets"


def all_targets() -> Mapping[str, Target]:
    """Return the targets by name, in the order of their modules."""
    modules = [import_module(f"tests.fuzz.targets.{file.stem}") for file in sorted(_FOLDER.glob("*.py"))]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Target)]
    table = {each.name: each for each in found}
    assert len(table) == len(found), "two targets of one name"
    return table


def one_target(name: str) -> Target:
    """Return one target; import its module only, because the fuzzer takes seconds to instrument all."""
    file = next(file for file in sorted(_FOLDER.glob("*.py")) if f"\ndef {name}(" in file.read_text())
    found: Target = getattr(import_module(f"tests.fuzz.targets.{file.stem}"), name)
    return found
