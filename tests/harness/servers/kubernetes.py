"""A Kubernetes API server for nodes, in the reactor of the test; a test may override its responses.

Debian and PyPI have no real API server, but they have kubectl, which verifies this one. Its responses follow the documents
of Kubernetes 1.20 to 1.33: lists in pages at one version, watches with bookmarks that end after the requested time, and 410
for expired versions.
"""

from __future__ import annotations

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.internet.tcp import Port

from tests.harness.servers.kubernetes_wire import TLS, Asked, Connection, Contexts, Document
from tests.harness.stepped_reactor import close

TOKEN = "s3cr3t.t0ken"
SELECTOR = "pybal=yes"

_REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests"}


def node(name: str, ready: str = "True", *, unschedulable: bool = False, labels: str = SELECTOR) -> Document:
    """Return a node document without a version, reduced to the main parts of kubelet 1.28."""
    spec: Document = {"podCIDR": "10.2.1.0/24", "podCIDRs": ["10.2.1.0/24"]}
    if unschedulable:
        spec["unschedulable"] = True
        spec["taints"] = [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]
    pressure = {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": dict(one.split("=") for one in labels.split(",") if one),
        },
        "spec": spec,
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}, {"type": "Hostname", "address": name}],
            "conditions": [pressure, {"type": "Ready", "status": ready, "reason": "KubeletReady"}],
            "nodeInfo": {"kubeletVersion": "v1.28.4", "architecture": "amd64"},
        },
    }


class APIServer(Factory):
    """The server; each change of its ``nodes``, by name, increments ``version``.

    ``instead`` may override a response: it receives the connection and the request, and returns whether it has responded.
    Call ``tick`` whenever time has passed.
    """

    noisy = False

    def __init__(self, reactor: EPollReactor, certificate: Path | None = None) -> None:
        self.reactor = reactor
        self.tokens = {TOKEN}
        self.forbidden: set[str] = set()
        self.nodes: dict[str, Document] = {}
        self.version = 1000
        self.oldest = 1
        self.connections: list[Connection] = []
        self.requests: list[Asked] = []
        self.instead: Callable[[Connection, Asked], bool] = lambda _connection, _asked: False
        self.page_size = 500
        self.bookmarks = True
        self.interface = "127.0.0.1"
        self.port = 0
        self._history: list[tuple[int, Document | None, Document | None]] = []
        self._snapshots: dict[int, list[Document]] = {}
        self._ends: dict[Connection, float] = {}
        self._certificate = certificate
        self._listening: Port | None = None

    # Actions of a test.

    def listen(self) -> None:
        """Listen on the same port each time."""
        factory: Any = self
        if self._certificate is not None:
            factory = TLS(Contexts(self._certificate), False, self)
        self._listening = Port(self.port, factory, interface=self.interface, reactor=self.reactor)
        self._listening.startListening()
        self.port = self._listening.getHost().port

    def stop(self) -> None:
        """Stop like a killed process: refuse and reset connections."""
        if self._listening is not None:
            self._listening.stopListening()
            self._listening = None
        self.cut()

    def cut(self) -> None:
        """Reset all connections."""
        for connection in tuple(self.connections):
            connection.transport.abortConnection()

    def put(self, document: Document) -> None:
        """Create or replace a node."""
        name = str(document["metadata"]["name"])
        before = self.nodes.get(name)
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        self.nodes[name] = document
        self._changed(before, document)

    def delete(self, name: str) -> None:
        self.version += 1
        self._changed(self.nodes.pop(name), None)

    def cordon(self, name: str, *, unschedulable: bool = True) -> None:
        """Cordon or uncordon a node like kubectl."""
        document = json.loads(json.dumps(self.nodes[name]))
        document["spec"].pop("unschedulable", None)
        if unschedulable:
            document["spec"]["unschedulable"] = True
        self.put(document)

    def replace(self, documents: Mapping[str, Document]) -> None:
        """Replace all nodes with the fewest changes; watches receive the events in one piece."""
        watches = self.watches
        for watch in watches:
            watch.holds = True
        for name in self.nodes.keys() - documents.keys():
            self.delete(name)
        for name, document in documents.items():
            before = {**self.nodes.get(name, {}), "metadata": None}
            if before != {**document, "metadata": None}:
                self.put(document)
        for watch in watches:
            watch.release()

    def forget(self) -> None:
        """Compact the history: earlier versions and the rest of unfinished lists expire."""
        self.oldest = self.version
        self._history.clear()
        self._snapshots.clear()

    def restore(self, version: int) -> None:
        """Return to a version without history, like an etcd restored from a backup."""
        self.version = version
        self.oldest = 1
        self._history.clear()
        self._snapshots.clear()

    def bookmark(self) -> None:
        """Send a bookmark to each watch that requested bookmarks."""
        for connection in self.watches:
            if connection.asked and connection.asked.query.get("allowWatchBookmarks") == "true":
                connection.event(
                    "BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}, "spec": {}, "status": {}}
                )

    def tick(self) -> None:
        """End expired watches, after a bookmark."""
        for connection, end in tuple(self._ends.items()):
            if not connection.watching:
                del self._ends[connection]
            elif self.reactor.seconds() >= end:
                if self.bookmarks:
                    self.bookmark()
                connection.end()

    @property
    def watches(self) -> list[Connection]:
        return [connection for connection in self.connections if connection.watching]

    # Responses to requests.

    def buildProtocol(self, addr: object) -> Connection:  # noqa: N802  # Twisted's name
        return Connection(self.asked, self.connections)

    def asked(self, connection: Connection, asked: Asked) -> None:
        self.requests.append(asked)
        if self.instead(connection, asked):
            return
        if asked.fields.get("authorization", "") not in {f"Bearer {token}" for token in self.tokens}:
            connection.answer(401, status(401, "Unauthorized"))
        elif asked.verb in self.forbidden:
            message = f'nodes is forbidden: User "pybal" cannot {asked.verb} resource "nodes" in API group "" at the cluster scope'
            connection.answer(403, status(403, message))
        elif (asked.method, asked.path) != ("GET", "/api/v1/nodes"):
            connection.answer(404, status(404, "the server could not find the requested resource"))
        elif asked.verb == "watch":
            self.watch(connection, asked)
        else:
            self.list(connection, asked)

    def list(self, connection: Connection, asked: Asked) -> None:
        """Respond with a page."""
        start, version = 0, self.version
        if rest := asked.query.get("continue"):
            version, start = json.loads(b64decode(rest))
            if version not in self._snapshots:
                connection.answer(
                    410, status(410, "The provided continue parameter is too old to display a consistent list")
                )
                return
        else:
            self._snapshots[version] = [
                self.nodes[name] for name in sorted(self.nodes) if _matches(asked, self.nodes[name])
            ]
        found = self._snapshots[version]
        end = start + min(int(asked.query.get("limit", "500")), self.page_size)
        metadata: Document = {"resourceVersion": str(version)}
        if end < len(found):
            metadata["continue"] = b64encode(json.dumps([version, end]).encode()).decode()
            metadata["remainingItemCount"] = len(found) - end
        connection.answer(
            200, {"kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": found[start:end]}
        )

    def watch(self, connection: Connection, asked: Asked) -> None:
        """Send the events since the requested version, then future events."""
        since = int(asked.query["resourceVersion"])
        connection.begin()
        if since < self.oldest:
            connection.event("ERROR", status(410, f"too old resource version: {since} ({self.oldest})"))
            connection.end()
            return
        self._ends[connection] = self.reactor.seconds() + float(asked.query.get("timeoutSeconds", "1800"))
        connection.holds = True
        for version, before, after in self._history:
            if version > since:
                _send_event(connection, version, before, after)
        connection.release()

    def _changed(self, before: Document | None, after: Document | None) -> None:
        self._history.append((self.version, before, after))
        for connection in self.watches:
            _send_event(connection, self.version, before, after)


def status(code: int, message: str) -> Document:
    """Return the Status document of an error."""
    reason = _REASONS.get(code, "InternalError")
    fields = {"status": "Failure", "message": message, "reason": reason, "code": code}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, **fields}


def _send_event(connection: Connection, version: int, before: Document | None, after: Document | None) -> None:
    asked = connection.asked
    assert asked is not None
    was, is_now = before is not None and _matches(asked, before), after is not None and _matches(asked, after)
    if is_now and after is not None:
        connection.event("MODIFIED" if was else "ADDED", after)
    elif was and before is not None:
        # The last state, with the version of the deletion.
        gone = after or before
        connection.event("DELETED", {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(version)}})


def _matches(asked: Asked, document: Document) -> bool:
    labels = document["metadata"]["labels"]
    wanted = [one.split("=") for one in asked.query.get("labelSelector", "").split(",") if one]
    return all(labels.get(name) == value for name, value in wanted)


class ThreadedAPIServer:
    """A server in its own thread, for tests in real time."""

    def __init__(self, certificate: Path | None = None) -> None:
        self._reactor = EPollReactor()
        self.server = APIServer(self._reactor, certificate)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.do(APIServer.listen)

    def stop(self) -> None:
        self.do(APIServer.stop)
        self._reactor.callFromThread(self._reactor.stop)
        self._thread.join(30)

    def do(self, act: Callable[[APIServer], object]) -> None:
        """Run an action on the server in its thread, and wait for the end."""
        done = threading.Event()

        def acting() -> None:
            act(self.server)
            done.set()

        self._reactor.callFromThread(acting)
        assert done.wait(30)

    def _run(self) -> None:
        ticking = LoopingCall(self.server.tick)
        ticking.clock = self._reactor
        self._reactor.callWhenRunning(ticking.start, 0.05)
        self._reactor.run(installSignalHandlers=False)
        close(self._reactor)


@contextmanager
def running(certificate: Path | None = None) -> Iterator[ThreadedAPIServer]:
    """Run a listening server in a thread."""
    api = ThreadedAPIServer(certificate)
    api.start()
    try:
        yield api
    finally:
        api.stop()
