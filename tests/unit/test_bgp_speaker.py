"""The speaker with an ExaBGP that does as the test says, and a clock that the test turns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from pybal.bgp.model import Announcement, Session, SessionState
from pybal.bgp.speaker import SpeakerError
from pybal.config.settings import BGPSettings, PeerSettings
from tests.harness.fake_exabgp import Transport, World

P, Q = "192.0.2.1", "192.0.2.3"
NEXT_HOP = IPv4Address("192.0.2.2")
SETTINGS = BGPSettings(tuple(PeerSettings(IPv4Address(peer), 64600, 64601, nexthop_ipv4=NEXT_HOP) for peer in (P, Q)))
VIP = Announcement(IPv4Address("198.51.100.1"), 10)
ANNOUNCE = f"neighbor {P} announce route 198.51.100.1/32 next-hop 192.0.2.2 med 10"
WITHDRAW = f"neighbor {P} withdraw route 198.51.100.1/32 next-hop 192.0.2.2 med 10"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(SETTINGS, tmp_path / "run")
    with made.logged():
        yield made
    assert_stopped(made)


def assert_stopped(world: World) -> None:
    """Stop it, if that has not been done, and find nothing left."""
    stopped = Deferred.fromCoroutine(world.speaker.stop())
    if world.children and world.exabgp.alive:
        world.exabgp.end("exit status 0")
    assert stopped.called
    assert stopped.result is None
    assert world.reactor.getDelayedCalls() == []


def started(world: World) -> World:
    world.speaker.start()
    world.exabgp.greet()
    return world


def session(world: World, peer: str = P) -> Session:
    return next(s for s in world.speaker.sessions() if str(s.peer.address) == peer)


def test_exabgp_is_begun_by_the_launcher_with_a_file_that_only_we_can_read(world: World, tmp_path: Path) -> None:
    world.speaker.start()
    argv = world.exabgp.argv
    assert argv[:3] == ["/usr/bin/python3", "-I", "-S"]
    assert argv[3].endswith("/pybal/bgp/exabgp/launcher.py")
    assert argv[4] == str(os.getpid())
    file = tmp_path / "run" / "exabgp.conf"
    assert argv[5:] == ["/usr/bin/python3", "-I", "-u", "-m", "exabgp", str(file)]
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert f"[bgp peer@{P}] INFO: Starting BGP session with peer {P}" in world.log


def test_nothing_is_told_to_a_peer_whose_session_is_not_established(world: World) -> None:
    started(world).speaker.announce([VIP])
    world.exabgp.event("fsm", P, state="OPENCONFIRM")
    assert world.exabgp.commands() == []
    world.exabgp.up(P)
    assert world.exabgp.commands() == [ANNOUNCE]
    assert f"[bgp peer@{P}] INFO: State is now: ESTABLISHED" in world.log


def test_what_is_on_the_wire_is_what_was_sent(world: World) -> None:
    started(world).speaker.announce([VIP])
    world.exabgp.up(P)
    world.exabgp.answer(sent=False)
    assert (session(world).on_wire, session(world).wanted) == ((), 1)
    before = world.changes
    world.exabgp.sent(ANNOUNCE)
    assert session(world).on_wire == (VIP,)
    assert world.changes == before + 1
    assert session(world).established
    assert session(world).entered == {SessionState.OPENSENT: 1, SessionState.ESTABLISHED: 1}


def test_the_next_change_of_a_prefix_waits_until_the_one_before_was_sent(world: World) -> None:
    started(world).speaker.announce([VIP])
    world.exabgp.up(P)
    world.exabgp.answer(sent=False)
    world.speaker.announce([])
    assert world.exabgp.commands() == []
    world.exabgp.sent(ANNOUNCE)
    assert world.exabgp.commands() == [WITHDRAW]


def test_what_is_not_sent_in_time_is_withdrawn_and_announced_anew(world: World) -> None:
    started(world).speaker.announce([VIP])
    world.exabgp.up(P)
    world.exabgp.answer(sent=False)
    world.run(1.5)
    assert session(world).repairs == 0
    world.run(1.0)
    assert session(world).repairs == 1
    world.run(0.5)
    assert session(world).on_wire == (VIP,)
    assert f"[bgp] WARN: Peer {P} was not sent what is wanted of 198.51.100.1/32; telling exabgp again" in world.log


def test_an_announcement_that_is_refused_is_an_alert_and_not_told_for_ever(world: World) -> None:
    started(world).speaker.announce([VIP])
    world.exabgp.up(P)
    world.exabgp.up(Q)
    world.exabgp.answer(taken=False)
    world.run(5.0)
    assert (session(world).refused, session(world).on_wire) == (1, ())
    assert f"exabgp refused 198.51.100.1/32 for peer {P}" in [alert.text for alert in world.speaker.alerts()]
    world.speaker.announce([replace(VIP, med=20)])
    assert world.exabgp.answer()[0].endswith("med 20")
    assert session(world).refused == 0


def test_no_answer_for_three_seconds_kills_exabgp_and_everything_is_told_to_the_next_one(world: World) -> None:
    started(world).speaker.announce([VIP])
    world.exabgp.up(P)
    world.run(2.5, answering=False)
    assert not world.exabgp.killed
    world.run(1.5, answering=False)
    assert world.exabgp.killed
    world.exabgp.end()
    assert next(alert.text for alert in world.speaker.alerts()) == (
        "exabgp does not run: no answer to a command for 3 s"
    )
    assert session(world).state is SessionState.IDLE
    world.run(0.3)
    assert world.speaker.restarts == 1
    world.exabgp.greet()
    world.exabgp.up(P)
    assert ANNOUNCE in world.exabgp.answer()


def test_a_relay_that_does_not_beat_is_as_dead(world: World) -> None:
    started(world)
    for _ in range(40):
        world.reactor.advance(0.1)
        world.exabgp.transport.take()
        world.exabgp.say(b"done")
    assert world.exabgp.killed


def test_a_loop_of_ours_that_hung_is_not_held_against_exabgp(world: World) -> None:
    started(world).speaker.announce([VIP])
    world.exabgp.up(P)
    world.exabgp.answer()
    world.speaker.announce([])
    world.reactor.hang(2.4)
    assert not world.exabgp.killed
    assert session(world).repairs == 0
    world.run(3.0)
    assert not world.exabgp.killed
    assert session(world).on_wire == ()


def test_the_pauses_between_starts_double_up_to_half_a_minute(world: World) -> None:
    world.speaker.start()
    pauses = []
    for _ in range(10):
        begun = len(world.children)
        world.exabgp.end("exit status 1")
        at = world.reactor.seconds()
        while len(world.children) == begun:
            world.reactor.advance(0.05)
        pauses.append(world.reactor.seconds() - at)
    wanted = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30)
    assert all(0.8 * want <= pause <= 1.2 * want + 0.06 for pause, want in zip(pauses, wanted, strict=True))


def test_after_a_life_of_a_minute_the_pause_is_short_again(world: World) -> None:
    started(world)
    for _ in range(5):
        world.exabgp.end()
        world.run(10)
    world.exabgp.greet()
    world.exabgp.up(P)
    world.run(61)
    begun = len(world.children)
    world.exabgp.end()
    world.run(0.3)
    assert len(world.children) == begun + 1


def test_without_any_session_for_fifteen_seconds_exabgp_is_begun_anew(world: World) -> None:
    started(world)
    world.run(14.5)
    assert not world.exabgp.killed
    world.run(1.1)
    assert world.exabgp.killed


def test_with_one_session_of_two_it_is_left_alone(world: World) -> None:
    started(world)
    world.exabgp.up(Q)
    world.run(60)
    assert not world.exabgp.killed


def test_exabgp_that_never_greets_is_killed_and_its_last_words_are_the_reason(world: World) -> None:
    world.speaker.start()
    world.run(10.6)
    assert world.exabgp.killed
    world.exabgp.end()
    world.run(0.3)
    world.exabgp.said(b"can not bind to 192.0.2.9:179")
    world.exabgp.end("exit status 1")
    assert next(alert.text for alert in world.speaker.alerts()) == (
        "exabgp does not run: exit status 1: can not bind to 192.0.2.9:179"
    )


def test_the_loss_of_the_relay_kills_exabgp(world: World) -> None:
    started(world)
    assert world.exabgp.relay is not None
    world.exabgp.relay.connectionLost()
    assert world.exabgp.killed


def test_a_stranger_is_not_heard(world: World) -> None:
    started(world)
    for process, user in ((1, os.geteuid()), (os.getpid(), os.geteuid() + 1), (os.getpid(), os.geteuid())):
        transport = Transport(process, user)  # the last is the second of the right kind
        stranger = world.connect(transport)
        stranger.dataReceived(b"done\n")
        assert transport.aborted
    world.exabgp.up(P)
    assert session(world).established


def test_a_session_that_falls_says_why_in_the_words_of_the_rfc(world: World) -> None:
    started(world).speaker.announce([VIP])
    world.exabgp.up(P)
    world.exabgp.answer()
    notification = {"code": 6, "subcode": 2}
    world.exabgp.event("notification", P, direction="receive", notification=notification)
    world.exabgp.down(P, "peer reset")
    why = "received notification 6/2, cease: administrative shutdown"
    assert f"[bgp peer@{P}] WARN: No session with peer {P}: {why}" in world.log
    assert (session(world).state, session(world).last_error, session(world).on_wire) == (SessionState.IDLE, why, ())
    assert f"session with peer {P} is IDLE, for 0 s: {why}" in [alert.text for alert in world.speaker.alerts()]


def test_attempts_that_fail_alike_are_logged_once(world: World) -> None:
    started(world)
    for _ in range(5):
        world.exabgp.down(P, "connection refused")
    assert len([line for line in world.log if "connection refused" in line]) == 1


def test_lines_that_make_no_sense_end_nothing(world: World) -> None:
    started(world)
    for line in (b"{", b"\xff\xff", b"[" * 5000, b"x" * 3_000_000, b"done", b"error"):
        world.exabgp.say(line)
    world.exabgp.event("fsm", "192.0.2.99", state="IDLE")
    world.exabgp.up(P)
    assert session(world).established


def test_stop_closes_the_sessions_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    started(world).speaker.announce([VIP])
    world.exabgp.up(P)
    world.exabgp.answer()
    stopped = Deferred.fromCoroutine(world.speaker.stop())
    assert world.exabgp.commands() == ["shutdown"]
    assert not stopped.called
    world.exabgp.end("exit status 0")
    assert stopped.called
    assert not (tmp_path / "run").exists()
    assert world.reactor.getDelayedCalls() == []


def test_an_exabgp_that_does_not_stop_is_killed_after_two_seconds(world: World) -> None:
    started(world)
    stopped = Deferred.fromCoroutine(world.speaker.stop())
    world.run(1.9, answering=False)
    assert not world.exabgp.killed
    world.run(0.2, answering=False)
    assert world.exabgp.killed
    world.exabgp.end()
    assert stopped.called


def test_stop_before_a_second_start_does_not_wait_for_it(world: World) -> None:
    started(world)
    world.exabgp.end()
    stopped = Deferred.fromCoroutine(world.speaker.stop())
    assert stopped.called


def test_the_number_of_a_peer_that_exabgp_4_must_be_told_is_learned(tmp_path: Path) -> None:
    unnamed = BGPSettings((replace(SETTINGS.peers[0], peer_asn=None),))
    world = World(unnamed, tmp_path / "run")
    file = tmp_path / "run" / "exabgp.conf"
    world.speaker.start()
    assert "peer-as auto;" in file.read_text()
    world.exabgp.said(b"incomplete neighbor, missing peer-as")
    world.exabgp.end("exit status 1")
    world.run(0.3)
    assert "peer-as 64600;" in file.read_text()
    world.exabgp.greet()
    world.exabgp.event("open", P, direction="receive", open={"asn": 64777})
    assert world.exabgp.killed
    world.exabgp.end()
    world.run(0.3)
    assert "peer-as 64777;" in file.read_text()
    world.exabgp.greet()
    world.exabgp.event("open", P, direction="receive", open={"asn": 64777})
    assert not world.exabgp.killed
    assert_stopped(world)


def test_a_version_that_does_not_check_the_ttl_is_an_alert_and_logged_once(tmp_path: Path) -> None:
    secured = BGPSettings((replace(SETTINGS.peers[0], ttl_security=True), SETTINGS.peers[1]))
    world = World(secured, tmp_path / "run")
    text = (
        "exabgp 4.2.21 does not look at the TTL of what it receives, wanted 5.0.14 or later: "
        "bgp-ttl-security protects only the other end with peer 192.0.2.1"
    )
    world.version = "4.2.21"
    with world.logged():
        started(world).run(5.0)
        assert text in [alert.text for alert in world.speaker.alerts()]
        assert world.log.count(f"[bgp] WARN: {text}") == 1
        world.version = "5.0.14"
        world.run(5.0)
        assert not [alert.text for alert in world.speaker.alerts() if "TTL" in alert.text]
    assert_stopped(world)


def with_password(tmp_path: Path, content: bytes | None) -> World:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    return World(BGPSettings((replace(SETTINGS.peers[0], md5_password_file=str(file)),)), tmp_path / "run")


def test_a_password_is_in_the_file_and_never_in_the_log(tmp_path: Path) -> None:
    world = with_password(tmp_path, b"opensesame\n")
    with world.logged():
        world.speaker.start()
        world.exabgp.said(b'line 12: md5-password "opensesame";')
        world.exabgp.end("exit status 1")
    assert 'md5-password "opensesame";' in (tmp_path / "run" / "exabgp.conf").read_text()
    assert '[bgp] INFO: exabgp: line 12: md5-password "***";' in world.log
    assert "opensesame" not in "".join(world.log)
    assert_stopped(world)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"\n", "an empty first line, wanted a password"),
        (b"\xff", "not ASCII"),
        (b'a"b', "wanted printable ASCII"),
    ],
)
def test_a_password_that_cannot_be_used_keeps_the_speaker_from_starting(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    world = with_password(tmp_path, content)
    with pytest.raises(SpeakerError, match=why):
        world.speaker.start()
    assert world.children == []


def test_a_directory_that_others_may_enter_keeps_the_speaker_from_starting(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    world = World(SETTINGS, tmp_path / "run")
    with pytest.raises(SpeakerError, match=r"with mode 755, wanted of user \d+ with mode 700"):
        world.speaker.start()


def test_an_address_that_is_not_ours_keeps_the_speaker_from_listening(tmp_path: Path) -> None:
    world = World(replace(SETTINGS, local_ips=(IPv4Address("192.0.2.9"),)), tmp_path / "run")
    with pytest.raises(SpeakerError, match=r"cannot listen for BGP on 192.0.2.9 port 179: .*\(EADDRNOTAVAIL\)"):
        world.speaker.start()


R = PeerSettings(IPv4Address("192.0.2.4"), 64600, 64601, nexthop_ipv4=NEXT_HOP)


def up_with_one_vip(world: World) -> None:
    started(world).speaker.announce([VIP])
    world.exabgp.up(P)
    world.exabgp.up(Q)
    world.exabgp.answer()


def test_a_peer_that_comes_is_read_from_the_file_and_told_what_is_wanted_when_it_is_there(
    world: World, tmp_path: Path
) -> None:
    up_with_one_vip(world)
    world.speaker.check(BGPSettings((*SETTINGS.peers, R)))
    world.speaker.reconfigure(BGPSettings((*SETTINGS.peers, R)))
    assert "neighbor 192.0.2.4 {" in (tmp_path / "run" / "exabgp.conf").read_text()
    assert world.exabgp.answer() == ["reload"]
    world.exabgp.up("192.0.2.4")
    assert world.exabgp.answer() == [ANNOUNCE.replace(P, "192.0.2.4")]
    assert [len(each.on_wire) for each in world.speaker.sessions()] == [1, 1, 1]
    assert len(world.children) == 1


def test_a_peer_that_goes_is_forgotten_and_what_it_still_says_is_not_heard(world: World) -> None:
    up_with_one_vip(world)
    world.speaker.reconfigure(BGPSettings(SETTINGS.peers[:1]))
    assert world.exabgp.answer() == ["reload"]
    world.exabgp.down(Q, "peer removed")
    assert [str(each.peer.address) for each in world.speaker.sessions()] == [P]
    assert session(world).on_wire == (VIP,)
    assert len(world.children) == 1


def test_with_other_options_of_a_peer_all_sessions_begin_anew(world: World) -> None:
    up_with_one_vip(world)
    changed = replace(SETTINGS.peers[1], hold_time=30)
    world.speaker.reconfigure(BGPSettings((SETTINGS.peers[0], changed)))
    assert world.exabgp.killed
    world.exabgp.end()
    world.run(1.5)
    world.exabgp.greet()
    world.exabgp.up(P)
    world.exabgp.up(Q)
    assert world.exabgp.answer() == [ANNOUNCE, ANNOUNCE.replace(P, Q)]


def test_a_peer_whose_number_exabgp_4_must_be_told_begins_all_sessions_anew(world: World) -> None:
    world.version = "4.2.21"
    up_with_one_vip(world)
    world.speaker.reconfigure(BGPSettings((*SETTINGS.peers, replace(R, peer_asn=None))))
    assert world.exabgp.killed
    world.exabgp.end()


def test_settings_with_the_same_peers_change_no_session(world: World) -> None:
    up_with_one_vip(world)
    world.speaker.reconfigure(replace(SETTINGS, med=7, wait=1.0))
    assert world.exabgp.commands() == []
    assert not world.exabgp.killed


def test_peers_that_come_before_exabgp_runs_are_in_the_next_one(world: World, tmp_path: Path) -> None:
    world.speaker.start()
    world.speaker.reconfigure(BGPSettings((*SETTINGS.peers, R)))
    assert world.exabgp.killed
    world.exabgp.end()
    world.run(1.5)
    assert "neighbor 192.0.2.4 {" in (tmp_path / "run" / "exabgp.conf").read_text()
    world.exabgp.greet()


def test_an_address_that_is_not_ours_to_listen_on_is_found_before_anything_changes(world: World) -> None:
    up_with_one_vip(world)
    with pytest.raises(SpeakerError, match=r"192\.0\.2\.77"):
        world.speaker.check(replace(SETTINGS, local_ips=(IPv4Address("192.0.2.77"),)))
