"""Behaviour of etcd's API v3 only: tokens, and the warning about a re-created cluster."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from twisted.logger import capturedLogs, eventAsText

from pybal.config.settings import AccessSettings
from pybal.sources.base import Trouble
from tests.harness.etcd_pool import API, V3, Reading, Stopwatch
from tests.harness.servers.etcd import PASSWORD, Etcd
from tests.harness.servers.relay import Relay


@pytest.fixture
def api() -> API:
    return V3()


def test_expired_token_is_replaced(api: API, relay: Relay, one: Etcd, tmp_path: Path, watch: Stopwatch) -> None:
    """Tokens also expire with a new password."""
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    api.require_passwords(one)
    token = one.v3("auth/authenticate", name="root", password=PASSWORD)["token"]

    def logins() -> int:
        return sum("/v3/auth/authenticate" in request for request in relay.requests)

    async def story(read: Reading) -> None:
        await api.verified(read)
        assert logins() == 1
        watch.start()
        one.v3("auth/user/changepw", token, name="root", password="another")
        password.write_text("another")
        await read.until(lambda: logins() == 2)
        before = read.source.last_success
        await read.until(lambda: read.source.last_success != before)
        watch.stop()
        assert (read.errors, len(read.lists)) == ([], 1)
        assert sum("/v3/watch" in request for request in relay.requests) == 1

    api.run([relay.port], story, AccessSettings(tls=False, user="root", password_file=str(password)))


def test_missing_user_is_reported_with_the_options_to_set(api: API, one: Etcd) -> None:
    async def story(read: Reading) -> None:
        await read.problem("user name is empty; set user and password-file")
        assert read.errors[-1].trouble is Trouble.DENIED

    api.require_passwords(one)
    api.run([one.port], story)


def test_recreated_cluster_is_logged(api: API, one: Etcd, tmp_path: Path) -> None:
    for _ in range(50):
        api.put(one, 1)

    def recreate() -> None:
        one.server.kill()
        shutil.rmtree(tmp_path / "data")
        one.server.start()
        api.put(one, 2)

    async def story(read: Reading) -> None:
        await read.weight(1)
        await read.in_thread(recreate)
        await read.weight(2)

    with capturedLogs() as events:
        api.run([one.port], story)
    warning = (
        f"{api.name([one.port])}: etcd cluster of 127.0.0.1:{one.port} was re-created "
        "(different cluster ID, or lower revision); reading everything again"
    )
    assert [eventAsText(event, includeTimestamp=False) for event in events].count(
        f"[pybal.sources.etcd.v3.Etcd3Reader#warn] {warning}"
    ) == 1
