"""A gRPC server with a health service, from the packages grpcio and grpcio-health-checking."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.harness.servers.process import Server, accepts

SCRIPT = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

pem = open(sys.argv[1], "rb").read()
servicer = health.HealthServicer()
servers = [grpc.server(ThreadPoolExecutor(4)) for _ in range(3)]
for server in servers[:2]:
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)

def set(name, status):
    servicer.set(name, health_pb2.HealthCheckResponse.ServingStatus.Value(status))

for name in ("", "good.Service", "turns"):
    set(name, "SERVING")
set("bad.Service", "NOT_SERVING")
set("odd", "UNKNOWN")
plain, secure, bare = sys.argv[2:]
for host in ("127.0.0.1", "[::1]"):
    servers[1].add_secure_port(f"{host}:{secure}", grpc.ssl_server_credentials([(pem, pem)]))
    servers[2].add_insecure_port(f"{host}:{bare}")
    servers[0].add_insecure_port(f"{host}:{plain}")
for server in reversed(servers):
    server.start()
for line in sys.stdin:
    set(*line.split())
for server in servers:
    server.wait_for_termination()
"""


def grpc(directory: Path, pem: Path, plain: int, secure: int, bare: int) -> Server:
    """Return a gRPC server with a plain port, a TLS port and one without a health service.

    ``pem`` has the certificate and its key. The server reads lines from its standard input: a service and its new status.
    """
    if not importlib.util.find_spec("grpc_health"):
        pytest.skip("no gRPC server: pip install grpcio grpcio-health-checking")
    command = (sys.executable, "-c", SCRIPT, str(pem), str(plain), str(secure), str(bare))
    return Server(command, directory, lambda: all(accepts(port) for port in (plain, secure, bare)))
