"""The guest: one bare machine whose kernel has IPVS.

The prompt ``NAME# `` runs a command in its network namespace NAME.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.place import Result, execute


class GuestMachine:
    """The place ``guest``; it exists only inside a guest."""

    def run(self, host: str, command: str) -> Result:
        inside = ["ip", "netns", "exec", host] if host else []
        return execute([*inside, "bash", "-c", command])

    def write(self, host: str, path: str, text: str) -> None:
        """Write a file of the guest; in a namespace, what ``ip netns exec`` mounts over a file of /etc."""
        target = Path(path.replace("/etc/", f"/etc/netns/{host}/", 1) if host else path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


@contextmanager
def guest_machine(_directory: Path) -> Iterator[GuestMachine]:
    """Return the machine of this guest, which ends with the guest."""
    yield GuestMachine()
