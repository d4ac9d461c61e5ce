"""Secrets of a running daemon: where they are, and where they never appear."""

from __future__ import annotations

import stat
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybal.status.openapi import ENDPOINTS
from tests.harness.daemon_process import Daemon, Deployment, daemon

HOST = "127.0.1.23"
SECRETS = ("md5-s3cr3t", "etcd-s3cr3t", "http-s3cr3t", "url-s3cr3t", "k8s-s3cr3t", "header-s3cr3t", "redis-s3cr3t")
CONF = """\
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
control-socket = {directory}/control.sock
ipvs-backend = memory
bgp = yes
bgp-local-asn = 64600
bgp-peer-address = 192.0.2.251
bgp-nexthop-ipv4 = 10.9.0.1
bgp-md5-password-file = {directory}/secrets/md5

[etcd localhost:{port}]
tls = no
user = joe
password-file = {directory}/secrets/etcd

[http 127.0.1.23:{port}]
token-file = {directory}/secrets/http

[DEFAULT]
protocol = tcp
port = {port}
scheduler = wrr

[web]
ip = 192.0.2.1
config = file://{directory}/web.pool
monitors = ['ProxyFetch', 'RunCommand', 'Redis']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.headers = ['Authorization: Bearer header-s3cr3t']
redis.password-file = {directory}/secrets/redis
runcommand.command = /bin/sh
runcommand.arguments = ['-c', 'env > {directory}/environment; exec sleep 1']
runcommand.interval = 1

[etcd]
ip = 192.0.2.2
config = etcd://localhost:{port}/pools/etcd/?api=3

[http]
ip = 192.0.2.3
config = http://127.0.1.23:{port}/pool

[url]
ip = 192.0.2.4
config = http://joe:url-s3cr3t@localhost:{port}/pool

[k8s]
ip = 192.0.2.5
config = k8s://k8s-s3cr3t@localhost:{port}
"""
IN_BASE64 = ("joe:url-s3cr3t", "joe:etcd-s3cr3t")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    (tmp_path / "secrets").mkdir()
    for name in ("md5", "etcd", "http", "redis"):
        (tmp_path / "secrets" / name).write_text(f"{name}-s3cr3t\n")
    (tmp_path / "run").mkdir(mode=0o711)
    (tmp_path / "state").mkdir()
    deployment = Deployment(tmp_path, [HOST], CONF)
    yield deployment
    deployment.stop()


def shown(texts: dict[str, str]) -> list[tuple[str, str]]:
    """Return the places of the texts in which a secret is, as it is or in base64."""
    forms = (*SECRETS, *(b64encode(each.encode()).decode() for each in IN_BASE64))
    return [(place, form) for place, text in texts.items() for form in forms if form in text]


def processes(running: Daemon) -> dict[str, str]:
    """Return arguments and environment of the daemon and of all its descendants."""
    found, new = set[int](), {running.process.pid}
    while new:
        found |= new
        new = {
            int(pid)
            for each in new
            for tasks in Path(f"/proc/{each}/task").glob("*/children")
            for pid in tasks.read_text().split()
        }
    return {
        f"{name} of {pid}": Path(f"/proc/{pid}/{name}").read_text(errors="replace")
        for pid in found
        for name in ("cmdline", "environ")
        if Path(f"/proc/{pid}").exists()
    }


def views(running: Daemon) -> dict[str, str]:
    """Return the responses of all endpoints, as text and as JSON."""
    paths = [each.path.format(service="web", host=HOST) for each in ENDPOINTS] + [
        "/",
        "/page/bgp",
        "/page/sources",
        "/page/host",
        "/page/pools/web",
        "/page/pools/url",
    ]
    return {
        f"{path} {accept}": running.get(path, accept)
        for path in paths
        if "events" not in path
        for accept in ("", "application/json")
    }


def test_secret_is_in_its_file_and_in_that_of_exabgp_only(deployment: Deployment) -> None:
    directory = deployment.directory
    prefix = ("env", f"RUNTIME_DIRECTORY={directory}/run", f"STATE_DIRECTORY={directory}/state", "HOME=url-s3cr3t")
    exabgp = directory / "run/bgp/exabgp.conf"
    with daemon(directory, "-d", prefix=prefix, endpoint=deployment.endpoint) as running:
        running.wait(lambda: exabgp.exists() and (directory / "environment").exists(), "ExaBGP and a command")
        running.wait(
            lambda: all(f"[{name}] ERROR" in running.log for name in ("etcd", "url", "k8s")), "errors of sources"
        )
        texts = processes(running)
        assert any("exabgp" in text for text in texts.values())
        texts = {place: text for place, text in texts.items() if place != f"environ of {running.process.pid}"}
        texts |= views(running)
        text = deployment.conf.read_text()
        deployment.conf.write_text(
            text.replace("url-s3cr3t", "k8s-s3cr3t").replace("header-", "redis-").replace("k8s://k8s", "k8s://url")
        )
        for command in ("plan", "diff", "status", "check-config", "doctor", "preflight"):
            result = deployment.pybal(command)
            texts[command] = result.stdout + result.stderr
        assert "~ service url: config http://***@localhost" in texts["plan"]
        running.reload()
        deployment.conf.write_text(
            text.replace("proxyfetch.headers = [", "proxyfetch.headers = [(").replace("k8s://", "k8s:/")
        )
        assert not running.reload()["accepted"]
        texts |= views(running)
        files = {path for path in directory.rglob("*") if path.is_file() and path.parent.name != "secrets"}
        texts |= {str(path): path.read_text(errors="replace") for path in files - {deployment.conf, exabgp}}
        assert stat.S_IMODE(exabgp.stat().st_mode) == 0o600
        assert stat.S_IMODE(exabgp.parent.stat().st_mode) == 0o700
        assert "md5-s3cr3t" in exabgp.read_text()
        assert shown(texts) == []
        assert running.stop() == 0
    assert shown({"log": running.log}) == []
    assert not exabgp.exists()
