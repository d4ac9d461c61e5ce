"""The speaker with a scripted ExaBGP and a clock that the test advances."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from pybal.bgp.exabgp import config
from pybal.bgp.model import Announcement, Session, SessionState
from pybal.bgp.speaker import SpeakerError
from pybal.config.settings import BGPSettings, PeerSettings
from tests.harness.fake_exabgp import FakeTransport, SpeakerHarness

P, Q = "192.0.2.1", "192.0.2.3"
NEXT_HOP = IPv4Address("192.0.2.2")
NEXT_HOP6 = IPv6Address("2001:db8::2")
SETTINGS = BGPSettings(
    tuple(
        PeerSettings(IPv4Address(peer), 64600, 64601, nexthop_ipv4=NEXT_HOP, nexthop_ipv6=NEXT_HOP6) for peer in (P, Q)
    )
)
VIP6 = Announcement(IPv6Address("2001:db8::1"), 10)
ANNOUNCE6 = f"neighbor {Q} announce route 2001:db8::1/128 next-hop 2001:db8::2 med 10"
VIP = Announcement(IPv4Address("198.51.100.1"), 10)
ANNOUNCE = f"neighbor {P} announce route 198.51.100.1/32 next-hop 192.0.2.2 med 10"
WITHDRAW = f"neighbor {P} withdraw route 198.51.100.1/32 next-hop 192.0.2.2 med 10"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[SpeakerHarness]:
    made = SpeakerHarness(SETTINGS, tmp_path / "run")
    with made.logged():
        yield made
    assert_stopped(made)


def assert_stopped(harness: SpeakerHarness) -> None:
    """Stop the speaker, if it is running, and check that no timer is left."""
    stopped = Deferred.fromCoroutine(harness.speaker.stop())
    if harness.children and harness.exabgp.alive:
        harness.exabgp.end("exit status 0")
    assert stopped.called
    assert stopped.result is None
    assert harness.reactor.getDelayedCalls() == []


def started(harness: SpeakerHarness) -> SpeakerHarness:
    harness.speaker.start()
    harness.exabgp.connect_relay()
    return harness


def session(harness: SpeakerHarness, peer: str = P) -> Session:
    return next(s for s in harness.speaker.sessions() if str(s.peer.address) == peer)


def test_exabgp_starts_through_the_launcher_with_a_private_file(harness: SpeakerHarness, tmp_path: Path) -> None:
    harness.speaker.start()
    argv = harness.exabgp.argv
    argv = argv[argv.index("/usr/bin/python3") :]
    assert argv[:3] == ["/usr/bin/python3", "-I", "-S"]
    assert argv[3].endswith("/pybal/bgp/exabgp/launcher.py")
    assert argv[4] == str(os.getpid())
    file = tmp_path / "run" / "exabgp.conf"
    assert argv[5:8] == ["/usr/bin/python3", "-I", "-u"]
    assert argv[8].endswith("/pybal/bgp/exabgp/steady.py")
    assert argv[9:] == [str(file)]
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert f"[bgp peer@{P}] INFO: Starting BGP session with peer {P}" in harness.log


def test_peer_gets_no_command_until_its_session_is_established(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP])
    harness.exabgp.event("fsm", P, state="OPENCONFIRM")
    assert harness.exabgp.commands() == []
    harness.exabgp.up(P)
    assert harness.exabgp.commands() == [ANNOUNCE]
    assert f"[bgp peer@{P}] INFO: State is now: ESTABLISHED" in harness.log


def test_session_snapshot_holds_sent_routes_only(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP])
    harness.exabgp.up(P)
    harness.exabgp.answer(sent=False)
    assert (session(harness).on_wire, session(harness).wanted) == ((), 1)
    before = harness.changes
    harness.exabgp.report_sent(ANNOUNCE)
    assert session(harness).on_wire == (VIP,)
    assert harness.changes == before + 1
    assert session(harness).established
    assert session(harness).entered == {SessionState.OPENSENT: 1, SessionState.ESTABLISHED: 1}


def test_vip_of_a_family_that_was_not_negotiated_is_not_wanted(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP, VIP6])
    harness.exabgp.up(P, ["ipv4/unicast"])
    harness.exabgp.up(Q, ["ipv6/unicast"])
    assert set(harness.exabgp.answer()) == {ANNOUNCE, ANNOUNCE6}
    assert [(session(harness, peer).wanted, session(harness, peer).families) for peer in (P, Q)] == [
        (1, (4,)),
        (1, (6,)),
    ]
    harness.run(60)
    assert [*harness.speaker.alerts()] == []
    assert [session(harness, peer).repairs for peer in (P, Q)] == [0, 0]


def test_family_that_a_router_enables_is_announced_in_the_next_session(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP6])
    harness.exabgp.up(Q, ["ipv4/unicast"])
    assert harness.exabgp.answer() == []
    harness.exabgp.down(Q, "peer reset")
    harness.exabgp.up(Q)
    assert harness.exabgp.answer() == [ANNOUNCE6]


@pytest.mark.parametrize("families", [["ipv4/unicast"], ["ipv4/unicast", "l2vpn/evpn"]])
def test_family_without_any_session_raises_an_alert_until_negotiated(
    harness: SpeakerHarness, families: list[str]
) -> None:
    started(harness).speaker.announce([VIP, VIP6])
    harness.exabgp.up(P, families)
    harness.exabgp.up(Q, families)
    harness.run(7)
    (alert,) = harness.speaker.alerts()
    assert alert.text == (
        "IPv6 VIPs are announced to no peer for 7 s: no session negotiated IPv6 unicast (enable the family on a router, "
        "and in bgp-families)"
    )
    harness.exabgp.down(P, "peer reset")
    harness.exabgp.up(P)
    assert [*harness.speaker.alerts()] == []


def test_peer_without_the_multiprotocol_capability_gets_no_route(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP])
    harness.exabgp.up(P, [])
    assert harness.exabgp.answer() == []
    assert any(alert.text.startswith("IPv4 VIPs are announced to no peer") for alert in harness.speaker.alerts())


def test_route_of_a_family_given_up_by_the_router_is_forgotten(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP, VIP6])
    harness.exabgp.up(Q)
    harness.exabgp.answer()
    assert session(harness, Q).wanted == 2
    harness.exabgp.down(Q, "peer reset")
    harness.exabgp.up(Q, ["ipv4/unicast"])
    harness.exabgp.report_sent(ANNOUNCE.replace(P, Q))  # held since the last session
    harness.exabgp.up(P)
    harness.run(60)
    assert (session(harness, Q).wanted, session(harness, Q).repairs) == (1, 0)
    assert [*harness.speaker.alerts()] == []


def test_next_change_of_a_prefix_waits_for_the_update_event(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP])
    harness.exabgp.up(P)
    harness.exabgp.answer(sent=False)
    harness.speaker.announce([])
    assert harness.exabgp.commands() == []
    harness.exabgp.report_sent(ANNOUNCE)
    assert harness.exabgp.commands() == [WITHDRAW]


def test_overdue_route_is_withdrawn_and_announced_again(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP])
    harness.exabgp.up(P)
    harness.exabgp.answer(sent=False)
    harness.run(1.5)
    assert session(harness).repairs == 0
    harness.run(1.0)
    assert session(harness).repairs == 1
    harness.run(0.5)
    assert session(harness).on_wire == (VIP,)
    assert f"[bgp] WARN: Peer {P}: update for 198.51.100.1/32 was not sent in time; re-announcing" in harness.log


def test_refused_announcement_raises_an_alert_and_is_not_repeated(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP])
    harness.exabgp.up(P)
    harness.exabgp.up(Q)
    harness.exabgp.answer(accepted=False)
    harness.run(5.0)
    assert (session(harness).refused, session(harness).on_wire) == ((VIP.vip,), ())
    assert f"peer {P}: exabgp refused to announce 198.51.100.1/32" in [alert.text for alert in harness.speaker.alerts()]
    harness.speaker.announce([replace(VIP, med=20)])
    assert harness.exabgp.answer()[0].endswith("med 20")
    assert session(harness).refused == ()


def test_unanswered_command_restarts_exabgp_and_resends_all_routes(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP])
    harness.exabgp.up(P)
    harness.run(2.5, answering=False)
    assert not harness.exabgp.killed
    harness.run(1.5, answering=False)
    assert harness.exabgp.killed
    harness.exabgp.end()
    assert next(alert.text for alert in harness.speaker.alerts()) == (
        "exabgp is not running for 0 s: no answer to a command for 3 s"
    )
    assert session(harness).state is SessionState.IDLE
    harness.run(0.3)
    assert harness.speaker.restarts == 1
    harness.exabgp.connect_relay()
    harness.exabgp.up(P)
    assert ANNOUNCE in harness.exabgp.answer()


def test_relay_without_heartbeats_restarts_exabgp(harness: SpeakerHarness) -> None:
    started(harness)
    for _ in range(40):
        harness.reactor.advance(0.1)
        harness.exabgp.transport.take()
        harness.exabgp.send_line(b"done")
    assert harness.exabgp.killed


def test_reactor_hang_does_not_count_against_exabgp(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP])
    harness.exabgp.up(P)
    harness.exabgp.answer()
    harness.speaker.announce([])
    harness.reactor.hang(2.4)
    assert not harness.exabgp.killed
    assert session(harness).repairs == 0
    harness.run(3.0)
    assert not harness.exabgp.killed
    assert session(harness).on_wire == ()


def test_restart_pauses_grow_up_to_thirty_seconds(harness: SpeakerHarness) -> None:
    harness.speaker.start()
    pauses = []
    for _ in range(15):
        harness.exabgp.end("exit status 1")
        at = harness.reactor.seconds()
        harness.wait_for_restart()
        pauses.append(harness.reactor.seconds() - at)
    wanted = (0.2, 0.3, 0.45, 0.675, 1.01, 1.52, 2.28, 3.42, 5.13, 7.69, 11.5, 17.3, 25.9, 30, 30)
    assert all(0.75 * want <= pause <= want + 0.06 for pause, want in zip(pauses, wanted, strict=True))


@pytest.mark.parametrize("hung", [False, True])
def test_restart_pause_is_short_again_after_one_minute_of_run_time(harness: SpeakerHarness, *, hung: bool) -> None:
    started(harness)
    for _ in range(5):
        harness.exabgp.end()
        harness.run(10)
    harness.exabgp.connect_relay()
    harness.exabgp.up(P)
    harness.run(61)
    if hung:
        harness.run(6, answering=False)
        assert harness.exabgp.killed
    begun = len(harness.children)
    harness.exabgp.end()
    harness.run(0.3)
    assert len(harness.children) == begun + 1


def test_exabgp_is_restarted_after_fifteen_seconds_without_a_session(harness: SpeakerHarness) -> None:
    started(harness)
    harness.run(14.5)
    assert not harness.exabgp.killed
    harness.run(1.1)
    assert harness.exabgp.killed


def test_exabgp_is_not_restarted_while_one_session_is_established(harness: SpeakerHarness) -> None:
    started(harness)
    harness.exabgp.up(Q)
    harness.run(60)
    assert not harness.exabgp.killed


def test_failed_start_reports_the_last_lines_of_output(harness: SpeakerHarness) -> None:
    harness.speaker.start()
    harness.exabgp.print(b"can not bind to 192.0.2.9:179")
    harness.exabgp.end("exit status 1")
    assert next(alert.text for alert in harness.speaker.alerts()) == (
        "exabgp is not running for 0 s: exit status 1: can not bind to 192.0.2.9:179"
    )


def test_start_limit_doubles_up_to_five_minutes(harness: SpeakerHarness) -> None:
    harness.speaker.start()
    for seconds in (10, 20, 40, 80, 160, 300, 300):
        harness.run(seconds - 1)
        assert not harness.exabgp.killed
        harness.run(2)
        assert harness.exabgp.killed
        harness.exabgp.end()
        assert exabgp_alert(harness).endswith(f": did not start within {seconds} s")
        harness.wait_for_restart()


def test_alert_of_a_start_that_never_ends_names_its_limit_and_age(harness: SpeakerHarness) -> None:
    harness.speaker.start()
    assert exabgp_alert(harness) == "exabgp is not running for 0 s: starting"
    harness.run(11)
    harness.exabgp.end()
    harness.wait_for_restart()
    harness.run(14)
    assert exabgp_alert(harness) == (
        "exabgp is not running for 25 s: starting again, for at most 20 s (did not start within 10 s)"
    )
    harness.exabgp.connect_relay()
    assert exabgp_alert(harness) == ""


def exabgp_alert(harness: SpeakerHarness) -> str:
    return next((alert.text for alert in harness.speaker.alerts() if alert.text.startswith("exabgp is")), "")


def test_slow_start_includes_the_first_answer(harness: SpeakerHarness) -> None:
    harness.speaker.start()
    harness.run(5)
    harness.exabgp.connect_relay(answering=False)
    harness.run(4.5, answering=False)
    assert not harness.exabgp.killed
    assert exabgp_alert(harness).endswith(" s: starting")
    harness.exabgp.answer()
    assert exabgp_alert(harness) == ""


def test_start_limit_is_kept_until_exabgp_has_run_for_one_minute(harness: SpeakerHarness) -> None:
    harness.speaker.start()
    harness.run(11)
    assert harness.exabgp.killed
    harness.exabgp.end()
    for seconds in (59, 62):
        harness.wait_for_restart()
        harness.run(11)
        assert not harness.exabgp.killed
        harness.exabgp.connect_relay()
        harness.exabgp.up(P)
        harness.run(seconds)
        harness.exabgp.end()
    harness.wait_for_restart()
    harness.run(11)
    assert harness.exabgp.killed


def test_lost_relay_kills_exabgp(harness: SpeakerHarness) -> None:
    started(harness)
    assert harness.exabgp.relay is not None
    harness.exabgp.relay.connectionLost()
    assert harness.exabgp.killed


def test_connection_of_another_process_is_refused(harness: SpeakerHarness) -> None:
    started(harness)
    for process, user in ((1, os.geteuid()), (os.getpid(), os.geteuid() + 1), (os.getpid(), os.geteuid())):
        transport = FakeTransport(process, user)  # the last one is the relay, but connected twice
        stranger = harness.connect(transport)
        stranger.dataReceived(b"done\n")
        assert transport.aborted
    harness.exabgp.up(P)
    assert session(harness).established


def test_ended_session_reports_the_notification(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP])
    harness.exabgp.up(P)
    harness.exabgp.answer()
    notification = {"code": 6, "subcode": 2}
    harness.exabgp.event("notification", P, direction="receive", notification=notification)
    harness.exabgp.down(P, "peer reset")
    why = "received notification 6/2, cease: administrative shutdown"
    assert f"[bgp peer@{P}] WARN: BGP session with {P} down: {why}" in harness.log
    assert (session(harness).state, session(harness).last_error, session(harness).on_wire) == (
        SessionState.IDLE,
        why,
        (),
    )
    assert f"BGP session with {P} down for 0 s (IDLE): {why}" in [alert.text for alert in harness.speaker.alerts()]


@pytest.mark.parametrize(
    ("code", "subcode", "text"),
    [
        (6, 1, "cease: maximum number of prefixes reached"),
        (2, 2, "OPEN message error: bad peer AS"),
        (6, 5, "cease: connection rejected"),
    ],
)
def test_notification_explains_the_alert_until_a_session(
    harness: SpeakerHarness, code: int, subcode: int, text: str
) -> None:
    started(harness)
    harness.exabgp.up(Q)
    harness.exabgp.up(P)
    harness.run(5)
    harness.exabgp.event("notification", P, direction="receive", notification={"code": code, "subcode": subcode})
    for _ in range(40):
        harness.exabgp.down(P, "peer reset")
        for state in "ACTIVE", "CONNECT", "OPENSENT", "IDLE":
            harness.exabgp.event("fsm", P, state=state)
        harness.exabgp.down(P, "connection refused")
        harness.run(1)
    why = f"received notification {code}/{subcode}, {text}"
    assert [alert.text for alert in harness.speaker.alerts()] == [f"BGP session with {P} down for 40 s (IDLE): {why}"]
    assert len([line for line in harness.log if "WARN: BGP session with" in line]) == 1
    harness.exabgp.up(P)
    assert [*harness.speaker.alerts()] == []
    assert (session(harness).last_error, session(harness).down_since) == ("", None)
    assert f"[bgp peer@{P}] INFO: BGP session with {P} up again after 40 s ({why})" in harness.log
    harness.exabgp.down(P, "connection lost")
    assert [alert.text for alert in harness.speaker.alerts()] == [
        f"BGP session with {P} down for 0 s (IDLE): connection lost"
    ]


def test_notification_and_age_survive_a_restart_of_exabgp(harness: SpeakerHarness) -> None:
    started(harness)
    harness.exabgp.event("notification", P, direction="receive", notification={"code": 2, "subcode": 2})
    harness.exabgp.down(P, "peer reset")
    harness.run(16.0)
    assert harness.exabgp.killed
    harness.exabgp.end()
    harness.wait_for_restart()
    harness.exabgp.connect_relay()
    harness.exabgp.down(P, "connection refused")
    (first, _) = (alert.text for alert in harness.speaker.alerts())
    assert first.endswith("(IDLE): received notification 2/2, OPEN message error: bad peer AS")
    assert first.startswith(f"BGP session with {P} down for 16 s")


def test_repeated_failure_is_logged_once(harness: SpeakerHarness) -> None:
    started(harness)
    for _ in range(5):
        harness.exabgp.down(P, "connection refused")
    assert len([line for line in harness.log if "connection refused" in line]) == 1


def test_invalid_lines_end_no_session(harness: SpeakerHarness) -> None:
    started(harness)
    for line in (b"{", b"\xff\xff", b"[" * 5000, b"x" * 3_000_000, b"done", b"error"):
        harness.exabgp.send_line(line)
    harness.exabgp.event("fsm", "192.0.2.99", state="IDLE")
    harness.exabgp.up(P)
    assert session(harness).established


def test_stop_closes_sessions_and_removes_files(harness: SpeakerHarness, tmp_path: Path) -> None:
    started(harness).speaker.announce([VIP])
    harness.exabgp.up(P)
    harness.exabgp.answer()
    stopped = Deferred.fromCoroutine(harness.speaker.stop())
    assert harness.exabgp.commands() == ["shutdown"]
    assert not stopped.called
    harness.exabgp.end("exit status 0")
    assert stopped.called
    assert not (tmp_path / "run").exists()
    assert harness.reactor.getDelayedCalls() == []


def test_stop_kills_exabgp_after_two_seconds(harness: SpeakerHarness) -> None:
    started(harness)
    stopped = Deferred.fromCoroutine(harness.speaker.stop())
    harness.run(1.9, answering=False)
    assert not harness.exabgp.killed
    harness.run(0.2, answering=False)
    assert harness.exabgp.killed
    harness.exabgp.end()
    assert stopped.called


def test_stop_does_not_wait_for_a_pending_restart(harness: SpeakerHarness) -> None:
    started(harness)
    harness.exabgp.end()
    stopped = Deferred.fromCoroutine(harness.speaker.stop())
    assert stopped.called


def test_exabgp_4_learns_the_as_number_of_a_peer(tmp_path: Path) -> None:
    unnamed = BGPSettings((replace(SETTINGS.peers[0], peer_asn=None),))
    harness = SpeakerHarness(unnamed, tmp_path / "run")
    file = tmp_path / "run" / "exabgp.conf"
    harness.speaker.start()
    assert "peer-as auto;" in file.read_text()
    harness.exabgp.print(b"incomplete neighbor, missing peer-as")
    harness.exabgp.end("exit status 1")
    harness.run(0.3)
    assert "peer-as 64600;" in file.read_text()
    harness.exabgp.connect_relay()
    harness.exabgp.event("open", P, direction="receive", open={"asn": 64777})
    assert harness.exabgp.killed
    harness.exabgp.end()
    harness.run(0.3)
    assert "peer-as 64777;" in file.read_text()
    harness.exabgp.connect_relay()
    harness.exabgp.event("open", P, direction="receive", open={"asn": 64777})
    assert not harness.exabgp.killed
    assert_stopped(harness)


def test_version_without_ttl_check_raises_an_alert_and_is_logged_once(tmp_path: Path) -> None:
    secured = BGPSettings((replace(SETTINGS.peers[0], ttl_security=True), SETTINGS.peers[1]))
    harness = SpeakerHarness(secured, tmp_path / "run")
    text = (
        "exabgp 4.2.21 does not check the TTL of received packets: bgp-ttl-security protects only the remote end of "
        "peer 192.0.2.1 (upgrade exabgp to 5.0.14 or later)"
    )
    harness.version = "4.2.21"
    with harness.logged():
        started(harness).run(5.0)
        assert text in [alert.text for alert in harness.speaker.alerts()]
        assert harness.log.count(f"[bgp] WARN: {text}") == 1
        harness.version = "5.0.14"
        harness.run(5.0)
        assert not [alert.text for alert in harness.speaker.alerts() if "TTL" in alert.text]
    assert_stopped(harness)


def with_password(tmp_path: Path, content: bytes | None, **options: Any) -> SpeakerHarness:
    file = tmp_path / "md5"
    if content is not None:
        file.write_bytes(content)
    first, second = SETTINGS.peers
    peers = (replace(first, md5_password_file=str(file)), second)
    return SpeakerHarness(BGPSettings(peers, **options), tmp_path / "run")


def test_password_is_in_the_file_and_masked_in_the_log(tmp_path: Path) -> None:
    harness = with_password(tmp_path, b"opensesame\n")
    with harness.logged():
        harness.speaker.start()
        harness.exabgp.print(b'line 12: md5-password "opensesame";')
        harness.exabgp.end("exit status 1")
    assert 'md5-password "opensesame";' in (tmp_path / "run" / "exabgp.conf").read_text()
    assert '[bgp] INFO: exabgp: line 12: md5-password "***";' in harness.log
    assert "opensesame" not in "".join(harness.log)
    assert_stopped(harness)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"\n", "empty first line, wanted a password"),
        (b"\xff", "not ASCII"),
        (b'a"b', "wanted 1 to 80 characters of printable ASCII"),
    ],
)
def test_peer_without_a_usable_password_stays_down(tmp_path: Path, content: bytes | None, why: str) -> None:
    harness = with_password(tmp_path, content)
    harness.speaker.start()
    file = tmp_path / "run" / "exabgp.conf"
    assert f"neighbor {P} " not in file.read_text()
    assert f"neighbor {Q} " in file.read_text()
    (alert,) = password_alerts(harness)
    assert alert.startswith(f"BGP session with {P} down: MD5 password file {tmp_path}/md5: {why}")
    assert alert.endswith(" for 0 s; reading it again")
    assert_stopped(harness)


def test_peer_comes_up_when_its_password_file_appears(tmp_path: Path) -> None:
    harness = with_password(tmp_path, None)
    started(harness).exabgp.up(Q)
    harness.run(20.0)
    (tmp_path / "md5").write_bytes(b"opensesame\n")
    harness.run(6.0)
    assert 'md5-password "opensesame";' in (tmp_path / "run" / "exabgp.conf").read_text()
    assert password_alerts(harness) == []
    harness.exabgp.up(P)
    assert session(harness).established
    assert len(harness.children) == 1
    assert_stopped(harness)


def test_reload_keeps_the_password_of_a_file_that_vanished(tmp_path: Path) -> None:
    harness = with_password(tmp_path, b"opensesame\n")
    started(harness)
    (tmp_path / "md5").unlink()
    harness.speaker.reconfigure(harness.settings)
    assert harness.exabgp.commands() == []
    (alert,) = password_alerts(harness)
    assert (
        alert
        == f"peer {P}: MD5 password file {tmp_path}/md5: No such file or directory for 0 s; keeping the last password"
    )
    (tmp_path / "md5").write_bytes(b"opensesame\n")
    harness.run(6.0)
    assert password_alerts(harness) == []
    assert len(harness.children) == 1
    assert_stopped(harness)


def test_changed_password_is_found_without_a_change(tmp_path: Path) -> None:
    harness = with_password(tmp_path, b"opensesame\n")
    started(harness)
    file = tmp_path / "md5"
    for content, changed in ((b"opensesame\nmore\n", set()), (b"other\n", {IPv4Address(P)}), (b"", set())):
        file.write_bytes(content)
        assert harness.speaker.changed_passwords().result == changed
    file.unlink()
    os.mkfifo(file)
    assert harness.speaker.changed_passwords().result == set()
    harness.file_system_hangs = True
    looking = harness.speaker.changed_passwords()
    harness.reactor.advance(5)
    assert looking.result == set()
    assert 'md5-password "opensesame";' in harness.configuration.read_text()
    assert_stopped(harness)


def test_changed_password_resets_its_peer_only(tmp_path: Path) -> None:
    harness = with_password(tmp_path, b"opensesame\n")
    up_with_one_vip(harness)
    (tmp_path / "md5").write_bytes(b"other\n")
    harness.speaker.reconfigure(harness.settings)
    harness.run(1)
    assert 'md5-password "other";' in harness.configuration.read_text()
    harness.exabgp.up(P)
    harness.run(10)
    assert session(harness, Q).entered[SessionState.ESTABLISHED] == 1
    assert (len(harness.children), [*harness.speaker.alerts()]) == (1, [])
    assert_stopped(harness)


def test_other_password_file_is_applied_after_the_removal_of_the_peer(tmp_path: Path) -> None:
    harness = with_password(tmp_path, b"opensesame\n")
    up_with_one_vip(harness)
    (tmp_path / "md5-new").write_bytes(b"other\n")
    first = replace(harness.settings.peers[0], md5_password_file=str(tmp_path / "md5-new"))
    harness.speaker.reconfigure(replace(harness.settings, peers=(first, *harness.settings.peers[1:])))
    assert f"neighbor {P} {{" not in harness.configuration.read_text()
    harness.run(1)
    assert 'md5-password "other";' in harness.configuration.read_text()
    assert_stopped(harness)


def test_other_peers_start_while_a_password_file_hangs(tmp_path: Path) -> None:
    harness = with_password(tmp_path, b"opensesame\n")
    harness.file_system_hangs = True
    harness.speaker.start()
    assert harness.children == []
    harness.reactor.advance(2.0)
    assert f"neighbor {P} " not in (tmp_path / "run" / "exabgp.conf").read_text()
    harness.reactor.advance(3.0)
    (alert,) = password_alerts(harness)
    assert f"MD5 password file {tmp_path}/md5: no response from the file system for 5 s" in alert
    assert_stopped(harness)


def password_alerts(harness: SpeakerHarness) -> list[str]:
    return [alert.text for alert in harness.speaker.alerts() if "password" in alert.text]


def test_directory_open_to_other_users_prevents_the_start(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    harness = SpeakerHarness(SETTINGS, tmp_path / "run")
    with pytest.raises(SpeakerError, match=r"with mode 755, wanted user \d+ and mode 700"):
        harness.speaker.start()


def test_foreign_listening_address_prevents_the_start(tmp_path: Path) -> None:
    harness = SpeakerHarness(replace(SETTINGS, local_ips=(IPv4Address("192.0.2.9"),)), tmp_path / "run")
    with pytest.raises(SpeakerError, match=r"cannot listen for BGP on 192.0.2.9 port 179: .*\(EADDRNOTAVAIL\)"):
        harness.speaker.start()


R = PeerSettings(IPv4Address("192.0.2.4"), 64600, 64601, nexthop_ipv4=NEXT_HOP)


def up_with_one_vip(harness: SpeakerHarness) -> None:
    started(harness).speaker.announce([VIP])
    harness.exabgp.up(P)
    harness.exabgp.up(Q)
    harness.exabgp.answer()


def test_exabgp_starts_when_its_configuration_is_written(harness: SpeakerHarness) -> None:
    harness.files.hold = True
    harness.speaker.start()
    harness.run(1.5, answering=False)
    assert harness.children == []
    harness.files.release()
    assert len(harness.children) == 1


def test_peers_changed_during_the_write_are_in_the_file(harness: SpeakerHarness, tmp_path: Path) -> None:
    harness.files.hold = True
    harness.speaker.start()
    harness.speaker.reconfigure(BGPSettings((*SETTINGS.peers, R)))
    harness.files.release()
    assert len(harness.children) == 1
    assert "neighbor 192.0.2.4 {" in (tmp_path / "run" / "exabgp.conf").read_text()


def test_file_system_that_hangs_delays_exabgp_with_a_reason(harness: SpeakerHarness) -> None:
    harness.files.hold = True
    harness.speaker.start()
    harness.run(2.1, answering=False)
    text = "exabgp ended (cannot start: no response from the file system for 2 s); restarting in"
    assert any(text in line for line in harness.log)
    harness.files.release()
    harness.run(1.0)
    assert len(harness.children) == 1


def test_stop_during_the_write_starts_no_exabgp_and_leaves_no_file(harness: SpeakerHarness, tmp_path: Path) -> None:
    harness.files.hold = True
    harness.speaker.start()
    stopped = Deferred.fromCoroutine(harness.speaker.stop())
    harness.files.release()
    assert stopped.called
    assert harness.children == []
    assert not (tmp_path / "run").exists()


def test_added_peer_is_configured_by_reload_and_gets_all_routes(harness: SpeakerHarness, tmp_path: Path) -> None:
    up_with_one_vip(harness)
    harness.speaker.check(BGPSettings((*SETTINGS.peers, R)))
    harness.speaker.reconfigure(BGPSettings((*SETTINGS.peers, R)))
    assert "neighbor 192.0.2.4 {" in (tmp_path / "run" / "exabgp.conf").read_text()
    assert harness.exabgp.answer() == ["reload"]
    harness.exabgp.up("192.0.2.4")
    assert harness.exabgp.answer() == [ANNOUNCE.replace(P, "192.0.2.4")]
    assert [len(each.on_wire) for each in harness.speaker.sessions()] == [1, 1, 1]
    assert len(harness.children) == 1


def test_removed_peer_is_dropped_and_its_events_are_ignored(harness: SpeakerHarness) -> None:
    up_with_one_vip(harness)
    harness.speaker.reconfigure(BGPSettings(SETTINGS.peers[:1]))
    assert harness.exabgp.answer() == ["reload"]
    harness.exabgp.down(Q, "peer removed")
    assert [str(each.peer.address) for each in harness.speaker.sessions()] == [P]
    assert session(harness).on_wire == (VIP,)
    assert len(harness.children) == 1


def test_changed_peer_is_removed_and_added_while_others_stay_up(harness: SpeakerHarness, tmp_path: Path) -> None:
    up_with_one_vip(harness)
    changed = replace(SETTINGS.peers[1], hold_time=30)
    harness.speaker.reconfigure(BGPSettings((SETTINGS.peers[0], changed)))
    assert harness.exabgp.answer() == ["reload"]
    assert f"neighbor {Q} {{" not in harness.configuration.read_text()
    harness.exabgp.down(Q, "peer removed")  # of the old session
    harness.run(0.5)
    assert "hold-time 30;" in harness.configuration.read_text()
    harness.exabgp.up(Q)
    assert [command for command in harness.exabgp.answer() if "route" in command] == [ANNOUNCE.replace(P, Q)]
    harness.run(30)
    assert [session(harness, peer).entered[SessionState.ESTABLISHED] for peer in (P, Q)] == [1, 1]
    assert (len(harness.children), [*harness.speaker.alerts()]) == (1, [])
    assert [line for line in harness.log if "resetting its session" in line] == [
        f"[bgp] INFO: Peer {Q}: options or password changed; resetting its session"
    ]


@pytest.mark.parametrize(
    "option", [{"nexthop_ipv4": IPv4Address("192.0.2.9")}, {"communities": ("64600:1",)}, {"families": (4,)}]
)
def test_changed_attributes_of_routes_reach_the_peer(harness: SpeakerHarness, option: dict[str, Any]) -> None:
    up_with_one_vip(harness)
    changed = replace(SETTINGS.peers[1], **option)
    harness.speaker.reconfigure(BGPSettings((SETTINGS.peers[0], changed)))
    harness.run(1)
    harness.exabgp.up(Q)
    assert [command for command in harness.exabgp.answer() if "route" in command] == [
        config.announce(changed, VIP).decode()
    ]


def test_reload_that_exabgp_lost_is_repeated(harness: SpeakerHarness) -> None:
    up_with_one_vip(harness)
    harness.reloads_lost = True
    harness.speaker.reconfigure(BGPSettings((SETTINGS.peers[0], replace(SETTINGS.peers[1], hold_time=30))))
    harness.run(0.9)
    harness.reloads_lost = False
    harness.run(1.6)
    assert "hold-time 30;" in harness.configuration.read_text()
    harness.exabgp.up(Q)
    harness.run(10)
    assert len(harness.children) == 1


@pytest.mark.parametrize("peers", [(SETTINGS.peers[0], replace(SETTINGS.peers[1], hold_time=30)), SETTINGS.peers[:1]])
def test_exabgp_that_does_not_remove_a_peer_is_restarted(
    harness: SpeakerHarness, peers: tuple[PeerSettings, ...]
) -> None:
    up_with_one_vip(harness)
    harness.reloads_lost = True
    harness.speaker.reconfigure(BGPSettings(peers))
    harness.run(6)
    assert harness.exabgp.killed
    harness.exabgp.end()
    assert "it did not reload the options of peer 192.0.2.3" in "".join(harness.log)
    harness.wait_for_restart()
    assert harness.exabgp.neighbors == {str(peer.address) for peer in peers}


def test_exabgp_that_does_not_add_a_peer_is_restarted(harness: SpeakerHarness) -> None:
    up_with_one_vip(harness)
    harness.speaker.reconfigure(BGPSettings((*SETTINGS.peers, replace(SETTINGS.peers[0], address=NEXT_HOP))))
    harness.run(6)
    assert harness.exabgp.killed
    harness.exabgp.end()


def test_changed_password_restarts_an_exabgp_that_listens(tmp_path: Path) -> None:
    harness = with_password(tmp_path, b"opensesame\n", local_ips=(IPv4Address("127.0.0.1"),), local_port=17999)
    started(harness)
    (tmp_path / "md5").write_bytes(b"other\n")
    harness.speaker.reconfigure(harness.settings)
    assert harness.exabgp.killed
    harness.exabgp.end()
    assert_stopped(harness)


def test_added_peer_without_as_number_restarts_exabgp_4(harness: SpeakerHarness) -> None:
    harness.version = "4.2.21"
    up_with_one_vip(harness)
    harness.speaker.reconfigure(BGPSettings((*SETTINGS.peers, replace(R, peer_asn=None))))
    assert harness.exabgp.killed
    harness.exabgp.end()


def test_settings_with_the_same_peers_keep_all_sessions(harness: SpeakerHarness) -> None:
    up_with_one_vip(harness)
    harness.speaker.reconfigure(replace(SETTINGS, med=7, wait=1.0))
    assert harness.exabgp.commands() == []
    assert not harness.exabgp.killed


def test_peer_added_during_the_start_is_in_the_next_start(harness: SpeakerHarness, tmp_path: Path) -> None:
    harness.speaker.start()
    harness.speaker.reconfigure(BGPSettings((*SETTINGS.peers, R)))
    assert harness.exabgp.killed
    harness.exabgp.end()
    harness.run(1.5)
    assert "neighbor 192.0.2.4 {" in (tmp_path / "run" / "exabgp.conf").read_text()
    harness.exabgp.connect_relay()


def test_foreign_listening_address_is_refused_before_reconfigure(harness: SpeakerHarness) -> None:
    up_with_one_vip(harness)
    with pytest.raises(SpeakerError, match=r"192\.0\.2\.77"):
        harness.speaker.check(replace(SETTINGS, local_ips=(IPv4Address("192.0.2.77"),)))


def test_flood_of_lines_from_exabgp_is_sliced_and_misses_no_deadline(harness: SpeakerHarness) -> None:
    started(harness).exabgp.send_line(b"nonsense\n" * 20_000)
    unrecognised = "[bgp] INFO: unrecognised line from exabgp: b'nonsense'"
    assert harness.log.count(unrecognised) == 100
    harness.run(10.0)
    assert harness.log.count(unrecognised) == 20_000
    assert len(harness.children) == 1
    assert not harness.exabgp.killed


def test_endless_line_from_exabgp_is_cut(harness: SpeakerHarness) -> None:
    started(harness)
    for _ in range(256):
        harness.exabgp.relay.dataReceived(b"x" * 65536)  # type: ignore[union-attr]  # connected
    assert sum("unrecognised line" in line for line in harness.log) == 1
    assert not harness.exabgp.killed


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        (["CONNECT"], "no TCP connection (wrong address, TCP port blocked, or no BGP on the peer)"),
        (
            ["CONNECT", "OPENSENT"],
            "connection closed before the session was established (this balancer's address unknown to the peer, or TTL too low)",
        ),
        (["CONNECT", "OPENSENT", "ESTABLISHED"], "connection lost without a NOTIFICATION"),
    ],
)
def test_network_error_is_explained_by_the_state(harness: SpeakerHarness, states: list[str], reason: str) -> None:
    started(harness)
    for state in states:
        harness.exabgp.event("fsm", P, state=state)
    if "ESTABLISHED" in states:
        harness.exabgp.event("state", P, state="up")
    harness.exabgp.down(P, "closing connection")
    assert session(harness).last_error == reason
    assert f"[bgp peer@{P}] WARN: BGP session with {P} down: {reason}" in harness.log
