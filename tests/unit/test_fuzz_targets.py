"""Every module that parses bytes from outside has a fuzz target, or a reason why not."""

from __future__ import annotations

import ast
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path

import pytest

from tests.fuzz.all_targets import all_targets, one_target
from tests.harness.syntax import ROOT, modules, nodes_of

PARSING = frozenset((
    "a2b_base64", "b64decode", "decode", "from_bytes", "fromhex", "fromisoformat", "ip_address", "ip_network", "isdecimal", "isdigit",
    "literal_eval", "load_der_x509_certificate", "loads", "read_bytes", "read_text", "recv", "splitlines", "unpack", "unpack_from",
    "unquote", "unquote_to_bytes", "urlsplit",
))  # fmt: skip
"""Functions and methods that turn bytes or text into values."""

WITHOUT_TARGET = {
    "pybal.bgp.exabgp.process": "logs what exabgp_line and log_fold parse",
    "pybal.bgp.exabgp.relay": "passes lines on; tested by tests/unit/test_bgp_exabgp_relay.py",
    "pybal.bgp.local_address": "addresses of the kernel by getsockname",
    "pybal.bgp.model": "values of this process",
    "pybal.checks.datagram": "passes datagrams to dns_check and icmp_packet",
    "pybal.checks.dns": "passes messages to dns_check; tests/contract/test_monitors_hostile.py",
    "pybal.checks.idle": "counts bytes and drops them",
    "pybal.checks.stream": "passes bytes to the checks that check_* run",
    "pybal.client.beside": "a result of a copy of this process",
    "pybal.client.commands": "replies are those of control_reply",
    "pybal.client.convert": "reads the file of keepalived_conf",
    "pybal.client.doctor": "reads the file of pybal_conf",
    "pybal.client.reader": "documents are those of client_documents",
    "pybal.config.exposed_sources": "values that options have accepted",
    "pybal.control.commands": "requests are those of control_request",
    "pybal.control.drain_commands": "a text of control_request to ip_address",
    "pybal.control.group": "an option that option_values has converted",
    "pybal.control.place": "reads the file of pybal_conf, which runs it",
    "pybal.core.text": "escapes; the property of every target that a text is printable",
    "pybal.core.transitions": "unpacks what this process packed",
    "pybal.daemon.check": "reads the file of pybal_conf",
    "pybal.doctor.access": "users and groups of the name service",
    "pybal.doctor.rules": "values of proc_files",
    "pybal.http.client": "a host that options have accepted",
    "pybal.ipvs.ipvsadm": "runs the command whose output ipvsadm_output parses",
    "pybal.journal.rebuild": "splits lines for the reader and the replay of journal",
    "pybal.monitors.grpc": "an option that option_values has converted",
    "pybal.monitors.history": "unpacks what this process packed",
    "pybal.monitors.proxyfetch": "URLs that options have accepted",
    "pybal.monitors.redis": "a password that secret_file has read",
    "pybal.resolve.dns": "passes messages to dns_response; tests/unit/test_resolve_lookup.py",
    "pybal.resolve.follow": "an address or a name of a member",
    "pybal.runtime.child": "capabilities of this process, from the kernel",
    "pybal.runtime.inherited": "addresses of the kernel by getsockname",
    "pybal.runtime.instance": "names of sockets and owners, from the kernel",
    "pybal.runtime.peercred": "a structure of the kernel",
    "pybal.runtime.spawner": "lines of the helper process of this daemon",
    "pybal.runtime.watched_file": "compares files and parses none",
    "pybal.sources.etcd.v3": "responses are those of etcd3_response",
    "pybal.sources.kubernetes.source": "URLs that options have accepted",
    "pybal.status.first_answers": "a structure of the kernel",
    "pybal.status.metrics": "renders",
    "pybal.status.page.pool": "reads what this process rendered",
    "pybal.status.page.server": "reads what this process rendered",
    "pybal.status.process": "numbers of this process, from the kernel",
}
"""Modules that use such a function but parse nothing from outside by themselves."""


def called(path: Path) -> set[str]:
    """Return the names of the functions and methods that a module calls."""
    calls = [node.func for node in nodes_of(path) if isinstance(node, ast.Call)]
    return {
        each.attr if isinstance(each, ast.Attribute) else each.id
        for each in calls
        if isinstance(each, ast.Attribute | ast.Name)
    }


@cache
def parsing() -> AbstractSet[str]:
    """Return the modules that call one of the functions of :data:`PARSING`."""
    return {module for module, file in modules().items() if called(file) & PARSING}


def fuzzed() -> set[str]:
    return {module for target in all_targets().values() for module in target.parses}


def test_module_that_parses_bytes_has_a_target_or_a_reason() -> None:
    assert sorted(parsing() - fuzzed() - WITHOUT_TARGET.keys()) == []


def test_module_without_a_target_parses_and_exists() -> None:
    assert sorted(WITHOUT_TARGET.keys() - parsing()) == []
    assert sorted(WITHOUT_TARGET.keys() & fuzzed()) == []


def test_target_names_modules_that_exist() -> None:
    assert sorted(name for name in fuzzed() if not (ROOT / (name.replace(".", "/") + ".py")).exists()) == []


@pytest.mark.parametrize("name", all_targets())
def test_target_has_a_claim_and_inputs_that_pass(name: str) -> None:
    target = all_targets()[name]
    assert (target.run.__doc__ or "").endswith(".")
    assert target.seeds
    for data in target.seeds:
        target.run(data)
    assert one_target(name).run.__doc__ == target.run.__doc__
