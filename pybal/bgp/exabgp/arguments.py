"""The command lines of ExaBGP and of its relay, and their user."""

from __future__ import annotations

import os
import pwd
from functools import cache
from pathlib import Path

from pybal.runtime.child import Capability, limited

SHUTDOWN_SECONDS = 0.5
"""Time for ExaBGP to close its sessions before the relay kills it."""

_HERE = Path(__file__).parent


def exabgp(python: str, configuration: Path, *, listens: bool) -> list[str]:
    """Return the command that runs ExaBGP until the daemon ends.

    If it ``listens``, it may use a port below 1024.
    """
    launcher = (python, "-I", "-S", str(_HERE / "launcher.py"), str(os.getpid()))
    return limited(
        [*launcher, python, "-I", "-u", str(_HERE / "steady.py"), str(configuration)],
        only=[Capability.NET_BIND_SERVICE] if listens else [],
    )


def relay(python: str, socket: Path, dead_after: float) -> tuple[str, ...]:
    """Return the command that ExaBGP runs as its API process.

    It closes the sessions after ``dead_after`` seconds without a heartbeat from the daemon.
    """
    return (python, "-I", "-S", str(_HERE / "relay.py"), str(socket), f"{dead_after:g}", f"{SHUTDOWN_SECONDS:g}")


@cache
def user() -> str:
    """Return the name of our user, which ExaBGP needs; raises KeyError if the user has no name.

    The first call waits for the name service.
    """
    return pwd.getpwuid(os.geteuid()).pw_name
