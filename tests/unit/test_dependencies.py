"""pyproject.toml declares each package that the code imports, and no other."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
RUN = {"exabgp"}
"""Packages that are run as programs."""
WITHOUT_FILES = {"_typeshed"}
"""Modules that exist for type checkers only."""
ELSEWHERE = {"atheris": "atheris", "cyclonedx": "cyclonedx-python-lib"}
"""Packages of modules that make setup does not install: of the extras fuzz and release."""
OURS = {"pybal", "tests", "bench", "release"}


def name(requirement: str) -> str:
    """Return the normalised name of the package in a requirement."""
    return re.sub("[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


def imported(*folders: str) -> AbstractSet[str]:
    """Return the packages that provide the imported modules."""
    modules = {module for folder in folders for file in (REPOSITORY / folder).rglob("*.py") for module in of(file)}
    assert len(modules) > 5
    return {name(package(module)) for module in modules}


def of(file: Path) -> Iterator[str]:
    """Yield the foreign modules that a file imports."""
    for node in statements(ast.parse(file.read_text()).body):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            modules = [node.module]
        for module in modules:
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in OURS | WITHOUT_FILES:
                yield module


def statements(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Yield the statements of a body and of their blocks, not the expressions: most of a tree."""
    for node in body:
        yield node
        for blocks in ("body", "handlers", "orelse", "finalbody", "cases"):
            yield from statements(getattr(node, blocks, ()))


@cache
def providers() -> Mapping[str, Sequence[str]]:
    """Return the packages that provide each top module."""
    return metadata.packages_distributions()


@cache
def package(module: str) -> str:
    """Return the package that provides a module: of several with one top, the one with its file."""
    top = module.partition(".")[0]
    if top in ELSEWHERE:
        return ELSEWHERE[top]
    candidates = providers().get(top, [])
    if len(set(candidates)) == 1:
        return candidates[0]
    spec = find_spec(module)
    assert spec is not None, f"{module} is imported and not installed: declare its package, then make setup"
    origin = Path(str(spec.origin))
    (found,) = {each for each in candidates for file in metadata.files(each) or () if file.locate() == origin}
    return found


@pytest.mark.pinned
def test_each_package_that_pybal_imports_is_declared() -> None:
    declared = set(map(name, PROJECT["dependencies"]))
    assert declared - RUN == imported("pybal")
    assert declared > RUN


@pytest.mark.pinned
def test_each_package_that_the_tests_import_is_declared() -> None:
    declared = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    assert imported("tests", "bench", "release") - set(map(name, declared)) == set()


def test_build_dependencies_of_debian_are_installed_for_the_tests() -> None:
    control = (REPOSITORY / "debian/control").read_text()
    declared = re.findall(
        r"[\w.-]+(?= ?[(,\n])", control.partition("Build-Depends:")[2].partition("\nStandards-Version")[0] + "\n"
    )
    installed = re.findall(r"^([\w.-]+):/", (REPOSITORY / "tests/install").read_text(), re.MULTILINE)
    assert len(declared) > 4
    assert set(declared) - {"debhelper-compat"} - set(installed) == set()


def test_oldest_python_is_the_first_classifier() -> None:
    versions = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if "Python ::" in each]
    assert versions == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={versions[0]}"
