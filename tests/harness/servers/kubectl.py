"""The real kubectl, and the requests it sends to the test API server besides lists and watches."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness.servers.kubernetes import TOKEN, APIServer
from tests.harness.servers.kubernetes_wire import Asked, Connection, Document

_NODES = {
    "name": "nodes",
    "singularName": "node",
    "namespaced": False,
    "kind": "Node",
    "verbs": ["get", "list", "patch", "watch"],
}
_DISCOVERY: dict[str, Document] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [_NODES]},
}


def understand(server: APIServer) -> None:
    """Have a server understand what kubectl asks, also to change a node."""

    def instead(connection: Connection, asked: Asked) -> bool:
        if asked.path in _DISCOVERY:
            connection.answer(200, _DISCOVERY[asked.path])
            return True
        name = asked.path.removeprefix("/api/v1/nodes/")
        if name not in server.nodes:
            return False
        if asked.method == "PATCH":
            unschedulable = json.loads(asked.body)["spec"]["unschedulable"]
            server.cordon(name, unschedulable=bool(unschedulable))
        connection.answer(200, {"kind": "Node", "apiVersion": "v1", **server.nodes[name]})
        return True

    server.instead = instead


def command(server: APIServer, authority: Path, directory: Path, *arguments: str) -> Sequence[str]:
    """Return the command that runs kubectl against a server, or skip the test."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed: apt-get install kubernetes-client")
    url = f"https://localhost:{server.port}"
    options = ("--server", url, "--certificate-authority", str(authority), "--token", TOKEN, "--kubeconfig=/dev/null")
    return (program, *options, f"--cache-dir={directory}/kubectl", *arguments)


def kubectl(server: APIServer, authority: Path, directory: Path, *arguments: str) -> str:
    """Return what kubectl prints."""
    ran = command(server, authority, directory, *arguments)
    done = subprocess.run(ran, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
