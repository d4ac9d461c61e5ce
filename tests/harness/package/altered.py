"""Packages made from another: a later version, or one whose maintainer script fails."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path


def altered(package: Path, target: Path, *, version: str = "", fails: str = "") -> Path:
    """Write a copy of a package without its Python modules, which dpkg installs within a second.

    It has another version, or its maintainer script ``fails`` (``preinst``, …).
    """
    with tempfile.TemporaryDirectory(prefix="altered-") as name:
        tree = Path(name) / "tree"
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
        shutil.rmtree(tree / "usr/lib/python3")
        control = tree / "DEBIAN/control"
        if version:
            control.write_text(re.sub(r"^Version: .*", f"Version: {version}", control.read_text(), flags=re.MULTILINE))
        if fails:
            script = tree / "DEBIAN" / fails
            script.write_text(script.read_text() + "\necho failing for the test; exit 1\n")
        return packed(tree, target)


def packed(tree: Path, target: Path) -> Path:
    """Write the package of a tree with the directory DEBIAN."""
    command = ("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(target))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return target
