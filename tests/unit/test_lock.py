"""The lock files pin what pyproject.toml requires and no more, with hashes, without an index."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release import lock, project

LOCKS = lock.locks()


def lines(name: str) -> list[str]:
    """Return the logical lines of a lock file, without comments."""
    text = (lock.FOLDER / f"{name}.txt").read_text().replace("\\\n", "")
    return [line for line in text.splitlines() if not line.startswith("#")]


def pins(name: str) -> Mapping[str, str]:
    """Return the versions that this Python installs, by the name of the package."""
    found = (Requirement(line.partition(" --hash")[0]) for line in lines(name))
    return {canonicalize_name(each.name): str(each.specifier)[2:] for each in found if applies(each)}


def applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def needed(requirement: Requirement) -> Iterator[str]:
    """Yield the package of a requirement and all that it needs, as the installed packages declare it."""
    yield canonicalize_name(requirement.name)
    for text in metadata.requires(requirement.name) or ():
        each = Requirement(text)
        if any(applies(each, extra) for extra in ("", *requirement.extras)):
            yield from needed(each)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_pins_a_version_that_the_project_allows(name: str) -> None:
    pinned = pins(name)
    required = map(Requirement, LOCKS[name])
    refused = [str(each) for each in required if pinned[canonicalize_name(each.name)] not in each.specifier]
    assert refused == [], "make lock"


@pytest.mark.pinned
@pytest.mark.parametrize("name", ["runtime", "development"])
def test_lock_has_the_packages_that_are_needed_and_no_other(name: str) -> None:
    assert pins(name).keys() == {each for text in LOCKS[name] for each in needed(Requirement(text))}, "make lock"


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_a_hash_for_each_package_and_no_index(name: str) -> None:
    form = re.compile(r"[\w.-]+==\S+ (?:; .*? )?(?: *--hash=sha256:[0-9a-f]{64})+ *")
    assert [line for line in lines(name) if not form.fullmatch(line)] == []


def test_runtime_and_development_install_the_same_versions() -> None:
    development = pins("development")
    assert {name: development[name] for name in pins("runtime")} == pins("runtime")


def test_lock_is_tested_with_each_python_of_the_classifiers() -> None:
    upper = f"sys.version_info < (3, {int(project.pythons()[-1].partition('.')[2]) + 1})"
    assert upper in (project.REPOSITORY / "tests/install").read_text()
