"""The guest: one bare machine whose kernel has IPVS.

The commands after ``$ `` run in one shell, which begins in the root of the repository. The prompt ``NAME# `` runs a command in the
network namespace NAME.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.docs.page import ROOT
from tests.docs.place import VARIABLES, Result, execute
from tests.docs.shell import Shell


class GuestMachine:
    """The place ``guest``; it exists only inside a guest."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def begin(self, hosts: Collection[str]) -> None:
        """Do nothing: the commands of a page make its namespaces."""

    def run(self, host: str, command: str) -> Result:
        return execute(["ip", "netns", "exec", host, "bash", "-c", command]) if host else self._shell.run(command)

    def write(self, host: str, path: str, text: str) -> None:
        """Write a file of the guest; in a namespace, what ``ip netns exec`` mounts over a file of /etc."""
        target = Path(path.replace("/etc/", f"/etc/netns/{host}/", 1) if host else path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


@contextmanager
def guest_machine() -> Iterator[GuestMachine]:
    """Return the machine of this guest, which ends with the guest."""
    with closing(Shell(ROOT, VARIABLES)) as shell:
        yield GuestMachine(shell)
