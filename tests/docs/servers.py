"""Servers of the machines of the documentation: the files of each, and the unit that serves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tests.harness.servers.kubernetes import TOKEN
from tests.harness.servers.kubernetes_wire import certified

ADDRESSES: Mapping[str, int] = MappingProxyType(
    {
        "lvs1": 1,
        "lvs2": 2,
        "web1": 11,
        "web2": 12,
        "web3": 13,
        "web4": 14,
        "conf1": 20,
        "etcd1": 21,
        "dns1": 22,
        "k8s1": 23,
        "monitor1": 30,
        "client": 100,
        "router": 254,
        "router2": 253,
    }
)
"""The last byte of the address of each machine."""

DOMAIN = "example.org"

_NGINX = """
pid /run/nginx.pid;
events {}
http {
    access_log off;
    server {
        listen 80;
        location / { %s }
    }
}
"""
_BIRD = """
router id 10.0.0.254;
protocol device {}
protocol kernel { ipv4 { export all; }; }
""" + "".join(
    f"""
protocol bgp {name} {{
    local as 64601;
    neighbor 10.0.0.{ADDRESSES[name]} as 64600;
    error wait time 1, 2;
    connect delay time 1;
    ipv4 {{ import all; export none; }};
}}
"""
    for name in ("lvs1", "lvs2")
)
_ETCD = """
ETCD_DATA_DIR=/run/etcd
ETCD_LISTEN_PEER_URLS=http://127.0.0.1:2380
ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379
ETCD_ADVERTISE_CLIENT_URLS=http://etcd1.example.org:2379
ETCD_ENABLE_V2=true
"""
_UNBOUND = """
server:
    interface: 0.0.0.0
    access-control: 10.0.0.0/24 allow
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    include: /etc/unbound/local.d/*.conf
remote-control:
    control-enable: no
"""


class Served(NamedTuple):
    """The files of a machine, by path, and its unit; an empty unit starts nothing."""

    files: Mapping[str, str]
    unit: str


def served(name: str) -> Served:
    """Return the files and the unit of a machine."""
    if name.startswith("web"):
        page = f'default_type text/plain; return 200 "{name}\\n";'
        return Served({"/etc/nginx/nginx.conf": _NGINX % page}, "nginx")
    if name == "conf1":
        return Served({"/etc/nginx/nginx.conf": _NGINX % "root /etc/nginx/html;"}, "nginx")
    if name == "router":
        return Served({"/etc/bird/bird.conf": _BIRD}, "bird")
    if name == "etcd1":
        return Served({"/etc/default/etcd": _ETCD}, "etcd")
    if name == "dns1":
        zone = f'local-zone: "{DOMAIN}." static\n'
        return Served({"/etc/unbound/unbound.conf": _UNBOUND, "/etc/unbound/local.d/zone.conf": zone}, "unbound")
    if name == "k8s1":
        return Served(_kubernetes(), "kube-apiserver")
    return Served({"/etc/pybal/k8s-ca.pem": _certified()[0]}, "")


@cache
def _certified() -> tuple[str, str]:
    authority, certificate = certified(f"k8s1.{DOMAIN}")
    return Path(authority).read_text(), Path(certificate).read_text()


def _kubernetes() -> Mapping[str, str]:
    authority, certificate = _certified()
    configuration = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "k8s1",
                "cluster": {"server": f"https://k8s1.{DOMAIN}:6443", "certificate-authority": "/etc/kubernetes/ca.pem"},
            }
        ],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "admin", "context": {"cluster": "k8s1", "user": "admin"}}],
        "current-context": "admin",
    }
    return {
        "/etc/kubernetes/ca.pem": authority,
        "/etc/kubernetes/server.pem": certificate,
        "/etc/kubernetes/admin.conf": json.dumps(configuration),
    }
