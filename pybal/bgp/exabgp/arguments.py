"""The command lines of ExaBGP and of its relay, and their user."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

RELAY_SECONDS = 2.5
"""Time without a heartbeat from the daemon after which the relay closes the sessions."""
SHUTDOWN_SECONDS = 0.5
"""Time for ExaBGP to close its sessions before the relay kills it."""

_HERE = Path(__file__).parent


def exabgp(python: str, configuration: Path) -> list[str]:
    """Return the command that runs ExaBGP until the daemon ends."""
    launcher = (python, "-I", "-S", str(_HERE / "launcher.py"), str(os.getpid()))
    return [*launcher, python, "-I", "-u", "-m", "exabgp", str(configuration)]


def relay(python: str, socket: Path) -> tuple[str, ...]:
    """Return the command that ExaBGP runs as its API process."""
    return (python, "-I", "-S", str(_HERE / "relay.py"), str(socket), f"{RELAY_SECONDS:g}", f"{SHUTDOWN_SECONDS:g}")


def user() -> str:
    """Return the name of our user, which ExaBGP needs; raises KeyError if the user has no name."""
    return pwd.getpwuid(os.geteuid()).pw_name
