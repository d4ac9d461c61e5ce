"""The configuration file: reads and checks it as a whole, and detects later changes of the file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pybal.config.errors import Problem
from pybal.config.option import Kinds
from pybal.config.parse import parse
from pybal.config.settings import Settings
from pybal.runtime.watched_file import WatchedFile


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings of a configuration file and its warnings.

    ``digest`` is the SHA-256 of the text in hexadecimal. ``unsupported`` are the settings that are valid, but not supported
    by this version or, if that was checked, by this machine: the configuration must not be used with them.
    """

    settings: Settings
    warnings: tuple[Problem, ...]
    digest: str
    unsupported: tuple[Problem, ...] = ()


class ConfigurationFile:
    """The file at ``path``.

    ``kinds`` are the kinds of monitor, ``adjust`` applies the options of the command line to its settings. ``unsupported``
    yields the settings of a file that this version does not support, ``absent`` those that this machine cannot use at present.
    """

    def __init__(
        self,
        path: str,
        kinds: Kinds,
        adjust: Callable[[Settings], Settings] = lambda settings: settings,
        unsupported: Callable[[Settings, str], Iterable[Problem]] = lambda _settings, _path: (),
        absent: Callable[[Settings, str], Iterable[Problem]] = lambda _settings, _path: (),
    ) -> None:
        self.path = path
        self._kinds = kinds
        self._adjust = adjust
        self._unsupported = unsupported
        self._absent = absent
        self._digest = WatchedFile(path, _digest, "")

    def read(self, *, machine: bool = True) -> Loaded:
        """Return the settings of the file, with ``machine`` checked against this machine.

        Raises ConfigError or OSError.
        """
        return self.parse(Path(self.path).read_bytes(), self.path, machine=machine)

    def parse(self, text: bytes, path: str, *, machine: bool = True) -> Loaded:
        """Return the settings of a text, as if it were the file. Raises ConfigError."""
        parsed = parse(text, path, self._kinds)
        settings = self._adjust(parsed.settings)
        problems = (*self._unsupported(settings, path), *(self._absent(settings, path) if machine else ()))
        return Loaded(settings, parsed.warnings, _digest(text), problems)

    def digest(self) -> str:
        """Return the SHA-256 of the file on disk, empty if it is unreadable; read it only if its stat changed."""
        return self._digest.value()


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
