"""NSD: a name server with a valid zone and a zone without a file."""

from __future__ import annotations

from pathlib import Path

from tests.harness.servers.names import ZONE, known
from tests.harness.servers.process import Server, program

CONFIG = """
server:
    ip-address: 127.0.0.1
    ip-address: ::1
    port: {port}
    server-count: 1
    username: ""
    chroot: ""
    pidfile: ""
    database: ""
    zonesdir: "{directory}"
    logfile: "{directory}/log"
    xfrdfile: "{directory}/xfrd"
    xfrdir: "{directory}"
    zonelistfile: "{directory}/zones"
remote-control:
    control-enable: no
zone:
    name: "test"
    zonefile: "test.zone"
zone:
    name: "broken.example"
    zonefile: "nowhere.zone"
"""


def nsd(directory: Path, port: int) -> Server:
    path = program("nsd", "nsd")
    (directory / "test.zone").write_text(ZONE)
    config = directory / "nsd.conf"
    config.write_text(CONFIG.format(port=port, directory=directory))
    return Server((path, "-d", "-c", str(config)), directory, lambda: known(port))
