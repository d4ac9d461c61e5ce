"""The private directory of ExaBGP's socket and configuration file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pybal.runtime import atomic_file


class RuntimeDirectory:
    """A directory that only our user can enter."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = path / "exabgp.sock"
        self.configuration = path / "exabgp.conf"
        self._created = False

    def create(self) -> None:
        """Create the directory, or check that an existing one is private. Raises OSError."""
        if not self.path.exists():
            self.path.mkdir(mode=0o700, parents=True)
            self._created = True
        status = self.path.stat()
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PermissionError(
                f"{self.path} is owned by user {status.st_uid} with mode {status.st_mode & 0o777:o}, "
                f"wanted user {os.geteuid()} and mode 700"
            )
        self.socket.unlink(missing_ok=True)

    def write_configuration(self, text: str) -> None:
        """Replace the configuration file atomically; only our user can read it. Raises OSError."""
        atomic_file.replace(self.configuration, text.encode("ascii"), mode=0o600)

    def remove(self) -> None:
        """Remove the configuration file, and the directory if it was created here."""
        self.configuration.unlink(missing_ok=True)
        if self._created:
            with suppress(OSError):
                self.path.rmdir()
