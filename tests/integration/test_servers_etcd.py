"""The etcd servers of the tests: versions of the API, TLS, passwords, elections."""

from __future__ import annotations

import base64
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.certificates import Authority
from tests.harness.servers.etcd import Cluster, debian, etcd, newest


@pytest.mark.parametrize("path", [debian, newest])
def test_etcd_serves_both_versions_of_the_api(path: Callable[[], str], tmp_path: Path) -> None:
    one = etcd(tmp_path, path=path())
    with one.server:
        one.put("/pools/web", "2")
        assert one.v2("GET", "/pools/web")["node"]["value"] == "2"
        one.v3("kv/put", key=b"/pools/web", value=b"3")
        (found,) = one.v3("kv/range", key=b"/pools/web")["kvs"]
        assert base64.b64decode(found["value"]) == b"3"


def test_etcd_requires_passwords_and_uses_tls(tmp_path: Path) -> None:
    one = etcd(tmp_path, authority=Authority(tmp_path))
    with one.server:
        one.require_passwords()
        with pytest.raises(urllib.error.HTTPError) as refused:
            one.put("/pools/web", "2")
        assert refused.value.code == 401


def test_cluster_elects_a_leader_when_the_last_one_is_dead(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.members[0].put("/pools/web", "2")
        dead = cluster.leader()
        dead.server.kill()
        rest = [member for member in cluster.members if member is not dead]
        cluster.wait(rest)
        rest[0].put("/pools/web", "3")
        assert rest[1].v2("GET", "/pools/web", quorum="true")["node"]["value"] == "3"
