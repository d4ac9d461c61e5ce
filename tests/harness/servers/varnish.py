"""Varnish: a cache in front of another server."""

from __future__ import annotations

from pathlib import Path

from tests.harness.servers.process import Server, accepts, program

VCL = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{origin}"; .first_byte_timeout = 0.3s; }}
sub vcl_recv {{ return (pass); }}
"""


def varnish(directory: Path, port: int, origin: int) -> Server:
    """Return a Varnish in front of 127.0.0.1 port ``origin`` that closes idle connections after 1 s."""
    path = program("varnishd", "varnish")
    vcl = directory / "default.vcl"
    vcl.write_text(VCL.format(origin=origin))
    addresses = ("-a", f"127.0.0.1:{port}", "-a", f"[::1]:{port}")
    options = ("-f", str(vcl), "-s", "malloc,16m", "-T", "none", "-p", "timeout_idle=1", "-p", "thread_pool_min=10")
    command = (path, "-F", "-j", "none", "-n", str(directory / "work"), *addresses, *options)
    return Server(command, directory, lambda: accepts(port))
