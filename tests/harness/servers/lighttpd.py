"""lighttpd: a server of files and of the output of scripts, over HTTP and TLS."""

from __future__ import annotations

from pathlib import Path

from tests.harness.servers.process import Server, accepts, program

HEAD = """
server.document-root = "{directory}"
server.errorlog = "{directory}/error.log"
server.bind = "127.0.0.1"
server.port = {port}
server.max-read-idle = 1
server.modules = ( "mod_redirect", "mod_cgi", "mod_openssl" )
$SERVER["socket"] == "[::1]:{port}" {{ }}
cgi.assign = ( ".sh" => "/bin/sh" )
"""


def lighttpd(directory: Path, sections: str, port: int) -> Server:
    """Return a lighttpd at a port, with these sections, that closes idle connections after 1 s."""
    path = program("lighttpd", "lighttpd lighttpd-mod-openssl")
    config = directory / "lighttpd.conf"
    config.write_text(HEAD.format(directory=directory, port=port) + sections)
    return Server((path, "-D", "-f", str(config)), directory, lambda: accepts(port) and accepts(port, "::1"))
