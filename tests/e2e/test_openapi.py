"""The OpenAPI description, checked by schemathesis against a daemon in several states."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import requests
from hypothesis import HealthCheck, given, settings

from tests.harness.daemon_process import Daemon, Deployment, daemon

schemathesis: Any = pytest.importorskip("schemathesis", reason="wants schemathesis (run make setup)")
checks: Any = pytest.importorskip("schemathesis.checks")

HOSTS = ("127.0.1.21", "127.0.1.22", "127.0.1.23", "127.0.1.24")
CONF = """\
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
control-socket = {directory}/control.sock
ipvs-backend = memory
suspect-self = off
bgp = yes
bgp-local-asn = 64600
bgp-peer-address = 192.0.2.251
bgp-nexthop-ipv4 = 10.9.0.1
bgp-nexthop-ipv6 = 2001:db8::1

[web]
protocol = tcp
ip = 192.0.2.1
port = {port}
scheduler = mh
scheduler-flag = mh-port
config = file://{directory}/web.pool
monitors = ['ProxyFetch', 'IdleConnection']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.3
proxyfetch.timeout = 0.3

[dns/53 ü]
protocol = udp
ip = 2001:db8::53
port = 53
scheduler = wrr
ops = yes
config = file://{directory}/missing.pool
"""
JSON = "application/json"
ACCEPTS = (JSON, "*/*")
NAMES = [("web", host) for host in HOSTS] + [("dns/53 ü", "nowhere"), ("nowhere", HOSTS[0])]
IRRELEVANT = ("positive_data_acceptance",)
"""A name that no service has is valid, and gets 404."""


class Description:
    """The served description, and requests of all its paths that are checked against it."""

    def __init__(self, endpoint: str) -> None:
        checks.load_all_checks()
        self._session = requests.Session()
        self._session.trust_env = False
        self._endpoint = endpoint
        document = self._session.get(f"{endpoint}/v1/openapi.json", timeout=60).json()
        self.schema = schemathesis.openapi.from_dict(document)
        self.operations = {path: self.schema[path]["GET"] for path in document["paths"]}
        self.seen: dict[str, set[int]] = {path: set() for path in document["paths"]}
        self._excluded = [checks.CHECKS.get_one(name) for name in IRRELEVANT]

    def check(self, case: Any, accept: str) -> None:
        """Request a path and check its response."""
        self._session.headers["Accept"] = accept  # those of the session replace those of the case
        response = case.call(base_url=self._endpoint, session=self._session, timeout=60)
        case.validate_response(response, excluded_checks=self._excluded)
        if accept == JSON:
            assert (response.headers["content-type"][0] == JSON) != (case.path == "/metrics")
        self.seen[case.path].add(response.status_code)

    def check_all(self) -> None:
        """Request every path with the names of the daemon and others, as JSON and as text."""
        for path, operation in self.operations.items():
            names = NAMES if "{host}" in path else NAMES[-3:] + NAMES[:1] if "{service}" in path else NAMES[:1]
            for service, host in names:
                for accept in ACCEPTS:
                    parameters = {
                        name: value for name, value in (("service", service), ("host", host)) if f"{{{name}}}" in path
                    }
                    self.check(operation.Case(path_parameters=parameters), accept)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path, HOSTS, CONF)
    yield deployment
    deployment.stop()


def pool(running: Daemon) -> dict[str, Any]:
    return cast("dict[str, Any]", running.get_json("/v1/pools/web") or {})


def test_every_response_in_every_state_matches_the_description(deployment: Deployment) -> None:
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait(lambda: pool(running).get("serving") == 4, "all servers to serve")
        described = Description(deployment.endpoint)
        described.check_all()

        deployment.servers[HOSTS[0]].stop()
        running.wait(lambda: pool(running)["serving"] == 3, "a server to fail")
        described.check_all()

        for host in HOSTS[1:]:
            deployment.servers[host].stop()
        running.wait(lambda: pool(running)["forced"] == 2, "servers to be forced in")
        for command in (
            ("drain", "all", "--reason", "r"),
            ("drain", "192.0.2.1", "--reason", "r"),
            ("depool", "web", HOSTS[1], "--force", "--reason", "r"),
            ("freeze", "--reason", "r"),
        ):
            assert deployment.pybal(*command).returncode == 0
        described.check_all()

        assert deployment.pybal("thaw").returncode == 0
        valid = deployment.conf.read_text()
        deployment.conf.write_text(valid + "[bad]\n")
        assert running.reload()["accepted"] is False
        described.check_all()

        deployment.conf.write_text(valid.partition("[dns/53")[0].replace("mh-port", "mh-fallback"))
        assert running.reload()["accepted"] is True
        described.check_all()
        assert deployment.pybal("undrain", "all").returncode == 0

        assert {path for path, codes in described.seen.items() if 200 not in codes} == set()
        assert {path for path, codes in described.seen.items() if 404 in codes} == {
            path for path in described.seen if "{" in path
        }
        assert running.stop() == 0


def test_generated_names_never_cause_an_error(deployment: Deployment) -> None:
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        running.wait(lambda: pool(running).get("listed"), "the first list")
        described = Description(deployment.endpoint)
        for operation in described.operations.values():

            @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy())
            def request(case: Any) -> None:
                described.check(case, JSON)

            request()
        assert running.stop() == 0
