"""The BGP session of a daemon with BIRD in one network namespace: the options, and BIRD itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.daemon_process import PATIENCE, wait_for

GLOBAL = """\
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
ipvs-backend = memory
bgp = yes
bgp-local-asn = 64600
bgp-peer-asn = 64601
bgp-peer-address = 127.0.0.2
bgp-local-address = 127.0.0.1
bgp-nexthop-ipv4 = 10.9.0.1
bgp-router-id = 10.9.0.1
bgp-multihop = 5
"""
_BIRD = """\
router id 10.9.0.2;
protocol device {{}}
protocol bgp balancer {{
    local 127.0.0.2 as 64601;
    neighbor 127.0.0.1 as 64600;
    multihop;
    passive yes;
    {more}
    {family} {{ import all; export none; }};
}}
"""


class Bird:
    """The router; ``conf`` is its configuration, ``control`` its control socket."""

    def __init__(self, conf: Path, control: Path) -> None:
        self.conf = conf
        self.control = control

    def configure(self, more: str = "", family: str = "ipv4") -> None:
        """Use these further options of its session, and this family only."""
        self.conf.write_text(_BIRD.format(more=more, family=family))
        if self.control.exists():
            subprocess.run(["birdc", "-s", str(self.control), "configure"], check=True, capture_output=True)

    def show(self, *words: str) -> str:
        """Return the output of ``birdc show``."""
        return self.run("show", *words)

    def run(self, *words: str) -> str:
        """Return the output of a command of ``birdc``."""
        command = ["birdc", "-s", str(self.control), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def bird(directory: Path, more: str = "", family: str = "ipv4") -> Iterator[Bird]:
    """Run BIRD in the present namespace; ``more`` are further options of its session, of one ``family``."""
    conf, control = directory / "bird.conf", directory / "bird.ctl"
    router = Bird(conf, control)
    router.configure(more, family)
    process = subprocess.Popen(["bird", "-f", "-c", str(conf), "-s", str(control)])
    try:
        wait_for(control.exists, lambda: "bird")
        yield router
    finally:
        process.terminate()
        process.wait(PATIENCE)
