"""The doctor on a kernel without IPVS, in its own guest; the other guests load IPVS at boot."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from pathlib import Path

import pytest

from tests.harness.guest import guest

CONF = """[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
config = file:///pools/web
"""
MEND = "modprobe ip_vs && echo ip_vs >> /etc/modules-load.d/pybal.conf"


@pytest.mark.skipif(guest.missing() is not None, reason=f"no guest: {guest.missing()}")
def test_doctor_reports_missing_ipvs_until_its_command_is_run(tmp_path: Path) -> None:
    (tmp_path / "pybal.conf").write_text(CONF)
    look = f"{shlex.quote(sys.executable)} -B -m pybal.cli doctor -c {shlex.quote(str(tmp_path))}/pybal.conf"
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        status = guest.run(
            ["sh", "-c", f"ip address add 192.0.2.1/32 dev lo; {look}; {MEND} && {look}"],
            stdout=output,
            stderr=errors,
            cwd=Path(__file__).resolve().parents[2],
            modules=(),
        )
        output.seek(0)
        errors.seek(0)
        text = output.read().decode()
        assert errors.read() == b""
    before, after = text.split("checked this process")[1:]
    assert (
        f"fail     module ip_vs: not loaded, wanted loaded\n         why: without it the kernel has no IPVS\n         fix: {MEND}\n"
        in before
    )
    assert "ok       module ip_vs: loaded\n" in after
    assert re.search(r"^0 fail, ", after, re.MULTILINE)
    assert status == 2
