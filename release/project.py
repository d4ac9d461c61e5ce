"""What pyproject.toml declares."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
_SELF = "pybal["


def build_requirements() -> Sequence[str]:
    """Return the requirements of the build."""
    return tuple(_pyproject()["build-system"]["requires"])


def requirements(*extras: str) -> Sequence[str]:
    """Return the requirements of PyBal at run time and of its extras."""
    return (*_pyproject()["project"]["dependencies"], *extra_requirements(*extras))


def extra_requirements(*extras: str) -> Sequence[str]:
    """Return the requirements of extras only; an extra may name another one as ``pybal[OTHER]``."""
    found: list[str] = []
    for extra in extras:
        for each in _pyproject()["project"]["optional-dependencies"][extra]:
            others = each.removeprefix(_SELF).removesuffix("]").split(",") if each.startswith(_SELF) else None
            found += extra_requirements(*others) if others else [each]
    return tuple(found)


def pythons() -> Sequence[str]:
    """Return the supported versions of Python, such as ``3.11``: those of the classifiers."""
    classifiers = _pyproject()["project"]["classifiers"]
    return tuple(
        each.rpartition(" ")[2] for each in classifiers if each.startswith("Programming Language :: Python ::")
    )


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
