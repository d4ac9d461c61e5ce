"""The Kubernetes API server of the documentation: `python -m tests.docs.kubernetes_server`.

It is that of the tests, and kubectl works with it. It serves three nodes on port 6443. Its certificate is /etc/kubernetes/server.pem.
"""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

from tests.harness.servers.kubectl import serve_kubectl
from tests.harness.servers.kubernetes import APIServer, ThreadedAPIServer, node

CERTIFICATE = Path("/etc/kubernetes/server.pem")


def main() -> None:
    api = ThreadedAPIServer(CERTIFICATE)
    api.server.interface, api.server.port = "0.0.0.0", 6443
    serve_kubectl(api.server)
    api.start()
    for number in (1, 2, 3):
        api.do(partial(APIServer.put, document=node(f"web{number}.example.org", labels="lb=web")))
    threading.Event().wait()


if __name__ == "__main__":
    main()
