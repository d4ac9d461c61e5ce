"""dnsmasq: a forwarder with local names and without upstream servers."""

from __future__ import annotations

from pathlib import Path

from tests.harness.servers.names import RECORDS, known
from tests.harness.servers.process import Server, program

CONFIG = """
port={port}
listen-address=127.0.0.1
listen-address=::1
bind-interfaces
no-resolv
no-hosts
pid-file
user=root
local=/test/
"""


def dnsmasq(directory: Path, port: int) -> Server:
    path = program("dnsmasq", "dnsmasq-base")
    config = directory / "dnsmasq.conf"
    records = "".join(f"host-record={name}.test,{value}\n" for name, _, value in RECORDS)
    config.write_text(CONFIG.format(port=port) + records)
    return Server((path, "--keep-in-foreground", f"--conf-file={config}"), directory, lambda: known(port))
