"""The wanted and the actual state of IPVS as text, JSON and metrics, and their fingerprints."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from pybal.core.model import IPProtocol, Service
from pybal.ipvs import fingerprint
from pybal.ipvs.audit import Drift, Findings, Reading
from pybal.ipvs.goal import Intent
from pybal.ipvs.model import Command, Key, Op, ServiceKey, TableEntry, Traffic, Tunnel, entry, key_of
from pybal.status import ipvs
from tests.harness.snapshots import document, pool, server

WEB = Service("web", IPProtocol.TCP, IPv4Address("10.2.1.1"), 80, "wrr", monitors=("ProxyFetch",))
A, B = IPv4Address("10.0.0.11"), IPv4Address("10.0.0.12")
WANTED = entry(WEB, {A: 10})
EXTRA = entry(WEB, {A: 10, B: 10})
FOREIGN = Key(17, IPv4Address("10.9.9.9"), 53)

of_web, of_wanted, of_extra = "c1fcae4be8f0", "1bf7965c6cc9", "4e2a292c5239"


def findings(held: TableEntry | None = WANTED, *drift: Op, foreign: tuple[ServiceKey, ...] = ()) -> Findings:
    return Findings(
        interval=15.0,
        repairs=True,
        age=3.0,
        problem="",
        drift=Counter({("web", Drift.EXTRA): 1}) if drift else {},
        intents={key_of(WEB): Intent(WEB, WANTED, verified=not drift)},
        readings={key_of(WEB): Reading(held, 98.0, drift)},
        foreign=foreign,
        retired={},
    )


DRIFTED = findings(EXTRA, Op(Command.DELETE, WANTED.service, EXTRA.destinations[B, 80]), foreign=(FOREIGN,))


def test_text_has_the_verification_and_three_fingerprints_of_a_service() -> None:
    assert "".join(ipvs.services_text(findings(), 100.0)) == (
        f"web (tcp 10.2.1.1:80): verified, configuration {of_web}, wanted {of_wanted}, kernel {of_wanted} 2 s ago\n"
        "audited 3 s ago\n"
    )


def test_text_counts_changes_and_services_of_other_programs() -> None:
    assert "".join(ipvs.services_text(DRIFTED, 100.0)) == (
        f"web (tcp 10.2.1.1:80): not verified, configuration {of_web}, wanted {of_wanted},"
        f" kernel {of_extra} 2 s ago, 1 changed by another program\n"
        "not managed by PyBal: udp 10.9.9.9:53\n"
        "audited 3 s ago\n"
    )


def test_text_has_no_kernel_fingerprint_when_service_is_absent_or_unread() -> None:
    assert ", kernel absent 2 s ago\n" in "".join(ipvs.services_text(findings(None), 100.0))
    unread = replace(findings(), readings={}, problem="IPVS is gone")
    assert "".join(ipvs.services_text(unread, 100.0)).endswith(", not read yet\naudited 3 s ago: IPVS is gone\n")


def test_json_has_drift_and_foreign_services() -> None:
    assert document(ipvs.services_json(DRIFTED, 100.0)) == {
        "services": {
            "web": {
                "key": "tcp 10.2.1.1:80",
                "configuration": of_web,
                "intent": of_wanted,
                "kernel": of_extra,
                "verified": False,
                "audit_age": 2.0,
                "drift": ["ipvsadm -d -t 10.2.1.1:80 -r 10.0.0.12:80"],
                "drift_total": {"destination-extra": 1},
            }
        },
        "retired": [],
        "foreign": ["udp 10.9.9.9:53"],
        "audit": {"age": 3.0, "interval": 15.0, "repairs": True, "problem": None},
    }


def test_metrics_count_drift_and_foreign_services() -> None:
    series = {family.name: list(family.series) for family in ipvs.families(DRIFTED)}
    assert series == {
        "pybal_ipvs_drift_total": [((("kind", "destination-extra"), ("service", "web")), 1)],
        "pybal_ipvs_drift": [((("service", "web"),), 1)],
        "pybal_ipvs_foreign_services": [((), 1)],
        "pybal_ipvs_audit_age_seconds": [((), 3.0)],
        "pybal_ipvs_audit_up": [((), True)],
    }


def test_fingerprints_of_equal_tables_are_equal_in_any_order() -> None:
    assert fingerprint.of_entry(entry(WEB, {A: 10, B: 5})) == fingerprint.of_entry(entry(WEB, {B: 5, A: 10}))
    assert fingerprint.of_entry(WANTED) == of_wanted
    assert fingerprint.of_entry(None) == ""


@pytest.mark.parametrize(
    "changed",
    [
        entry(WEB, {A: 9}),
        entry(WEB, {B: 10}),
        entry(WEB, {}),
        entry(replace(WEB, scheduler="sh"), {A: 10}),
        entry(replace(WEB, scheduler_flags=("flag-1",)), {A: 10}),
        entry(replace(WEB, tunneling=True), {A: 10}),
        entry(replace(WEB, one_packet=True), {A: 10}),
        TableEntry(WANTED.service, {(A, 80): replace(WANTED.destinations[A, 80], upper=7)}),
        TableEntry(WANTED.service, {(A, 80): replace(WANTED.destinations[A, 80], upper=7, lower=3)}),
        TableEntry(WANTED.service, {(A, 80): replace(WANTED.destinations[A, 80], tunnel=Tunnel(flags=4))}),
    ],
)
def test_fingerprint_changes_with_every_field_of_an_entry(changed: TableEntry) -> None:
    assert fingerprint.of_entry(changed) != of_wanted


@pytest.mark.parametrize(
    "changed",
    [
        replace(WEB, name="www"),
        replace(WEB, scheduler="sh"),
        replace(WEB, scheduler_flags=("sh-port",)),
        replace(WEB, depool_threshold=0.6),
        replace(WEB, monitors=()),
        replace(WEB, one_packet=True),
        replace(WEB, tunneling=True),
        replace(WEB, port=81),
        replace(WEB, vip=IPv4Address("10.2.1.2")),
        replace(WEB, protocol=IPProtocol.UDP),
    ],
)
def test_fingerprint_changes_with_every_field_of_a_section(changed: Service) -> None:
    assert fingerprint.of_service(WEB) == of_web
    assert fingerprint.of_service(changed) != of_web


def test_traffic_has_the_server_at_the_address_if_any() -> None:
    traffic = [((A, 80), Traffic(1, 2, 30, 400, 5000)), ((B, 8080), Traffic(0, 0, 0, 0, 0))]
    read = replace(findings(), readings={key_of(WEB): Reading(WANTED, 98.0, (), traffic)})
    shown = {"web": pool("web", replace(server("a"), address=A), replace(server("b"), address=A))}
    families = [each for each in ipvs.destination_families(read, shown) if each]
    a = ("destination", "10.0.0.11:80"), ("host", "a"), ("service", "web")
    b = ("destination", "10.0.0.12:8080"), ("host", ""), ("service", "web")
    assert [(family.name.removeprefix("pybal_ipvs_destination_"), list(family.series)) for family in families] == [
        ("active_connections", [(a, 1), (b, 0)]),
        ("inactive_connections", [(a, 2), (b, 0)]),
        ("connections_total", [(a, 30), (b, 0)]),
        ("packets_total", [(a, 400), (b, 0)]),
        ("bytes_total", [(a, 5000), (b, 0)]),
    ]


def test_traffic_of_a_service_that_left_is_not_shown() -> None:
    read = replace(findings(), readings={key_of(WEB): Reading(WANTED, 98.0, (), [((A, 80), Traffic(1, 2, 3, 4, 5))])})
    assert [each.series for each in ipvs.destination_families(read, {}) if each] == [[]] * 5
