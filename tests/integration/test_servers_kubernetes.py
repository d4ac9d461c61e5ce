"""The API server of the tests, verified with the real kubectl: pages, watches and errors."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.harness.servers.kubectl import command, kubectl, serve_kubectl
from tests.harness.servers.kubernetes import APIServer, ThreadedAPIServer, node, running
from tests.harness.servers.kubernetes_wire import certified

CA, CERTIFICATE = 0, 1
NAME_AND_STATE = 'jsonpath={.metadata.name} {.spec.unschedulable}{"\\n"}'


@pytest.fixture
def api() -> Iterator[ThreadedAPIServer]:
    with running(certified("localhost")[CERTIFICATE]) as api:
        api.do(serve_kubectl)
        for name in "abcde":
            api.do(partial(APIServer.put, document=node(name)))
        yield api


def test_kubectl_reads_a_list_in_pages(api: ThreadedAPIServer, tmp_path: Path) -> None:
    listed = kubectl(api.server, certified("localhost")[CA], tmp_path, "get", "nodes", "--chunk-size=2", "-o", "name")
    assert listed.split() == [f"node/{name}" for name in "abcde"]
    pages = [asked.query for asked in api.server.requests if asked.path == "/api/v1/nodes"]
    assert ["continue" in page for page in pages] == [False, True, True]


def test_kubectl_lists_nodes_by_label(api: ThreadedAPIServer, tmp_path: Path) -> None:
    api.do(partial(APIServer.put, document=node("b", labels="pybal=no")))
    ca = certified("localhost")[CA]
    listed = kubectl(api.server, ca, tmp_path, "get", "nodes", "--selector=pybal=yes", "-o", "name")
    assert listed.split() == [f"node/{name}" for name in "acde"]


def test_kubectl_watches_changes_of_nodes(api: ThreadedAPIServer, tmp_path: Path) -> None:
    ca = certified("localhost")[CA]
    watch = command(api.server, ca, tmp_path, "get", "nodes", "--watch", "-o", NAME_AND_STATE)
    with subprocess.Popen(watch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watching:
        assert watching.stdout is not None
        try:
            assert [watching.stdout.readline() for _ in "abcde"] == [f"{name} \n" for name in "abcde"]
            kubectl(api.server, ca, tmp_path, "cordon", "c")
            assert watching.stdout.readline() == "c true\n"
            kubectl(api.server, ca, tmp_path, "uncordon", "c")
            assert watching.stdout.readline() == "c \n"
            api.do(partial(APIServer.delete, name="d"))
            assert watching.stdout.readline() == "d \n"
        finally:
            watching.kill()


def test_kubectl_prints_a_refusal(api: ThreadedAPIServer, tmp_path: Path) -> None:
    api.server.forbidden = {"list"}
    ran = command(api.server, certified("localhost")[CA], tmp_path, "get", "nodes")
    done = subprocess.run(ran, capture_output=True, text=True, timeout=30, check=False)
    assert '(Forbidden): nodes is forbidden: User "pybal" cannot list resource' in done.stderr
