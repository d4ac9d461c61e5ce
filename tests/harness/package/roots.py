"""Roots of Debian 12 and 13 under build/roots: made once by debootstrap, then read by all tests.

A root is a stack of directories for overlayfs, one for each layer. A layer is made again if its recipe has changed, for
example the dependencies in debian/control. The archive is that of the machine's own apt.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.harness.package.machine import Machine

REPOSITORY = Path(__file__).parents[3]
ROOTS = REPOSITORY / "build/roots"
SUITES = ("bookworm", "trixie")
"""Debian 12 and 13."""

_TOOLS = {"debootstrap": "debootstrap", "unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2"}
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_GUEST = "systemd-sysv, dbus, kmod, iproute2, iputils-ping, ipvsadm, bird2, procps, passwd, libnss-systemd, openssl, python3-pytest"
_BUILD = "lintian, dpkg-dev, rsyslog, logrotate"
_UPDATED = ("", "-updates", "-security")


@dataclass(frozen=True, slots=True)
class Layer:
    """Packages on top of another root: a field of debian/control, and more in its syntax."""

    below: str
    field: str
    more: str


LAYERS: Mapping[str, Layer] = {
    "runtime": Layer("minimal", "Depends", "systemd"),  # which installs the users of sysusers.d
    "tests": Layer("runtime", "", "git, groff-base, openssl, procps, strace"),
    "build": Layer("minimal", "Build-Depends", _BUILD),
    "guest": Layer("runtime", "", f"{_GUEST}, apparmor, apparmor-utils"),
}
"""The roots beside ``minimal``: they run PyBal, build and check the package, boot systemd in a guest."""


def missing() -> str:
    """Return why roots cannot be made or entered here, empty if they can."""
    if os.geteuid() != 0:
        return "roots of Debian need root"
    absent = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool, path=_PATH) is None})
    return f"missing: {', '.join(absent)}; `make packages` installs it" if absent else ""


def root(suite: str, name: str = "runtime") -> tuple[Path, ...]:
    """Return the layers of a root, the uppermost first; make those that do not exist.

    ``name`` is ``minimal`` or a key of LAYERS. Several processes may call this at the same time. Takes a minute at first.

    Raises subprocess.CalledProcessError with the output of the failed program in a note.
    """
    ROOTS.mkdir(parents=True, exist_ok=True)
    with (ROOTS / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _made(suite, name)


def _made(suite: str, name: str) -> tuple[Path, ...]:
    layer = LAYERS.get(name)
    below = _made(suite, layer.below) if layer else ()
    recipe = ", ".join(part for part in (_dependencies(layer.field), layer.more) if part) if layer else _sources(suite)
    stamp = sha256("\n".join([recipe, *(each.name for each in below)]).encode()).hexdigest()[:12]
    place = ROOTS / suite / f"{name}-{stamp}"
    if not place.is_dir():
        for old in place.parent.glob(f"{name}-*"):
            shutil.rmtree(old)
        unfinished = place.with_name(f"{name}-unfinished")
        for old in place.parent.glob(f"{unfinished.name}*"):
            shutil.rmtree(old)
        unfinished.mkdir(parents=True)
        if layer:
            _install(below, unfinished, recipe)
        else:
            _bootstrap(suite, unfinished, recipe)
        unfinished.rename(place)
    return (place, *below)


def _bootstrap(suite: str, place: Path, sources: str) -> None:
    mirror = sources.split()[1]
    _run("debootstrap", "--variant=minbase", suite, str(place), mirror)
    (place / "etc/apt/sources.list").write_text(sources)
    settings = place / "etc/apt/apt.conf.d"
    (settings / "01machine").write_text(_run("apt-config", "dump", "Acquire"))
    (settings / "02small").write_text(
        'APT::Install-Recommends "no";\nAcquire::Languages "none";\nAcquire::GzipIndexes "true";\n'
    )
    (place / "etc/dpkg/dpkg.cfg.d/fast").write_text("force-unsafe-io\n")
    with Machine((place,), written=place, network=True) as machine:
        machine.run("apt-get", "update")
        machine.run("apt-get", "upgrade", "--yes")
        machine.run("apt-get", "clean")


def _install(below: tuple[Path, ...], place: Path, packages: str) -> None:
    with Machine(below, written=place, network=True) as machine, _no_service_starts(machine):
        machine.run("apt-get", "satisfy", "--yes", packages)
        machine.run("apt-get", "clean")


@contextmanager
def _no_service_starts(machine: Machine) -> Iterator[None]:
    policy = machine.path("/usr/sbin/policy-rc.d")
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    yield
    policy.unlink()


def _dependencies(field: str) -> str:
    """Return the packages of a field of debian/control, without those that the build computes."""
    if not field:
        return ""
    text = (REPOSITORY / "debian/control").read_text()
    found = re.search(rf"^{field}:((?:.|\n[ \t])*)", text, re.MULTILINE)
    assert found, field
    named = (" ".join(part.split()) for part in found.group(1).split(","))
    return ", ".join(part for part in named if part and "${" not in part)


def _sources(suite: str) -> str:
    """Return the sources.list of a release, from the sources of this machine."""
    targets = _run("apt-get", "indextargets", "Created-By: Packages", "--format", "$(RELEASE) $(REPO_URI)")
    places = dict(line.split() for line in targets.splitlines())
    own = _codename()
    found = [(suffix, places[own + suffix]) for suffix in _UPDATED if own + suffix in places]
    assert found, f"apt has no source of {own}"
    return "".join(f"deb {place} {suite}{suffix} main\n" for suffix, place in found)


def _codename() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)["VERSION_CODENAME"].strip('"')


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=900).stdout
    except subprocess.CalledProcessError as error:
        error.add_note(error.stdout[-3000:] + error.stderr[-3000:])
        raise
