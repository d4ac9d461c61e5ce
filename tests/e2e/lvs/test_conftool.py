"""Changes by confctl reach the kernel: real confctl, etcd, daemon and ip_vs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.harness.daemon_process import daemon
from tests.harness.guest.network import VIP, lab
from tests.harness.servers.conftool import DIRECTORY, Conftool
from tests.harness.servers.etcd import etcd

CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']

[etcd 127.0.0.1:{port}]
tls = no

[web]
protocol = tcp
ip = {vip}
port = 80
scheduler = wrr
config = etcd://127.0.0.1:{port}{directory}/web/
monitors = ['IdleConnection']
"""


def weights() -> Mapping[str, str]:
    """Return the weights in the kernel by address."""
    printed = subprocess.run(["ipvsadm", "-Sn"], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in printed.splitlines() if line.startswith("-a ")]
    return {words[4].removesuffix(":80"): words[words.index("-w") + 1] for words in lines}


def test_each_change_by_confctl_reaches_the_kernel(tmp_path: Path, say: Callable[[str], None]) -> None:
    with lab(3) as made, made.director.entered():
        a, b, c = (str(server.address) for server in made.servers)
        for server in made.servers:
            server.serve()
        one = etcd(tmp_path)
        with one.server, Conftool(tmp_path, one) as conftool:
            (tmp_path / "pybal.conf").write_text(CONF.format(port=one.port, vip=VIP, directory=DIRECTORY))
            conftool.sync({"web": [a, b]})
            for host in (a, b):
                conftool.set("web", host, "pooled=yes:weight=10")
            with daemon(tmp_path, endpoint="http://127.0.0.1:9090") as running:

                def becomes(wanted: Mapping[str, str], what: str) -> None:
                    running.wait(lambda: weights() == wanted, f"the table {wanted}, not {weights()}")
                    say(f"conftool, {what}: in the kernel after {time.monotonic() - conftool.written:.2f} s")

                running.wait(lambda: weights() == {a: "10", b: "10"}, "the servers in the kernel")
                conftool.set("web", a, "pooled=no")
                becomes({b: "10"}, "pooled=no")
                conftool.set("web", a, "pooled=yes")
                becomes({a: "10", b: "10"}, "pooled=yes")
                conftool.set("web", b, "weight=7")
                becomes({a: "10", b: "7"}, "weight=7")
                conftool.sync({"web": [a, b, c]})
                conftool.set("web", c, "pooled=yes:weight=3")
                becomes({a: "10", b: "7", c: "3"}, "a new node")
                conftool.set("web", a, "pooled=inactive")
                becomes({b: "7", c: "3"}, "pooled=inactive")
                conftool.sync({"web": [b, c]})
                one.server.kill()
                running.wait(lambda: "onnection refused" in running.get("/v1/alerts"), "the alert")
                assert weights() == {b: "7", c: "3"}
                one.server.start()
                conftool.sync({"web": [c]})
                becomes({c: "3"}, "a node removed after a restart of etcd")
                assert made.client.get(VIP) == made.servers[2].name
