"""The configuration file: reads and checks it as a whole, and detects later changes of the file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace

from pybal.config.errors import Problem
from pybal.config.option import Kinds
from pybal.config.parse import LARGEST, parse_steps
from pybal.config.sensitive import NOTHING_SENSITIVE, Sensitive
from pybal.config.settings import Settings
from pybal.core.steps import finish
from pybal.runtime import regular_file
from pybal.runtime.watched_file import WatchedFile

Check = Callable[[Settings, str], Iterable[Problem]]
"""Yields the problems of settings; the second argument is the name of the file."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings of a configuration file, its warnings and its sensitive parts.

    ``digest`` is the SHA-256 of the text in hexadecimal. ``unsupported`` are the settings that are valid, but not supported
    by this version or, if that was checked, by this machine: the configuration must not be used with them.
    """

    settings: Settings
    warnings: tuple[Problem, ...]
    digest: str
    unsupported: tuple[Problem, ...] = ()
    sensitive: Sensitive = NOTHING_SENSITIVE


class ConfigurationFile:
    """The file at ``path``.

    ``kinds`` are the kinds of monitor, ``adjust`` applies the options of the command line to its settings. ``unsupported``
    yields the settings of a file that this version does not support, ``uninstalled`` those that need a missing package, ``absent``
    those that this machine cannot use at present.
    """

    def __init__(
        self,
        path: str,
        kinds: Kinds,
        adjust: Callable[[Settings], Settings] = lambda settings: settings,
        *,
        unsupported: Check = lambda _settings, _path: (),
        uninstalled: Check = lambda _settings, _path: (),
        absent: Check = lambda _settings, _path: (),
    ) -> None:
        self.path = path
        self._kinds = kinds
        self._adjust = adjust
        self._unsupported = unsupported
        self._uninstalled = uninstalled
        self._absent = absent
        self._digest = WatchedFile(path, _digest, "")

    def read(self, *, machine: bool = True) -> Loaded:
        """Return the settings of the file; with ``machine`` check that this machine can use them.

        Imports the packages that they need. Raises ConfigError or OSError.
        """
        with open(self.path, "rb") as file:  # noqa: PTH123  # like that of text()
            text = file.read(LARGEST + 1)
        loaded = finish(self.parse(text, self.path))
        return self.checked(loaded) if machine else self._installed(loaded)

    def text(self) -> bytes:
        """Return the bytes of a regular file, at most one more than the parser accepts. Raises OSError."""
        return regular_file.begin(self.path, LARGEST + 1)

    def parse(self, text: bytes, path: str) -> Generator[None, None, Loaded]:
        """Return the settings of a text, as if it were the file, in small steps. Raises ConfigError.

        The files that it names are not opened.
        """
        parsed = yield from parse_steps(text, path, self._kinds)
        settings = self._adjust(parsed.settings)
        unsupported = tuple(self._unsupported(settings, path))
        return Loaded(settings, parsed.warnings, _digest(text), unsupported, parsed.sensitive)

    def checked(self, loaded: Loaded) -> Loaded:
        """Return the same settings checked against this machine.

        Imports the packages that they need; may wait for the file systems that they name.
        """
        absent = tuple(self._absent(loaded.settings, self.path))
        installed = self._installed(loaded)
        return replace(installed, unsupported=(*installed.unsupported, *absent))

    def _installed(self, loaded: Loaded) -> Loaded:
        uninstalled = tuple(self._uninstalled(loaded.settings, self.path))
        return replace(loaded, unsupported=(*loaded.unsupported, *uninstalled))

    def digest(self) -> str:
        """Return the SHA-256 of the file on disk, empty if it is unreadable; read it only if its stat changed."""
        return self._digest.value()


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
