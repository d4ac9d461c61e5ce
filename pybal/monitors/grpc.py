"""gRPC: request the health of a service (grpc.health.v1) at an interval; SERVING means up.

With TLS any certificate is accepted; use the monitor TLS to check it. The first failure after a success is diagnosed by a
check that only connects.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from typing_extensions import override

from pybal.checks import tls
from pybal.checks.grpc import PROTOCOL, GRPCCheck
from pybal.checks.socket_check import Target
from pybal.config.convert import boolean, optional_text
from pybal.config.option import option
from pybal.config.url_options import authority
from pybal.monitors.factory import Factory
from pybal.monitors.interval import Interval
from pybal.monitors.kind import Kind
from pybal.monitors.periodic import CheckDone, TCPSettings
from pybal.runtime.file_values import FileValue, FileValues


@dataclass(frozen=True, slots=True)
class GRPCSettings(TCPSettings):
    """Call Check of grpc.health.v1.Health; SERVING means up."""

    service: str = option("", optional_text, help="name of the gRPC service to check; empty for the whole server")
    tls: bool = option(False, boolean, help="use TLS; any certificate is accepted")
    authority: str = option(
        "",
        authority,
        default_text="host name and port of the server",
        help="value of :authority in the call, HOST or HOST:PORT",
    )

    @override
    def tls_context(self, files: FileValues) -> FileValue[ssl.SSLContext] | None:
        return tls.shared(files, protocols=(PROTOCOL,)) if self.tls else None

    @override
    def check(self, factory: Factory[Interval], host: str, target: Target, done: CheckDone) -> GRPCCheck:
        bracketed = f"[{host}]" if ":" in host else host
        authority = self.authority or f"{bracketed}:{factory.port}"
        return GRPCCheck(
            factory.engine,
            target,
            self.timeout,
            done,
            service=self.service,
            authority=authority,
            context=factory.context,
            server_name=urlsplit(f"//{authority}").hostname or "",
        )


KIND = Kind("gRPC", GRPCSettings, duration="Duration of the last call, by result")
