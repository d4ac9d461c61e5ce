"""What must not come about does not, and the alert says why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pybal.bgp.model import SessionState
from tests.harness.bgp.network import KINDS, Lab
from tests.harness.bgp.sessions import VIP, Contact, Scene, contact
from tests.harness.daemon_process import wait_for

NO_ANSWER = ("it has taken no connection yet",)
# A router that listens for others, too, may accept the connection, and hear nothing in it.
NO_WORD = (*NO_ANSWER, "hold timer expired")
LATE_TO_LOOK = "TTL security that we lack"
"""FRR demands the TTL of a connection that it has accepted already: what came until then may have been enough."""
REASONS = {
    "another MD5 key": NO_ANSWER,
    "an MD5 key that the router lacks": NO_ANSWER,
    "an MD5 key that we lack": NO_ANSWER,
    "TTL security that the router lacks": NO_ANSWER,
    LATE_TO_LOOK: NO_WORD,
    "another AS than the router is of": ("bad peer AS",),
    "another AS than the router expects": ("bad peer AS",),
}
ONE_SIDED = "TTL security that the router lacks"
"""ExaBGP does not look at the TTL before 5.0.14."""


@pytest.fixture(scope="module")
def scene(lab: Lab, python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Contacts with a mistake each, and one without for each router, all at once."""
    directory = tmp_path_factory.mktemp("refused")
    key = directory / "key"
    key.write_text("not-a-secret.42\n")
    contacts = [each for kind in KINDS for each in (contact(lab, kind, 15), *_mistaken(lab, kind, key))]
    with closing(Scene(lab, directory, python, contacts)) as opened:
        opened.announce(VIP)
        yield opened


def _mistaken(lab: Lab, kind: str, key: Path) -> list[Contact]:
    """Return a contact for each mistake, in the order of REASONS."""
    keyed, unkeyed, plain, strict, lax, here, there = (
        contact(lab, kind, 1, password_file=key),
        contact(lab, kind, 2, password_file=key),
        contact(lab, kind, 3),
        contact(lab, kind, 4, ttl_security=True),
        contact(lab, kind, 5),
        contact(lab, kind, 6, peer_asn=64699),
        contact(lab, kind, 7),
    )
    return [
        replace(keyed, neighbour=replace(keyed.neighbour, password="another-secret.42")),
        replace(unkeyed, neighbour=replace(unkeyed.neighbour, password="")),
        replace(plain, neighbour=replace(plain.neighbour, password="not-a-secret.42")),
        replace(strict, neighbour=replace(strict.neighbour, ttl_security=False)),
        replace(lax, neighbour=replace(lax.neighbour, ttl_security=True)),
        here,
        replace(there, neighbour=replace(there.neighbour, asn=64698)),
    ]


@pytest.mark.parametrize("mistake", [mistake for mistake in REASONS if mistake != ONE_SIDED])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_not_established_and_the_alert_says_why(scene: Scene, kind: str, mistake: str) -> None:
    _refused(scene, kind, mistake)


@pytest.mark.parametrize("python", ["exabgp5"], indirect=True, scope="module")
@pytest.mark.parametrize("kind", KINDS)
def test_ttl_security_that_the_router_lacks_is_missed(scene: Scene, kind: str) -> None:
    _refused(scene, kind, ONE_SIDED)


@pytest.mark.parametrize("python", ["exabgp42"], indirect=True, scope="module")
def test_an_exabgp_that_does_not_look_at_the_ttl_is_an_alert(scene: Scene) -> None:
    wait_for(
        lambda: any("exabgp 4.2.21 does not look at the TTL" in text for text in scene.balancer.alerts()),
        lambda: scene.balancer.log,
    )


def _refused(scene: Scene, kind: str, mistake: str) -> None:
    mine = [each for each in scene.contacts if each.kind == kind][1 + list(REASONS).index(mistake)]
    address = str(mine.peer.address)

    def alerts() -> list[str]:
        return [text for text in scene.balancer.alerts() if f" {address} " in text]

    def said() -> bool:
        # Not in the first seconds, in which that is so of any peer.
        tried = not any(re.search(r", for [0-4] s: it has taken no connection", text) for text in alerts())
        return tried and any(reason in text for text in alerts() for reason in REASONS[mistake])

    wait_for(said, lambda: f"{alerts()}, wanted {REASONS[mistake]}\n{scene.balancer.log}")
    if mistake == LATE_TO_LOOK:
        wait_for(lambda: scene.routes(mine) == {}, lambda: f"{scene.routes(mine)}, wanted none")
        return
    assert SessionState.ESTABLISHED not in scene.balancer.sessions()[mine.peer.address].entered
    assert scene.routes(mine) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_without_a_mistake_is_not_disturbed(scene: Scene, kind: str) -> None:
    mine = next(each for each in scene.contacts if each.kind == kind)
    wait_for(lambda: scene.routes(mine) == mine.holds([VIP]), lambda: scene.balancer.log)
    assert scene.balancer.sessions()[mine.peer.address].entered[SessionState.ESTABLISHED] == 1
