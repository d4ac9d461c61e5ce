"""nginx: a server of files and literal texts, over HTTP and TLS."""

from __future__ import annotations

from pathlib import Path

from tests.harness.servers.process import Server, accepts, program

CONFIG = """
daemon off; master_process {master}; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections {connections}; }}
http {{
    root {directory}; access_log {directory}/access.log; client_body_temp_path {directory};
    proxy_temp_path {directory}; fastcgi_temp_path {directory}; uwsgi_temp_path {directory};
    scgi_temp_path {directory};
    {http}
}}
"""


def nginx(directory: Path, http: str, port: int, *, master: bool = False, connections: int = 256) -> Server:
    """Return an nginx with this section ``http``, ready when ``port`` accepts.

    A ``master`` process can be reloaded. ``connections`` is the maximum number of concurrent connections.
    """
    path = program("nginx", "nginx-light")
    config = directory / "nginx.conf"
    on = "on" if master else "off"
    config.write_text(CONFIG.format(directory=directory, http=http, master=on, connections=connections))
    command = (path, "-p", str(directory), "-c", str(config), "-e", str(directory / "error.log"), "-g", "user root;")
    return Server(command, directory, lambda: accepts(port))


def listening(port: int, *words: str) -> str:
    """Return the directives to listen at a port of both addresses."""
    return " ".join(f"listen {host}:{port} {' '.join(words)};" for host in ("127.0.0.1", "[::1]"))
