"""unbound, a resolver, with local records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.harness.servers.names import RECORDS, known
from tests.harness.servers.process import LOOPBACK, Server, program

CONFIG = """
server:
    port: {port}
    access-control: ::1/128 allow
    access-control: 10.0.0.0/8 allow
    chroot: ""
    username: ""
    pidfile: ""
    directory: "{directory}"
    use-syslog: no
    logfile: "{directory}/log"
    do-not-query-address: 192.0.2.1
    local-zone: "test." static
    local-zone: "refused.example." refuse
{lines}
forward-zone:
    name: "broken.example."
    forward-addr: 192.0.2.1
remote-control:
    control-enable: no
"""


def unbound(directory: Path, port: int) -> Server:
    """Return an unbound with the records of all test name servers."""
    records = [f"{name}.test. {kind} {value}" for name, kind, value in RECORDS]
    return unbound_with(directory, port, records, LOOPBACK, lambda: known(port))


def unbound_with(
    directory: Path, port: int, records: Sequence[str], addresses: Sequence[str], ready: Callable[[], bool]
) -> Server:
    """Return an unbound with these records at these addresses."""
    return Server(command(directory, port, records, addresses), directory, ready)


def command(directory: Path, port: int, records: Sequence[str], addresses: Sequence[str]) -> Sequence[str]:
    """Write the configuration of an unbound with these records at these addresses; return its command."""
    path = program("unbound", "unbound")
    lines = [f"    interface: {address}" for address in addresses]
    lines += [f'    local-data: "{record}"' for record in records]
    config = directory / "unbound.conf"
    config.write_text(CONFIG.format(port=port, directory=directory, lines="\n".join(lines)))
    return path, "-d", "-c", str(config)
