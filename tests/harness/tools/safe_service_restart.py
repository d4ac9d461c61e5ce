"""safe-service-restart, from the contract: restarts a service while its server is depooled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.harness.tools.http_get import UNREACHABLE, http_get

NOT_VERIFIED = 127
"""The exit code if a balancer did not confirm the state in time."""


class PoolStatus(NamedTuple):
    """The four keys of a server; a response with any other key is malformed."""

    enabled: bool = True
    pooled: bool = True
    up: bool = True
    weight: int = 0

    def is_in(self) -> bool:
        return self.enabled and self.up and self.pooled

    def is_out(self) -> bool:
        return not self.enabled and not self.pooled


class NotVerifiedError(Exception):
    """A balancer did not confirm the wanted state in all attempts."""


@dataclass
class SafeServiceRestart:
    """One run for a server: ``run()``.

    ``urls`` are the ``/pools/POOL/HOST`` of all balancers, ``pooled`` returns whether the pool source has the server with ``yes``,
    ``write`` sets ``yes`` or ``no`` there. ``log`` has the result of each verification: *confirmed*, or the reason why the tool
    went on without a confirmation.
    """

    urls: Sequence[str]
    pooled: Callable[[], bool]
    write: Callable[[str], object]
    restart: Callable[[], int]
    retries: int = 5
    wait: float = 3.0
    timeout: float = 5.0
    log: list[str] = field(default_factory=list)

    def run(self) -> int:
        """Return the exit code: that of ``restart``, or :data:`NOT_VERIFIED`."""
        if not self.pooled():
            return self.restart()
        try:
            self.write("no")
            self.verify(pooled=False)
            if code := self.restart():
                return code  # a service that does not start stays depooled
            self.write("yes")
            self.verify(pooled=True)
        except NotVerifiedError:
            return NOT_VERIFIED
        return 0

    def verify(self, *, pooled: bool) -> None:
        """Wait until every balancer confirms the state. Raises NotVerifiedError."""
        for url in self.urls:
            self.log.append(self._verify(url, pooled=pooled))

    def _verify(self, url: str, *, pooled: bool) -> str:
        status = None
        for _ in range(self.retries):
            try:
                response = http_get(
                    url, self.timeout, {"Accept": "application/json", "User-Agent": "service-restarter/0.0.1"}
                )
            except TimeoutError:
                return "no response in time"
            except UNREACHABLE:
                continue  # immediately
            if response.status >= 400:
                return f"status {response.status}"
            try:
                status = PoolStatus(**json.loads(response.body))
            except (TypeError, ValueError):
                return "malformed"
            if status.is_in() if pooled else status.is_out():
                return "confirmed"
            time.sleep(self.wait)
        raise NotVerifiedError(f"{url}: {status}")
