"""The part that the monitors of one kind share within a service: options and factory."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Generic, NamedTuple, TypeVar

from pybal.checks.engine import Engine
from pybal.core.model import Address, Report, Service
from pybal.monitors.base import Monitor
from pybal.runtime.file_values import FileValue, FileValues

#: Seconds between two looks at the files of a TLS context, and at that of a secret.
CONTEXT_SECONDS, SECRET_SECONDS = 10.0, 2.0


class MonitorRefusal(NamedTuple):
    """An option that this machine cannot apply."""

    option: str
    found: str
    wanted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """The options of a kind of monitor; its fields declare them with :func:`pybal.config.option.option`."""

    def port_of(self, service: Service) -> int:
        """Return the port that the checks of a service connect to, 0 if they use none."""
        return service.port

    def refusal(self, prefix: str) -> MonitorRefusal | None:
        """Return why this machine cannot run such a monitor, ``None`` if it can.

        ``prefix`` is the prefix of the option names.
        """
        del prefix
        return None

    def tls_context(self, files: FileValues) -> FileValue[ssl.SSLContext] | None:
        """Return the TLS context that the checks need, ``None`` if they use no TLS."""
        del files
        return None

    def secret(self, files: FileValues) -> FileValue[str] | None:
        """Return the secret that the checks need, ``None`` if they need none."""
        del files
        return None


S_co = TypeVar("S_co", bound=MonitorSettings, covariant=True)


class Factory(Generic[S_co]):
    """Creates the monitors of one kind for one service; see :class:`pybal.monitors.base.MonitorFactory`.

    It uses only the port of the service and, for people and for a fair share of commands, its name, because services with equal settings may share their
    checks (:mod:`pybal.monitors.shared`).
    """

    def __init__(
        self,
        name: str,
        create: Callable[[Factory[S_co], str, Address, Callable[[Report], None]], Monitor],
        settings: S_co,
        service: Service,
        *,
        engine: Engine,
        random: Random,
        files: FileValues,
    ) -> None:
        self.name = name
        self.settings = settings
        self.port = settings.port_of(service)
        self.engine = engine
        self.random = random
        self.service = service.name
        self.log_system = f"{service.name} {name}"
        self.context = settings.tls_context(files)
        self.secret = settings.secret(files)
        self._create = create
        self._prepare()

    def _prepare(self) -> None:
        """Compute further data that the monitors share."""

    def is_ready(self, resume: Callable[[], None]) -> bool:
        """Return whether a check can start; if not, ``resume`` is called when it may have become possible.

        A check never starts without its TLS context or secret. A new secret is used from the next check on; new CAs are
        loaded while the last ones are in use.
        """
        if self.context is not None and not self.context.is_ready(resume, CONTEXT_SECONDS, wait=False):
            return False
        return self.secret is None or self.secret.is_ready(resume, SECRET_SECONDS, wait=True)

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Monitor:
        return self._create(self, host, address, report)
