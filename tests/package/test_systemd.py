"""The package under a real systemd, 252 of Debian 12 and 257 of Debian 13, as PID 1 of guests.

The tests of a part are in tests/package/in_guest and run in one guest of each release; each of them is a test here.
"""

from __future__ import annotations

import ast
import fcntl
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.harness.guest import systemd_guest
from tests.harness.guest.kernel import GuestError, missing
from tests.harness.package import deb, roots, version_1

IN_GUEST = Path(__file__).resolve().parent / "in_guest"
LONGEST = 1500.0
"""Seconds for one guest, on a machine that runs several."""


@dataclass(frozen=True)
class Part:
    """Tests that share a guest, in this order.

    ``prepare`` runs before systemd starts; with ``orderly`` systemd stops all units at the end.
    """

    name: str
    files: tuple[str, ...]
    prepare: str = ""
    orderly: bool = False

    def claims(self) -> list[str]:
        """Return the names of the tests."""
        trees = [ast.parse((IN_GUEST / file).read_text()) for file in self.files]
        return [
            node.name
            for tree in trees
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]


LIFECYCLE = Part(
    "lifecycle",
    ("test_installed.py", "test_status.py", "test_lifecycle.py", "test_removal.py", "test_from_version_1.py"),
)
UNPRIVILEGED = Part("unprivileged", ("test_unprivileged.py", "test_apparmor.py"))
BOOT = Part("boot", ("test_boot.py",), prepare=f"sh {IN_GUEST}/boot/prepare", orderly=True)
CLAIMS = [(part, claim) for part in (LIFECYCLE, UNPRIVILEGED, BOOT) for claim in part.claims()]

pytestmark = pytest.mark.skipif(
    bool(missing() or roots.missing()), reason=f"no guest of Debian here: {missing() or roots.missing()}"
)


@pytest.fixture(scope="session", params=roots.SUITES)
def release(request: pytest.FixtureRequest) -> str:
    """A release of Debian."""
    return str(request.param)


@pytest.fixture(scope="session")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of all guests of this run, shared by the workers of pytest-xdist."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if own.name.startswith("popen-") else own
    (shared / "systemd").mkdir(exist_ok=True)
    return shared / "systemd"


def guest(place: Path, release: str, part: Part) -> Path:
    """Return the directory of the guest that has run a part; the first caller runs it, the others wait."""
    share = place / f"{release}-{part.name}"
    with (place / f"{share.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not share.exists():
            _run(share, release, part)
    return share


def _run(share: Path, release: str, part: Part) -> None:
    package = deb.package(release)
    root = roots.root(release, "guest")
    share.mkdir()
    shutil.copy(package, share / "pybal.deb")
    _repack(package, share / "newer.deb")
    version_1.package(share / "version-1.deb")
    files = [f"tests/package/in_guest/{file}" for file in part.files]
    options = [
        "-p",
        "no:cacheprovider",
        "--color=no",
        "--verbose",
        "--confcutdir=tests/package/in_guest",
        "--override-ini=junit_family=legacy",
    ]
    command = ["/usr/bin/python3", "-B", "-m", "pytest", *options, "--junitxml=/host/result.xml", *files]
    try:
        systemd_guest.run(command, root=root, share=share, prepare=part.prepare, orderly=part.orderly, timeout=LONGEST)
    except (GuestError, TimeoutError) as error:
        (share / "failed").write_text(f"{error}")


def _repack(package: Path, newer: Path) -> None:
    """Write the package again with a higher version, for an upgrade."""
    content = newer.with_suffix(".content")
    subprocess.run(["dpkg-deb", "--raw-extract", package, content], check=True)
    control = content / "DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+1", control.read_text(), flags=re.MULTILINE))
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", content, newer], check=True, capture_output=True)
    shutil.rmtree(content)


def said(share: Path) -> str:
    """Return the end of what a guest printed."""
    texts = [share / name for name in ("failed", "prepare.log", "output") if (share / name).exists()]
    return "\n".join(text.read_text(errors="replace")[-6000:] for text in texts)


@pytest.mark.parametrize(("part", "claim"), CLAIMS, ids=[claim for _, claim in CLAIMS])
def test_systemd(
    guests: Path, release: str, part: Part, claim: str, record_property: Callable[[str, object], None]
) -> None:
    share = guest(guests, release, part)
    assert (share / "result.xml").exists(), said(share)
    cases = {case.get("name"): case for case in ET.parse(share / "result.xml").iter("testcase")}
    assert claim in cases, said(share)
    for measured in cases[claim].iter("property"):
        record_property(measured.get("name", ""), measured.get("value"))
    problems = [
        f"{each.get('message')}\n{each.text}" for each in cases[claim] if each.tag in {"failure", "error", "skipped"}
    ]
    assert not problems, "\n".join(problems)


def test_shutdown_withdraws_the_vip_while_the_network_works(guests: Path, release: str) -> None:
    share = guest(guests, release, BOOT)
    assert "10.2.1.1/32" in (share / "routes-before-the-end").read_text(), said(share)
    # Written by the unit that takes the network down, before it does.
    routes = (share / "routes-when-the-network-stops").read_text()
    assert "ready" in routes
    assert "10.2.1.1/32" not in routes
