"""The doctor on a host with problems: it finds each, and its commands fix them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.harness.daemon_process import daemon

CONF = """[global]
ipvs-backend = netlink
control-socket = {directory}/control.sock

[web]
protocol = tcp
ip = 10.2.1.1
port = 80
scheduler = wrr
config = file://{directory}/pool
monitors = []

[web6]
protocol = tcp
ip = fd00:2::1
port = 80
scheduler = sed
config = file://{directory}/pool
monitors = []
"""


def doctor(directory: Path, *arguments: str) -> tuple[int, str]:
    said = [sys.executable, "-m", "pybal.cli", "doctor", "-c", str(directory / "pybal.conf"), *arguments]
    done = subprocess.run(said, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def to_mend(directory: Path) -> dict[str, dict[str, Any]]:
    """Return failures and warnings by subject."""
    status, said = doctor(directory, "--json")
    found = {each["about"]: each for each in json.loads(said)["findings"] if each["grade"] in ("fail", "warn")}
    assert status == (2 if found else 0)
    return found


def test_doctor_finds_and_its_commands_fix_all_findings_in_the_guest(tmp_path: Path) -> None:
    (tmp_path / "pybal.conf").write_text(CONF.format(directory=tmp_path))
    (tmp_path / "pool").write_text("{'host': '10.0.0.11'}\n")
    Path("/proc/sys/net/ipv4/vs/conn_reuse_mode").write_text("0")
    Path("/proc/sys/net/ipv4/vs/sloppy_tcp").write_text("1")
    with daemon(tmp_path) as running:
        running.wait((tmp_path / "control.sock").exists, "the daemon")
        subprocess.run(["prlimit", "--pid", str(running.process.pid), "--nofile=100:100"], check=True)
        found = to_mend(tmp_path)
        assert {about: each["grade"] for about, each in found.items()} == {
            "file descriptors": "fail",
            "VIP 10.2.1.1": "fail",
            "VIP fd00:2::1": "fail",
            "net.ipv4.vs.expire_nodest_conn": "warn",
            "net.ipv4.vs.conn_reuse_mode": "fail",
            "net.ipv4.vs.sloppy_tcp": "warn",
        }
        running.wait_for_log("VIP 10.2.1.1: on no device, wanted on lo or a dummy device")
        for each in found.values():
            command = each["mend"].partition(" (")[0]
            subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)
        assert to_mend(tmp_path) == {}
        status, said = doctor(tmp_path)
        assert said.startswith(f"checked the daemon, process {running.process.pid}\n")
        assert (status, said.splitlines()[-1].startswith("0 fail, 0 warn, ")) == (0, True)


def test_loadable_scheduler_is_no_finding_and_doctor_runs_without_a_daemon(
    tmp_path: Path,
) -> None:
    (tmp_path / "pybal.conf").write_text(CONF.format(directory=tmp_path).replace("sed", "mh"))
    subprocess.run(["modprobe", "-r", "ip_vs_mh"], check=True)
    status, said = doctor(tmp_path)
    assert status == 2
    assert "ok       module ip_vs_mh: not loaded; the kernel loads it on first use\n" in said
    assert "checked this process instead of a daemon: no daemon listens at" in said
