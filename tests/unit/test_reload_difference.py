"""The differences between two configurations, in the terms of pybal.conf."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from pybal.bgp.model import Announcement
from pybal.bgp.verdict import Verdict, Why
from pybal.config.general import GLOBAL_OPTIONS
from pybal.config.limit import Limit
from pybal.config.services import service_options
from pybal.config.settings import (
    AccessSettings,
    BGPSettings,
    DrainSettings,
    DriftPolicy,
    InstrumentationSettings,
    IPVSSettings,
    PeerSettings,
    ServiceSettings,
    Settings,
    SourceSettings,
)
from pybal.config.source_options import ACCESS_OPTIONS
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.kinds import KINDS, name_of
from pybal.reload.difference import (
    announcement_reasons,
    general_reasons,
    peer_reasons,
    restart_reasons,
    service_reasons,
)
from tests.harness.fake_services import FETCH, IDLE, ONE, web
from tests.harness.kind_settings import minimal

ALL = [minimal(kind) for kind in KINDS]
SERVICE_OPTIONS = service_options(KINDS)
PEER = PeerSettings(IPv4Address("192.0.2.254"), 64600)


def variants(value: Any) -> Iterator[Any]:
    """Yield copies of a value, each with one field changed, at any depth."""
    for field in fields(value):
        now = getattr(value, field.name)
        if is_dataclass(now):
            yield from (replace(value, **{field.name: one}) for one in variants(now))
        else:
            yield replace(value, **{field.name: changed_value(now)})


def changed_value(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case bytes():
            return value + b"x"
        case tuple():
            return (*value, "x")
        case _:
            return Limit(3)


@pytest.mark.parametrize("monitor", ALL, ids=name_of)
def test_difference_names_each_option_of_a_monitor(monitor: MonitorSettings) -> None:
    old = web(monitors=(monitor,))
    for changed in variants(monitor):
        (reason,) = service_reasons(old, replace(old, monitors=(changed,)))
        assert reason.split()[0] in SERVICE_OPTIONS


def test_difference_names_each_option_of_a_service() -> None:
    old = web()
    source: Any = old.source
    for changed in variants(replace(source, access=None)):
        given = changed.port, changed.threshold, changed.monitored
        if (changed.access, given) == (None, (old.source.port, old.source.threshold, old.source.monitored)):
            (reason,) = service_reasons(old, replace(old, source=replace(changed, access=old.source.access)))
            assert reason.split()[0] in SERVICE_OPTIONS
    own = {"bgp", "bgp_med", "bgp_withdraw_below", "bgp_vip_policy", "share_checks"}
    assert own | {"service", "source", "monitors", "line"} == {field.name for field in fields(ServiceSettings)}
    for name in own:
        (reason,) = service_reasons(old, replace(old, **{name: changed_value(getattr(old, name))}))
        assert reason.split()[0] in SERVICE_OPTIONS


def test_depool_threshold_is_named_once_when_the_source_uses_it() -> None:
    old, new = web(depool_threshold=0.5), web(depool_threshold=0.75)
    old = replace(old, source=replace(old.source, threshold=0.5))
    new = replace(new, source=replace(new.source, threshold=0.75))
    assert list(service_reasons(old, new)) == ["depool-threshold 0.5 -> 0.75"]


def test_difference_names_each_option_of_a_source_server() -> None:
    old = web()
    for changed in variants(old.source.access):
        (reason,) = service_reasons(old, replace(old, source=replace(old.source, access=changed)))
        assert reason.split()[0] in {option for known in ACCESS_OPTIONS.values() for option in known}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (web("www"), "was [web]"),
        (web(scheduler="mh"), "scheduler wrr -> mh"),
        (web(scheduler_flags=("mh-port",)), "scheduler-flag changed"),
        (web(one_packet=True), "ops no -> yes"),
        (web(tunneling=True), "tunneling no -> yes"),
        (web(depool_threshold=0.75), "depool-threshold 0.5 -> 0.75"),
        (web(source="http://user:secret@conf/web"), f"config {ONE} -> http://***@conf/web"),
        (web(source="file:///" + "x" * 80), "config changed"),
        (web(monitors=()), "monitors - ProxyFetch"),
        (web(monitors=(FETCH, IDLE)), "monitors + IdleConnection"),
        (web(monitors=(replace(FETCH, http_status=404),)), "proxyfetch.http_status 200 -> 404"),
        (web(monitors=(replace(FETCH, headers=(("Authorization", "x"),)),)), "proxyfetch.headers changed"),
        (web(bgp_med=100), "bgp-med 0 -> 100"),
        (web(share_checks=True), "share-checks no -> yes"),
    ],
)
def test_difference_has_both_values_when_short_and_not_secret(changed: ServiceSettings, reason: str) -> None:
    assert list(service_reasons(web(), changed)) == [reason]


def test_order_of_monitors_is_a_difference_and_the_line_is_not() -> None:
    old = web(monitors=(FETCH, IDLE))
    assert list(service_reasons(old, web(monitors=(IDLE, FETCH)))) == [
        "monitors ProxyFetch, IdleConnection -> IdleConnection, ProxyFetch"
    ]
    assert list(service_reasons(old, replace(old, line=7))) == []


def test_difference_omits_the_token_of_a_source() -> None:
    (reason,) = service_reasons(web(source="k8s://old@k8s:443"), web(source="k8s://new@k8s:443"))
    assert "old" not in reason
    assert "new" not in reason


@pytest.mark.parametrize(
    ("changed", "reasons"),
    [
        (Settings((), max_blast_radius=1.0), ["max-blast-radius 0.5 -> 1"]),
        (
            Settings((), ipvs=IPVSSettings(5.0, DriftPolicy.REPORT)),
            ["ipvs-audit-interval 15 -> 5", "ipvs-drift repair -> report"],
        ),
        (Settings((), instrumentation=InstrumentationSettings((ip_address("::1"),))), ["instrumentation no -> yes"]),
        (Settings((), dry_run=True, control_group="root"), []),
    ],
)
def test_general_reasons_list_options_outside_services(changed: Settings, reasons: list[str]) -> None:
    assert list(general_reasons(Settings(()), changed)) == reasons
    assert {reason.split()[0] for reason in reasons} <= GLOBAL_OPTIONS


def test_difference_names_each_option_of_bgp() -> None:
    old = BGPSettings((), drain=DrainSettings())
    for changed in variants(old):
        if changed.peers == ():
            (reason,) = general_reasons(Settings((), old), Settings((), changed))
            assert reason.split()[0] in GLOBAL_OPTIONS


def test_difference_names_each_option_of_the_endpoints() -> None:
    old = InstrumentationSettings((ip_address("127.0.0.1"),))
    new = replace(old, ips=(ip_address("::1"), ip_address("127.0.0.1")), port=9091)
    assert list(general_reasons(Settings((), None, old), Settings((), None, new))) == [
        "instrumentation_ips 127.0.0.1 -> ::1 127.0.0.1",
        "instrumentation_port 9090 -> 9091",
    ]


def test_restart_reasons_list_options_that_need_a_restart() -> None:
    new = Settings((), BGPSettings(()), dry_run=True, control_socket="/run/x")
    assert list(restart_reasons(Settings(()), new)) == [
        "dry-run no -> yes: restart pybal to apply it",
        "control-socket none -> /run/x: restart pybal to apply it",
        "bgp no -> yes: restart pybal to apply it",
    ]
    assert list(restart_reasons(new, new)) == []


def test_peer_reasons_list_added_removed_and_changed_peers() -> None:
    other = PeerSettings(IPv4Address("192.0.2.253"), 64600)
    third = PeerSettings(IPv4Address("192.0.2.252"), 64600)
    old = Settings((), BGPSettings((PEER, other)))
    new = Settings((), BGPSettings((replace(PEER, hold_time=30, md5_password_file="/etc/secret"), third)))  # a path
    assert list(peer_reasons(old, new)) == [
        "~ peer 192.0.2.254: bgp-hold-time 9 -> 30, bgp-md5-password-file none -> /etc/secret; resets its session",
        "+ peer 192.0.2.252",
        "- peer 192.0.2.253",
    ]


def test_peer_reasons_name_a_changed_password() -> None:
    secret = replace(PEER, md5_password_file="/etc/secret")  # a path
    settings = Settings((), BGPSettings((secret,)))
    assert list(peer_reasons(settings, settings, {PEER.address})) == [
        "~ peer 192.0.2.254: MD5 password changed; resets its session"
    ]
    listening = Settings((), BGPSettings((secret,), local_ips=(IPv4Address("192.0.2.10"),)))
    assert list(peer_reasons(listening, listening, {PEER.address})) == [
        "~ peer 192.0.2.254: MD5 password changed; resets all BGP sessions"
    ]
    assert list(peer_reasons(settings, Settings((), BGPSettings((PEER,))), {PEER.address})) == [
        "~ peer 192.0.2.254: bgp-md5-password-file /etc/secret -> none; resets its session"
    ]


def test_announcement_reasons_list_added_removed_and_changed_ones() -> None:
    a, b, c, d, e = (IPv4Address("192.0.2.1") + n for n in range(5))
    before = (
        Verdict(a, Announcement(a), None, "fit", 0.0),
        Verdict(b, Announcement(b), None, "fit", 0.0),
        Verdict(c, None, Why.EMPTY, "web: 0 of 1 server pooled", 0.0),
        Verdict(e, Announcement(e), None, "fit", 0.0),
    )
    after = (
        Verdict(a, Announcement(a, 100), None, "fit", 0.0),
        Verdict(c, Announcement(c), None, "fit", 0.0),
        Verdict(d, None, Why.NO_CONFIG, "x: no server list yet", 0.0),
        Verdict(e, None, Why.EMPTY, "y: 0 of 1 server pooled", 0.0),
    )
    assert list(announcement_reasons(before, after)) == [
        "~ announcement 192.0.2.1/32: MED 0 -> 100",
        "+ announcement 192.0.2.3/32, MED 0: fit",
        "+ announcement 192.0.2.4/32, not yet: no-config (x: no server list yet)",
        "- announcement 192.0.2.5/32: empty (y: 0 of 1 server pooled)",
        "- announcement 192.0.2.2/32: no longer configured",
    ]
    assert list(announcement_reasons(before, before)) == []


def test_changed_source_server_section_is_a_difference() -> None:
    old = web()
    new = replace(old, source=SourceSettings(ONE, AccessSettings(discovery="example.org")))
    assert list(service_reasons(old, new)) == ["discovery-srv none -> example.org"]
