"""The files of a release: ``make dist`` writes wheel, source, Debian package, SBOM and checksums into build/dist.

Times in the files are SOURCE_DATE_EPOCH, by default the date of debian/changelog.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path

from pybal import __version__
from release import project
from tests.harness.package import deb

PLACE = project.REPOSITORY / "build/dist"
CHECKSUMS = "SHA256SUMS"
_SDIST = f"pybal-{__version__}"


def epoch() -> int:
    """Return the time of the release in seconds since 1970."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    trailer = next(line for line in (project.REPOSITORY / "debian/changelog").open() if line.startswith(" -- "))
    return int(parsedate_to_datetime(trailer.partition(">  ")[2]).timestamp())


def python_files(source: Path, place: Path, seconds: int) -> None:
    """Build the source distribution of an exported tree, and the wheel from it. Raises CalledProcessError."""
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place), str(source))
    _run(command, env={"SOURCE_DATE_EPOCH": str(seconds), "PYTHONDONTWRITEBYTECODE": "1"})
    normalise(place / f"{_SDIST}.tar.gz", seconds)


def normalise(archive: Path, seconds: int) -> None:
    """Pack a ``.tar.gz`` again: in the order of names, with one time, owner and set of modes."""
    packed = io.BytesIO()
    with (
        tarfile.open(archive) as before,
        gzip.GzipFile("", "wb", fileobj=packed, mtime=seconds) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as after,
    ):
        for member in sorted(before.getmembers(), key=lambda each: each.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = seconds, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            after.addfile(member, before.extractfile(member) if member.isreg() else None)
    archive.write_bytes(packed.getvalue())


def debian_package(place: Path, seconds: int) -> str:
    """Build the Debian package; return why it cannot be built here, empty if it was."""
    if why := deb.missing():
        return f"no Debian package: {why}; install the packages as root: make packages"
    with tempfile.TemporaryDirectory(prefix="deb-") as folder:
        built = Path(folder) / "built"
        _run((sys.executable, "-m", "tests.harness.package.deb", str(built)), env={"SOURCE_DATE_EPOCH": str(seconds)})
        for file in built.glob("pybal_*"):
            shutil.copy(file, place)
    return ""


def sbom(file: Path) -> None:
    """Write the SBOM of a PyBal with the packages of requirements/runtime.txt, in CycloneDX JSON.

    Raises CalledProcessError. See :func:`invalid`.
    """
    with tempfile.TemporaryDirectory(prefix="sbom-") as folder:
        _run((sys.executable, "-m", "venv", "--without-pip", folder))
        python = f"{folder}/bin/python"
        pip = (sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check")
        install = (*pip, "install", "--require-hashes", "--no-deps")
        _run((*install, "--requirement", "requirements/build.txt"))
        _run((*install, "--no-build-isolation", "--requirement", "requirements/runtime.txt"))
        _run((*pip, "uninstall", "--yes", "setuptools"))
        command = ("environment", "--pyproject", "pyproject.toml", "--output-reproducible", "--mc-type", "application")
        _run((sys.executable, "-m", "cyclonedx_py", *command, "--output-file", str(file), python))
    document = json.loads(file.read_text())
    document["metadata"]["component"]["version"] = __version__
    document["metadata"]["component"]["purl"] = f"pkg:pypi/pybal@{__version__}"
    file.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def invalid(sbom: Path) -> str:
    """Return why a file is no valid CycloneDX document, empty if it is valid."""
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415  # in the environment of releases only
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    text = sbom.read_text()
    error = JsonStrictValidator(SchemaVersion.from_version(json.loads(text)["specVersion"])).validate_str(text)
    return str(error or "")


def checksums(place: Path) -> None:
    """Write the SHA-256 of each file, in the format of ``sha256sum --check``."""
    files = sorted(file for file in place.iterdir() if file.name != CHECKSUMS)
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (place / CHECKSUMS).write_text("".join(lines))


def main() -> int:
    """Make the files of a release, in an argument or in build/dist; return the exit code."""
    place = Path(sys.argv[1]) if sys.argv[1:] else PLACE
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    seconds = epoch()
    with tempfile.TemporaryDirectory(prefix="dist-") as folder:
        source = Path(folder) / _SDIST
        deb.export(source)
        python_files(source, place, seconds)
    why = debian_package(place, seconds)
    bill = place / f"{_SDIST}.cdx.json"
    sbom(bill)
    problem = invalid(bill)
    checksums(place)
    print((place / CHECKSUMS).read_text(), end="")
    for line in filter(None, (why, problem and f"invalid SBOM: {problem}")):
        print(line, file=sys.stderr)
    return 1 if why or problem else 0


def _run(command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    subprocess.run(command, cwd=project.REPOSITORY, env={**os.environ, **(env or {})}, check=True, timeout=900)


if __name__ == "__main__":
    sys.exit(main())
