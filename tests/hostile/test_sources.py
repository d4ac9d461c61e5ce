"""Hostile pool sources: the last good list is kept with an alert, which clears once they behave."""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.harness.attacked_balancer import PORT, AttackedBalancer
from tests.harness.certificates import Authority
from tests.harness.hostile_peers import Conversation, HostilePeer, http, responding, secured, silent
from tests.harness.hostile_server import Talk, drip, flood

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LISTED = "127.250.0.1"
"""The server of every good list: one that exists, at another port."""
GARBAGE = Random(1).randbytes(65536)
ASKED = 3
RESPONSES_GROWTH = 192 * 1024
"""KiB for responses of etcd and Kubernetes of 6 MiB, of which several are received at the same time."""
LISTS_GROWTH = 160 * 1024
"""KiB for a dozen lists of 4 MiB that are received and parsed at the same time."""


def changing() -> Conversation:
    """Return another list of 2,000 servers each time."""
    turns = count()

    def response() -> bytes:
        turn = next(turns)
        return http(
            b"".join(b"{'host': '127.%d.%d.%d'}\n" % (100 + turn % 100, n >> 8, n & 255) for n in range(1, 2000))
        )

    return responding(response)


def json_body(body: bytes) -> Conversation:
    return responding(http(body, b"Content-Type: application/json"))


def yaml_body(body: bytes) -> Conversation:
    return responding(http(body, b"Content-Type: application/yaml"))


def anchors() -> bytes:
    """Return a billion entries in a few lines of YAML."""
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 60)]
    return b"\n".join(lines) + b"\n"


TRANSPORT: Mapping[str, Conversation] = {
    "endless": flood(HEAD + b"\r\n", b"{ 'host': 'a' }\n"),
    "drip": drip(HEAD + b"Content-Length: 100000\r\n\r\n", b"a"),
    "chunks": flood(CHUNKED, b"1\r\na\r\n"),
    "extensions": flood(CHUNKED, b"1;" + b"x" * 3000 + b"\r\na\r\n"),
    "headers": flood(HEAD, b"X-A: b\r\n"),
    "interim": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "silent": silent,
    "garbage": flood(b"", GARBAGE),
    "redirect": responding(http(b"", b"Location: /list", status=b"302 Found")),
    "redirect-file": responding(http(b"", b"Location: file:///etc/passwd\x1b[2J", status=b"302 Found")),
    "half": responding(HEAD + b"Content-Length: 100\r\n\r\n{'host': '127.250.0.1'}\n"),
    "trailers": flood(CHUNKED + b"0\r\n", b"X-A: b\r\n"),
}
LISTS: Mapping[str, Conversation] = {
    "deep-json": json_body(b'{"a":' * 600_000),
    "deep-array": json_body(b"[" * 4_000_000),
    "digits": json_body(b'{"a":{"weight":' + b"9" * 3_000_000 + b"}}"),
    "exponent": json_body(b'{"a":{"weight":1e' + b"9" * 3_000_000 + b"}}"),
    "nulls": json_body(b"[" + b"null," * 800_000 + b"null]"),
    "keys": json_body(b'{"h":{' + b",".join(b'"wei%05x":1' % n for n in range(290_000)) + b"}}"),
    "hosts": json_body(b"{" + b",".join(b'"%x":{}' % n for n in range(340_000)) + b"}"),
    "same-key": json_body(b"{" + b",".join([b'"a":{}'] * 500_000) + b"}"),
    "surrogates": json_body(b'{"' + b"\\ud800" * 600_000 + b'":{}}'),
    "long-name": json_body(b'{"' + b"a" * 4_000_000 + b'":{}}'),
    "deep-yaml": yaml_body(b"[" * 4_000_000),
    "anchors": yaml_body(anchors()),
    "tags": yaml_body(b"".join(b"%%TAG !%x! a\n" % n for n in range(200_000)) + b"---\na: {}\n"),
    "python-tag": yaml_body(b"!!python/object/apply:os.system ['id']\n"),
    "yaml-hosts": yaml_body(b"".join(b"h%x: {}\n" % n for n in range(49_000))),
    "merge-keys": yaml_body(b"a: &a {weight: 1}\n" + b"b: {<<: [" + b"*a, " * 800_000 + b"*a]}\n"),
    "yaml-comments": yaml_body(b"#\n" * 2_000_000),
    "yaml-scalar": yaml_body(b"a: |\n" + b" x\n" * 1_300_000),
    "lines": responding(http(b"".join(b"{'host':'%x'}\n" % n for n in range(230_000)))),
    "pairs": responding(http(b"{" + b"'a':1," * 690_000 + b"}\n")),
    "strings": responding(http(b"{'host': '" + b"\\x41" * 1_000_000 + b"'}\n")),
    "operators": responding(http(b"{'host': 'a', 'weight': " + b"-" * 4_000_000 + b"1}\n")),
    "parentheses": responding(http(b"{'host': " + b"(" * 2_000_000 + b"'a'" + b")" * 2_000_000 + b"}\n")),
    "comments": responding(http(b"#\n" * 2_000_000)),
    "nuls": responding(http(bytes(4_000_000))),
    "empty-lines": responding(http(b"\n" * 4_000_000)),
    "invalid-utf8": responding(http(b"\xff" * 4_000_000)),
    "escapes": responding(http(b"{ 'host': '\x1b[2J<script>' }\n")),
}
VALUE = '{"pooled": "yes", "weight": 1}'
ETCD2: Mapping[str, bytes] = {
    "number": b'{"action":"get","node":{"key":"/pools","dir":true,"nodes":[{"key":"/pools/a","value":5}]}}',
    "deep": b'{"action":"get","node":' + b'{"nodes":[' * 400_000,
    "wide": b'{"action":"get","node":{"key":"/pools","dir":true,"nodes":[' + b",".join([b"{}"] * 900_000) + b"]}}",
    "other-key": b'{"action":"get","node":{"key":"/x","dir":true,"nodes":[{"key":"/../a","value":"{}"}]}}',
    "error": b'{"errorCode":100,"message":"\\u001b[2J","cause":"/pools","index":99999999999999999999999}',
    "not-json": GARBAGE,
}


def serving(body: bytes, watched: bytes, watch: Conversation, fields: bytes = b"") -> Conversation:
    """Respond with ``body`` to each request, and with ``watch`` to one that contains ``watched``."""
    response = HEAD + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body

    def talk() -> Talk:
        request = yield b""
        while watched not in request:
            request = yield response if request else b""
        yield from watch()

    return talk


def etcd2_value() -> bytes:
    nodes = [{"key": f"/pools/{LISTED}", "value": VALUE}]
    return json.dumps({"action": "get", "node": {"key": "/pools", "dir": True, "nodes": nodes}}).encode()


def etcd2(body: bytes, *, watch: Conversation = silent) -> Conversation:
    """Serve the directory as API v2 does, and ``watch`` for its changes."""
    return serving(body, b"wait=true", watch, b"X-Etcd-Index: 5\r\nX-Etcd-Cluster-Id: 1\r\n")


def quiet() -> Talk:
    """Begin a watch that reports nothing."""
    yield CHUNKED
    yield from silent()


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def etcd3(*values: str, revision: object = "5", watch: Conversation = quiet) -> Conversation:
    """Serve keys as the JSON gateway of API v3 does, and ``watch`` for their changes."""
    pairs = [{"key": encoded(f"/pools/{host}"), "value": encoded(VALUE), "mod_revision": "5"} for host in values]
    document = {"header": {"cluster_id": "1", "revision": revision}, "kvs": pairs, "count": str(len(pairs))}
    return serving(json.dumps(document).encode(), b"/watch", watch)


def kubernetes(*items: Mapping[str, object], watch: Conversation = quiet, rest: str = "") -> Conversation:
    """Serve nodes as an API server does, and ``watch`` for their changes."""
    metadata = {"resourceVersion": "5", **({"continue": rest} if rest else {})}
    body = json.dumps({"kind": "NodeList", "metadata": metadata, "items": items}).encode()
    return serving(body, b"watch=", watch)


WRONG_TYPES: tuple[object, ...] = (1, [], {}, None)


def node(name: str) -> Mapping[str, object]:
    conditions = [{"type": "Ready", "status": "True"}]
    return {"metadata": {"name": name, "resourceVersion": "5"}, "spec": {}, "status": {"conditions": conditions}}


ETCD2_GOOD = etcd2(etcd2_value())
HANDSHAKES: Mapping[str, Conversation] = {
    "hello-requests": flood(b"", b"\x16\x03\x03\x00\x04\0\0\0\0"),
    "warnings": flood(b"", b"\x15\x03\x03\x00\x02\x01\x5a"),
    "empty-records": flood(b"", b"\x17\x03\x03\x00\x00"),
    "tls-bytes": flood(b"", b"\x16\x03\x03\x00\x01\x02"),
    "tls-garbage": flood(b"", GARBAGE),
    "hangs": silent,
}


def ending() -> Talk:
    """End a watch immediately."""
    yield http(b"")


WATCHES: Mapping[str, Conversation] = {
    "no-newline": flood(CHUNKED, b"8000\r\n" + b"a" * 0x8000 + b"\r\n", asked=False),
    "newlines": flood(CHUNKED, b"8000\r\n" + b"\n" * 0x8000 + b"\r\n", asked=False),
    "empty-objects": flood(CHUNKED, b"8000\r\n" + b"{}\n" * 0x2AAA + b"{\n" + b"\r\n", asked=False),
    "one-byte-chunks": flood(CHUNKED, b"1\r\n{\r\n", asked=False),
    "ends": ending,
    "deep-lines": flood(CHUNKED, b"8001\r\n" + b"[" * 0x8000 + b"\n\r\n", asked=False),
    "drip": drip(CHUNKED, b"1\r\n \r\n"),
}


def good_list() -> bytes:
    return http(f"{{'host': '{LISTED}'}}\n".encode())


def use(balancer: AttackedBalancer, urls: Mapping[str, str], options: str = "", access: str = "") -> None:
    """Reload with a source for each service; ``access`` are the options of the section of each host."""
    kind = next(iter(urls.values())).partition("://")[0].replace("https", "http")
    hosts = {url.partition("://")[2].rpartition("@")[2].partition("/")[0] for url in urls.values()}
    sections = "".join(f"[{kind} {host}]\n{access}\n" for host in hosts if access)
    balancer.reload({name: f"config = {url}\nmonitors = []\n{options}" for name, url in urls.items()}, access=sections)


def has_list(balancer: AttackedBalancer, name: str) -> bool:
    return list(balancer.servers_of(name)) == [LISTED]


def sources(stack: ExitStack, talks: Mapping[str, Conversation], healed: Conversation) -> dict[str, HostilePeer]:
    return {
        name: stack.enter_context(HostilePeer(f"127.240.0.{number + 1}", PORT, talk, healed))
        for number, (name, talk) in enumerate(talks.items())
    }


def troubled(balancer: AttackedBalancer) -> set[str]:
    """Return the services with an alert of their source, whose text is printable and short."""
    found = [alert for alert in balancer.alerts() if alert["kind"] == "source"]
    assert all(alert["text"].isprintable() and len(alert["text"]) < 1200 for alert in found), found
    return {alert["service"] for alert in found}


def fail_until_they_behave(
    balancer: AttackedBalancer, peers: Mapping[str, HostilePeer], url: str, access: str = "", asked: int = ASKED
) -> None:
    use(balancer, {name: url.format(peer.host) for name, peer in peers.items()}, access=access)
    balancer.wait(lambda: troubled(balancer) >= set(peers), f"alerts: {set(peers)}")
    balancer.wait(lambda: all(peer.conversations >= asked for peer in peers.values()), "more requests")
    for peer in peers.values():
        peer.behave()
    balancer.wait(lambda: all(has_list(balancer, name) for name in peers), "good lists")


def parts(lists: Mapping[str, Conversation], number: int) -> list[Mapping[str, Conversation]]:
    names = list(lists)
    return [{name: lists[name] for name in names[start::number]} for start in range(number)]


@pytest.mark.parametrize("talks", [TRANSPORT, *parts(LISTS, 3)], ids=["transport", "lists 1", "lists 2", "lists 3"])
def test_hostile_http_sources_raise_alerts_until_they_behave(
    balancer: AttackedBalancer, talks: Mapping[str, Conversation]
) -> None:
    with ExitStack() as stack:
        peers = sources(stack, talks, responding(good_list()))
        with balancer.attack("HTTP sources", growth=LISTS_GROWTH):
            fail_until_they_behave(balancer, peers, f"http://{{}}:{PORT}/list")
        balancer.wait_for_no_alert()


def test_list_that_changes_each_time_does_not_hold_the_loop(balancer: AttackedBalancer) -> None:
    with ExitStack() as stack:
        (peer,) = sources(stack, {"changing": changing()}, responding(good_list())).values()
        with balancer.attack("changing list"):
            use(balancer, {"changing": f"http://{peer.host}:{PORT}/list"}, "max-depool-step = 1\n")
            balancer.wait(lambda: peer.conversations > 5, "more requests")
            peer.behave()
            balancer.wait(lambda: has_list(balancer, "changing"), "the good list")
        balancer.wait_for_no_alert()


def test_hostile_etcd2_raises_alerts_until_it_behaves(balancer: AttackedBalancer) -> None:
    talks = {name: etcd2(body) for name, body in ETCD2.items()} | dict(TRANSPORT)
    with ExitStack() as stack:
        peers = sources(stack, talks, ETCD2_GOOD)
        with balancer.attack("etcd v2", growth=RESPONSES_GROWTH):
            fail_until_they_behave(balancer, peers, f"etcd://{{}}:{PORT}/pools", "tls = no", asked=1)
        balancer.wait_for_no_alert()


def test_hostile_etcd3_raises_alerts_until_it_behaves(balancer: AttackedBalancer) -> None:
    talks = {
        "revision": etcd3(LISTED, revision="9" * 5000),
        "revision-type": etcd3(LISTED, revision=[]),
        "many-keys": etcd3(*(f"h{n}" for n in range(40_000))),
        "wide": json_body(b'{"header":{"revision":"5"},"kvs":[' + b",".join([b"{}"] * 900_000) + b"]}"),
        "deep": json_body(b'{"header":' * 400_000),
        "error": json_body(b'{"error":"\\u001b[2J","code":16,"message":"' + b"m" * 3_000_000 + b'"}'),
        **TRANSPORT,
    }
    with ExitStack() as stack:
        peers = sources(stack, talks, etcd3(LISTED))
        with balancer.attack("etcd v3", growth=RESPONSES_GROWTH):
            fail_until_they_behave(balancer, peers, f"etcd://{{}}:{PORT}/pools/?api=3", "tls = no", asked=1)
        balancer.wait_for_no_alert()


def test_hostile_kubernetes_raises_alerts_until_it_behaves(
    balancer: AttackedBalancer, tls: ssl.SSLContext, access: str
) -> None:
    talks = {
        "items": kubernetes(*({} for _ in range(200_000))),
        "nodes": kubernetes(*(node(f"n{number}") for number in range(20_000))),
        "endless-pages": kubernetes(rest="more"),
        "types": kubernetes(*({"metadata": {"name": each, "resourceVersion": each}} for each in WRONG_TYPES)),
        "deep": json_body(b'{"items":' * 400_000),
        "status": json_body(b'{"kind":"Status","code":"\\u001b[2J","message":"' + b"m" * 3_000_000 + b'"}'),
        **TRANSPORT,
    }
    with ExitStack() as stack:
        secure = {name: secured(tls, talk) for name, talk in talks.items()}
        peers = sources(stack, secure, secured(tls, kubernetes(node(LISTED))))
        with balancer.attack("Kubernetes", growth=RESPONSES_GROWTH):
            fail_until_they_behave(balancer, peers, f"k8s://token@{{}}:{PORT}/", access, asked=1)
        balancer.wait_for_no_alert()


def node_events(kind: str) -> Conversation:
    """Report another node in each event of a watch."""

    def talk() -> Talk:
        yield CHUNKED
        for number in count():
            lines = (json.dumps({"type": kind, "object": node(f"n{number}-{n}")}).encode() + b"\n" for n in range(100))
            yield chunk(b"".join(lines))

    return talk


def key_events() -> Talk:
    """Report another key in each event of a watch."""
    yield CHUNKED
    for number in count():
        lines = []
        for n in range(100):
            pair = {"key": encoded(f"/pools/h{number}-{n}"), "value": encoded(VALUE), "mod_revision": str(6 + number)}
            result = {"header": {"revision": str(6 + number), "cluster_id": "1"}, "events": [{"kv": pair}]}
            lines.append(json.dumps({"result": result}).encode() + b"\n")
        yield chunk(b"".join(lines))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize("kind", ["ADDED", "DELETED"])
def test_watch_of_ever_new_nodes_keeps_the_list(
    balancer: AttackedBalancer, tls: ssl.SSLContext, access: str, kind: str
) -> None:
    talk = secured(tls, kubernetes(node(LISTED), watch=node_events(kind)))
    with ExitStack() as stack:
        (peer,) = sources(stack, {"nodes": talk}, secured(tls, kubernetes(node(LISTED)))).values()
        with balancer.attack(f"watch of {kind} nodes"):
            use(balancer, {"nodes": f"k8s://token@{peer.host}:{PORT}/"}, "max-pool-size = 2000\n", access)
            if kind == "ADDED":
                balancer.wait(lambda: "max-pool-size = 2000 nodes" in balancer.process.get("/v1/alerts"), "the alert")
            else:
                last(balancer, 6.0)
            assert LISTED in balancer.servers_of("nodes")
            peer.behave()
            balancer.wait(lambda: has_list(balancer, "nodes"), "the list")
        balancer.wait_for_no_alert()


def test_watch_of_ever_new_keys_keeps_the_list(balancer: AttackedBalancer) -> None:
    with ExitStack() as stack:
        (peer,) = sources(stack, {"keys": etcd3(LISTED, watch=key_events)}, etcd3(LISTED)).values()
        with balancer.attack("watch of keys"):
            use(balancer, {"keys": f"etcd://{peer.host}:{PORT}/pools/?api=3"}, access="tls = no")
            balancer.wait(lambda: LISTED in balancer.servers_of("keys"), "the list")
            last(balancer, 6.0)
            assert LISTED in balancer.servers_of("keys")
            peer.behave()


def test_pages_of_ever_new_nodes_raise_an_alert(balancer: AttackedBalancer, tls: ssl.SSLContext, access: str) -> None:
    def pages() -> Talk:
        request = yield b""
        for number in count():
            while not request:
                request = yield b""
            items = [node(f"n{number}-{n}") for n in range(300)]
            metadata = {"resourceVersion": "5", "continue": "more"}
            body = json.dumps({"kind": "NodeList", "metadata": metadata, "items": items}).encode()
            request = yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    with ExitStack() as stack:
        (peer,) = sources(stack, {"nodes": secured(tls, pages)}, secured(tls, kubernetes(node(LISTED)))).values()
        with balancer.attack("pages of nodes"):
            use(balancer, {"nodes": f"k8s://token@{peer.host}:{PORT}/"}, access=access)
            balancer.wait(lambda: troubled(balancer) >= {"nodes"}, "the alert")
            last(balancer, 12.0)
            peer.behave()
            balancer.wait_for_no_alert()
        assert has_list(balancer, "nodes")


def last(balancer: AttackedBalancer, seconds: float) -> None:
    """Let an attack last."""
    end = balancer.probe.now() + seconds
    balancer.wait(lambda: balancer.probe.now() > end, "the end")


@pytest.mark.parametrize("kind", ["etcd2", "etcd3", "k8s"])
def test_hostile_watches_keep_the_list(balancer: AttackedBalancer, tls: ssl.SSLContext, access: str, kind: str) -> None:
    def talk(watch: Conversation) -> Conversation:
        if kind == "k8s":
            return secured(tls, kubernetes(node(LISTED), watch=watch))
        return etcd2(etcd2_value(), watch=watch) if kind == "etcd2" else etcd3(LISTED, watch=watch)

    url = {"etcd2": "etcd://{}:8082/pools", "etcd3": "etcd://{}:8082/pools/?api=3", "k8s": "k8s://token@{}:8082/"}[kind]
    with ExitStack() as stack:
        peers = sources(
            stack, {name: talk(watch) for name, watch in WATCHES.items()}, talk(silent if kind == "etcd2" else quiet)
        )
        with balancer.attack(f"watches of {kind}", growth=RESPONSES_GROWTH):
            urls = {name: url.format(peer.host) for name, peer in peers.items()}
            use(balancer, urls, access=access if kind == "k8s" else "tls = no")
            balancer.wait(lambda: all(has_list(balancer, name) for name in peers), "lists")
            balancer.wait(lambda: all(peer.conversations > 1 for peer in peers.values()), "more requests")
            last(balancer, 3.0)
            assert all(has_list(balancer, name) for name in peers)
            troubled(balancer)
            for peer in peers.values():
                peer.behave()
            balancer.wait_for_no_alert()


def test_hostile_handshakes_of_sources_raise_alerts_until_they_succeed(
    balancer: AttackedBalancer, tls: ssl.SSLContext, access: str
) -> None:
    with ExitStack() as stack:
        talks = {**HANDSHAKES, **{f"secured-{name}": secured(tls, talk) for name, talk in TRANSPORT.items()}}
        peers = sources(stack, talks, secured(tls, responding(good_list())))
        with balancer.attack("TLS of sources"):
            fail_until_they_behave(balancer, peers, f"https://{{}}:{PORT}/list", access)
        balancer.wait_for_no_alert()


def test_file_that_means_harm_raises_alerts_until_it_is_mended(balancer: AttackedBalancer) -> None:
    bodies = {
        "gigantic": b"{'host': 'a'}\n" * 400_000,
        "pairs": b"{" + b"'a':1," * 600_000 + b"}\n",
        "nuls": bytes(4_000_000),
        "deep.json": b'{"a":' * 600_000,
        "hosts.json": b"{" + b",".join(b'"%x":{}' % n for n in range(340_000)) + b"}",
        "anchors.yaml": anchors(),
        "tags.yaml": b"".join(b"%%TAG !%x! a\n" % n for n in range(200_000)) + b"---\na: {}\n",
    }
    files = {name.replace(".", "-"): balancer.directory / f"hostile-{name}" for name in bodies}
    for file, body in zip(files.values(), bodies.values(), strict=True):
        file.write_bytes(body)
    special = {"fifo": Path("/proc/self/fd/0"), "device": Path("/dev/zero"), "directory": balancer.directory}
    with balancer.attack("files"):
        use(balancer, {name: f"file://{file}" for name, file in (files | special).items()})
        balancer.wait(lambda: troubled(balancer) >= {*files, *special}, "alerts")
        for name, file in files.items():
            mended = file.with_suffix(".new")
            mended.write_text(
                {"json": f'{{"{LISTED}": {{}}}}', "yaml": f"{LISTED}: {{}}\n"}.get(
                    name.rpartition("-")[2], f"{{'host': '{LISTED}'}}\n"
                )
            )
            mended.rename(file)
        balancer.wait(lambda: all(has_list(balancer, name) for name in files), "good lists")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("server", host="source.example"))
    return context


@pytest.fixture(scope="module")
def access(authority: Authority) -> str:
    """The options of a source over TLS."""
    return f"ca = {authority.file}\nserver-name = source.example"
