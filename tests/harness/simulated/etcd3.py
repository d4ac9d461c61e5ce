"""An etcd member in virtual time: the keys of one directory by the JSON gateway of the API v3."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from tests.harness.simulated.client import SimulatedConnector
from tests.harness.simulated.network import SimulatedNetwork, SimulatedServer

KEPT = 50
"""Changes that a watch can begin with; earlier ones are compacted."""


class SimulatedEtcd3(SimulatedServer):
    """A member with the keys of the directory ``path``, at first none."""

    def __init__(self, network: SimulatedNetwork, path: str) -> None:
        super().__init__(network)
        self._path = path
        self._keys: dict[str, Mapping[str, str]] = {}
        """The present keys in the form of responses, by name."""
        self._changes: list[Mapping[str, Any]] = []
        """The events of all revisions, beginning with 1."""
        self._watches: dict[SimulatedConnector, int] = {}
        """The revision from which each client waits for changes."""

    @property
    def _revision(self) -> int:
        return len(self._changes)

    def write(self, values: Mapping[str, str] | None) -> None:
        """Replace the values by key, one after the other; ``None`` deletes all."""
        found = {key: _base64(value) for key, value in (values or {}).items()}
        for key in [key for key in self._keys if key not in found]:
            del self._keys[key]
            self._changes.append({"type": "DELETE", "kv": self._changed(key)})
        for key, value in found.items():
            if self._keys.get(key, {}).get("value") != value:
                self._keys[key] = {**self._changed(key), "value": value}
                self._changes.append({"kv": self._keys[key]})
        self._notify()

    @override
    def request(self, client: SimulatedConnector, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        if not self.responds:
            super().request(client, request)
        elif b" /v3/watch " in head:
            self._answer(client, b"Transfer-Encoding: chunked", b"")
            self._watch(client, int(json.loads(body)["create_request"]["start_revision"]))
        else:
            found = json.dumps(self._range(json.loads(body))).encode()
            self._answer(client, b"Content-Length: %d" % len(found), found)

    def _changed(self, key: str) -> Mapping[str, str]:
        """Return the name of a key with the revision of the next change."""
        return {"key": _base64(f"{self._path}/{key}"), "mod_revision": str(self._revision + 1)}

    def _range(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        since = int(asked.get("min_mod_revision", 0))
        names = ("key", "mod_revision") if asked.get("keys_only") else ("key", "mod_revision", "value")
        entries = [
            {name: entry[name] for name in names}
            for entry in self._keys.values()
            if int(entry["mod_revision"]) >= since
        ]
        header = {"cluster_id": "1", "revision": str(self._revision)}
        return {"header": header, "kvs": entries, "count": str(len(self._keys))}

    def _watch(self, client: SimulatedConnector, start: int) -> None:
        compacted = self._revision - KEPT
        if start <= compacted:
            self._say(client, {"created": True, "canceled": True, "compact_revision": str(compacted)})
            return
        self._say(client, {"created": True})
        self._watches[client] = start
        self._notify()

    def _notify(self) -> None:
        """Send each watch its next changes in one message."""
        for client, start in tuple(self._watches.items()):
            if client not in self.clients:
                del self._watches[client]
            elif self.responds and start <= self._revision:
                self._watches[client] = self._revision + 1
                self._say(client, {"events": self._changes[start - 1 :]})

    def _say(self, client: SimulatedConnector, result: Mapping[str, Any]) -> None:
        line = json.dumps({"result": {"header": {"revision": str(self._revision)}, **result}}).encode() + b"\n"
        client.answer(b"%x\r\n%b\r\n" % (len(line), line), self.lateness)

    def _answer(self, client: SimulatedConnector, field: bytes, body: bytes) -> None:
        client.answer(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (field, body), self.lateness)


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
