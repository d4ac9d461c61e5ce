"""The inheritance of a real child process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence

import pytest

from pybal.runtime.child import Capability, environment, limited

SHOW = ("sh", "-c", "grep Cap /proc/self/status; ulimit -Sn; ulimit -Hn; env")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root holds capabilities here")


def output_of(command: Sequence[str], **more: str) -> list[str]:
    ended = subprocess.run(command, env=environment(**more), capture_output=True, check=True, text=True)
    return ended.stdout.splitlines()


def masks(command: Sequence[str]) -> dict[str, int]:
    lines = output_of(command)
    return {line.split(":")[0]: int(line.split()[1], 16) for line in lines if line.startswith("Cap")}


def test_child_environment_has_path_and_language_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "SECRET"):
        monkeypatch.setenv(name, "1")
    variables = {line.split("=")[0] for line in output_of(("/usr/bin/env",))}
    assert variables == {"PATH", "LANG"}
    assert "PYBAL_HOST=a" in output_of(("/usr/bin/env",), PYBAL_HOST="a")


def test_child_has_the_usual_soft_limit_and_the_same_hard_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits = output_of(limited(SHOW))[5:7]
    assert limits == ["1024", str(hard)]


@AS_ROOT
def test_child_keeps_only_the_named_capabilities() -> None:
    kept = 1 << Capability.NET_ADMIN
    assert masks(limited(SHOW, only=[Capability.NET_ADMIN])) == {
        "CapInh": kept,
        "CapPrm": kept,
        "CapEff": kept,
        "CapBnd": kept,
        "CapAmb": kept,
    }


@AS_ROOT
def test_child_keeps_no_capability_when_none_is_named() -> None:
    assert set(masks(limited(SHOW, only=[])).values()) == {0}


@AS_ROOT
def test_child_loses_the_excepted_capabilities_only() -> None:
    before, after = masks(SHOW), masks(limited(SHOW, without=[Capability.NET_ADMIN]))
    assert after["CapEff"] == before["CapEff"] & ~(1 << Capability.NET_ADMIN)


@AS_ROOT
@pytest.mark.parametrize("own", ["0", "300"])
def test_expendable_child_keeps_a_higher_oom_score(own: str) -> None:
    code = "from pybal.runtime.child import *; import os; os.execvp((c := expendable(['cat', '/proc/self/oom_score_adj']))[0], c)"
    assert output_of(["choom", "--adjust", own, "--", sys.executable, "-c", code]) == [own]


@AS_ROOT
def test_child_of_a_user_without_capabilities_starts() -> None:
    # Asking for a capability that the daemon lacks would fail the start.
    code = "from pybal.runtime.child import *; print(*limited(['true'], only=[Capability.NET_ADMIN]))"
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    if subprocess.run([*user, sys.executable, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"another user cannot run {sys.executable}")
    command = subprocess.run([*user, sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert "+" not in command
    # setpriv of Debian 13 fails if it may not change the bounding set.
    assert "bounding-set" not in command
    subprocess.run([*user, *command.split()], check=True)
