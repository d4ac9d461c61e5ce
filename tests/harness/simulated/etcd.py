"""An etcd member in virtual time: one directory by the API v2, whose watches are long polls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

from tests.harness.simulated.client import SimulatedConnector
from tests.harness.simulated.network import SimulatedNetwork, SimulatedServer


class SimulatedEtcd(SimulatedServer):
    """A member that keeps all changes of the directory ``path``; at first it does not exist."""

    def __init__(self, network: SimulatedNetwork, path: str) -> None:
        super().__init__(network)
        self._path = path
        self._values: Mapping[str, str] | None = None
        self._changes: list[Mapping[str, Any]] = []
        self._watches: dict[SimulatedConnector, int] = {}
        """The index from which each client waits for a change."""

    def write(self, values: Mapping[str, str] | None) -> None:
        """Replace the values by key, one after the other; ``None`` deletes the directory."""
        before, self._values = self._values or {}, values
        if values is None:
            self._change("delete", {"key": self._path, "dir": True})
        else:
            for key in before:
                if key not in values:
                    self._change("delete", {"key": f"{self._path}/{key}"})
            for key, value in values.items():
                if before.get(key) != value:
                    self._change("set", {"key": f"{self._path}/{key}", "value": value})
        self._notify()

    @override
    def request(self, client: SimulatedConnector, request: bytes) -> None:
        query = parse_qs(urlsplit(request.split()[1].decode()).query)
        if not self.responds:
            super().request(client, request)
        elif "wait" in query:
            self._begin(client, "200 OK")
            self._watches[client] = int(query["waitIndex"][0])
            self._notify()
        elif self._values is None:
            self._begin(client, "404 Not Found")
            self._end(client, {"errorCode": 100, "message": "Key not found", "index": len(self._changes)})
        else:
            nodes = [{"key": f"{self._path}/{key}", "value": value} for key, value in self._values.items()]
            self._begin(client, "200 OK")
            self._end(client, {"action": "get", "node": {"key": self._path, "dir": True, "nodes": nodes}})

    def _change(self, action: str, node: Mapping[str, object]) -> None:
        self._changes.append({"action": action, "node": {**node, "modifiedIndex": len(self._changes) + 1}})

    def _notify(self) -> None:
        """Send each watch its next change, unless that is still to come."""
        for client, index in tuple(self._watches.items()):
            if client not in self.clients:
                del self._watches[client]
            elif self.responds and index <= len(self._changes):
                del self._watches[client]
                self._end(client, self._changes[index - 1])

    def _begin(self, client: SimulatedConnector, status: str) -> None:
        """Send the head of a response; that of a watch does not wait for the change."""
        fields = f"X-Etcd-Index: {len(self._changes)}\r\nX-Etcd-Cluster-Id: 1\r\nTransfer-Encoding: chunked"
        client.answer(f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode(), self.lateness)

    def _end(self, client: SimulatedConnector, document: Mapping[str, object]) -> None:
        body = json.dumps(document).encode()
        client.answer(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), self.lateness)
