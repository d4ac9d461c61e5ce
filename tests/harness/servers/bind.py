"""BIND: a name server with a valid and an invalid zone."""

from __future__ import annotations

from pathlib import Path

from tests.harness.servers.names import ZONE, known
from tests.harness.servers.process import Server, program

CONFIG = """
options {{
    directory "{directory}"; pid-file "{directory}/pid"; session-keyfile none; managed-keys-directory "{directory}";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 port {port} {{ ::1; }};
    recursion no; dnssec-validation no; minimal-responses yes; notify no;
}};
controls {{ }};
zone "test" {{ type primary; file "{directory}/test.zone"; }};
zone "broken.example" {{ type primary; file "{directory}/broken.zone"; }};
"""


def bind(directory: Path, port: int) -> Server:
    path = program("named", "bind9")
    (directory / "test.zone").write_text(ZONE)
    (directory / "broken.zone").write_text("invalid zone\n")
    config = directory / "named.conf"
    config.write_text(CONFIG.format(port=port, directory=directory))
    return Server((path, "-f", "-n", "1", "-c", str(config)), directory, lambda: known(port))
