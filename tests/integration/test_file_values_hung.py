"""Secrets and CA files on a file system that hangs, in real threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from pybal.checks import tls
from pybal.config.settings import AccessSettings
from pybal.http.trust import Trust
from pybal.runtime.file_values import PATIENCE, THREADS, FileValues
from pybal.runtime.workers import Workers
from pybal.sources.credentials import SecretFile
from tests.harness.certificates import self_signed
from tests.harness.clock_with_threads import ClockWithThreads
from tests.harness.daemon_process import wait_for
from tests.harness.hung_mount import can_mount, hung_mount

pytestmark = pytest.mark.skipif(not can_mount(), reason="mounting FUSE needs root and /dev/fuse")

SILENCE = f"no response from the file system for {PATIENCE:g} s"


class Files:
    """Secrets and certificates in two directories, of which the test hangs one."""

    def __init__(self, root: Path) -> None:
        self.clock = ClockWithThreads()
        self.values = FileValues(Workers("values", THREADS, self.clock), self.clock)
        self.nfs, self.local = root / "nfs", root / "local"
        for directory in (self.nfs, self.local):
            directory.mkdir()
            (directory / "token").write_text("secret\n")

    def read(self, directory: Path, name: str = "token") -> str:
        """Return a secret, or the error of reading it."""
        return self.outcome(Deferred.fromCoroutine(SecretFile("token-file", str(directory / name), self.values).read()))

    def outcome(self, done: Deferred[str]) -> str:
        outcomes: list[str] = []
        done.addCallbacks(outcomes.append, lambda failure: outcomes.append(str(failure.value)))
        self.clock.pass_time(PATIENCE + 0.2)
        return outcomes[0]

    def wait(self, condition: Callable[[], bool]) -> None:
        """Pass time until a condition holds after a mount.

        Its hung calls end in threads, when the machine lets them.
        """

        def holds() -> bool:
            self.clock.pass_time(1)
            return condition()

        wait_for(holds, lambda: f"the end of the hung mount; alerts: {self.alerts}")

    @property
    def alerts(self) -> list[str]:
        return [alert.text for alert in self.values.alerts()]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_secret_on_a_hung_mount_is_reported_and_returns_by_itself(files: Files) -> None:
    assert files.read(files.nfs) == "secret"
    with hung_mount(files.nfs):
        for _ in range(2):
            assert files.read(files.nfs) == f"token-file: {files.nfs}/token ({SILENCE}), wanted a file that can be read"
        assert files.read(files.local) == "secret"
    files.wait(lambda: files.read(files.nfs) == "secret")


def test_many_secrets_of_a_hung_mount_leave_threads_for_others(files: Files) -> None:
    with hung_mount(files.nfs):
        for number in range(3 * THREADS):
            Deferred.fromCoroutine(SecretFile("token-file", f"{files.nfs}/{number}", files.values).read()).addErrback(
                lambda _: ""
            )
        assert files.read(files.local) == "secret"


def test_ca_file_on_a_hung_mount_fails_the_connection_of_a_source(files: Files) -> None:
    ca = files.nfs / "ca.pem"
    ca.write_bytes(self_signed(files.local).read_bytes())
    trust = Trust(AccessSettings(ca=str(ca)), files.values)

    def connect() -> str:
        creator = Deferred.fromCoroutine(trust.creator("conf.example"))
        return files.outcome(creator.addCallback(lambda _: "connected"))

    with hung_mount(files.nfs):
        assert connect() == f"TLS: {ca} ({SILENCE})"
    files.wait(lambda: connect() == "connected")


def test_context_of_checks_survives_a_hung_mount_with_an_alert(files: Files) -> None:
    ca = files.nfs / "ca.pem"
    ca.write_bytes(self_signed(files.local).read_bytes())
    context = tls.shared(files.values, verify=True, ca=str(ca))
    context.fresh()
    files.clock.pass_time(1)
    built = context.last
    with hung_mount(files.nfs):
        assert context.is_ready(lambda: None, 0.0, wait=False)
        files.clock.pass_time(PATIENCE + 1)
        assert context.last is built
        (alert,) = files.alerts
        assert alert.startswith(f"{ca}: no response from the file system for 3 s; using the last CAs")
    files.wait(lambda: files.alerts == [])
