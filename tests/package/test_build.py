"""The package as it is built: clean, reproducible, complete."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.harness.package import deb
from tests.harness.package.machine import Machine

# lintian of Debian 13 has dropped this tag and refuses an override of it: both releases boot with systemd, and an init
# script would lack the watchdog and the hardening of the unit. The second one: the standards are those of Debian 13.
ACCEPTED = "package-supports-alternative-init-but-no-init.d-script,newer-standards-version"
REMARK = re.compile(r"^[EWIP]: .*", re.MULTILINE)


def test_lintian_has_no_remark_on_package_and_source(builder: Machine, suite: str) -> None:
    files = [f"/tmp/results/{file.name}" for file in builder.path("/tmp/results").iterdir()]
    checked = sorted(file for file in files if file.endswith((".dsc", ".deb")))
    options = ["--allow-root", "--pedantic", "--display-info"]
    if suite == "bookworm":
        options += ["--suppress-tags", ACCEPTED]
    output = builder.attempt("lintian", *options, *checked).stdout
    assert len(checked) == 2
    assert REMARK.findall(output) == []


def test_lintian_finds_a_remark_when_there_is_one(builder: Machine) -> None:
    (control,) = builder.path("/tmp/results").glob("*.dsc")
    control.write_text(control.read_text().replace("Standards-Version: ", "Standards-Version: 3.0.0\nX-Was: "))
    output = builder.attempt("lintian", "--allow-root", "--pedantic", f"/tmp/results/{control.name}").stdout
    assert REMARK.findall(output)


def test_second_build_gives_equal_bytes(builder: Machine, package: Path, tmp_path: Path) -> None:
    deb.export(tmp_path / "source")
    other = {"UMASK": "077", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "HOME": "/tmp", "PYTHONHASHSEED": "7"}
    deb.build(builder, tmp_path / "source", tmp_path / "again", parent="/home/another/place", kind="binary", env=other)
    again = tmp_path / "again" / package.name
    assert again.read_bytes() == package.read_bytes()


def test_package_depends_on_what_it_runs(package: Path) -> None:
    depends = {field.split()[0] for field in shown(package, "Depends").split(", ")}
    assert {"kmod", "python3-exabgp", "python3-twisted", "python3-etcd"} < depends
    assert "exabgp" not in depends


def test_configuration_is_no_conffile(package: Path) -> None:
    command = ("dpkg-deb", "--info", str(package), "conffiles")
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert listed.split() == ["/etc/apparmor.d/pybal"]


def test_rsyslog_and_logrotate_accept_the_examples(builder: Machine) -> None:
    builder.run("dpkg", "--unpack", "--force-depends", *package_in(builder))
    examples = "/usr/share/doc/pybal/examples/rsyslog"
    builder.run("rsyslogd", "-N1", "-f", f"{examples}/pybal.conf")
    builder.run("logrotate", "--debug", f"{examples}/logrotate")


def shown(package: Path, field: str) -> str:
    return subprocess.run(["dpkg-deb", "--field", package, field], capture_output=True, text=True, check=True).stdout


def package_in(machine: Machine) -> list[str]:
    return [f"/tmp/results/{file.name}" for file in machine.path("/tmp/results").glob("*.deb")]
