"""Clients that request every VIP through both routers, in threads, as long as the run lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from typing import Self

from tests.chaos.whole_system.site import VIPS, Site
from tests.harness.guest.network import Host

PAUSE = 1.0
"""Seconds between two requests of a client to a VIP."""
_TIMEOUT = 3.0


class Clients:
    """One thread for each router.

    :attr:`answered` has the monotonic time of the last response by router and service.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._over = threading.Event()
        self.answered = {(router, name): time.monotonic() for router in site.routers for name in VIPS}
        self.error = dict.fromkeys(self.answered, "")
        self._threads = [
            threading.Thread(target=self._run, args=(router, client), daemon=True)
            for router, client in zip(site.routers, site.clients, strict=True)
        ]

    def unanswered(self, since: float) -> Iterator[str]:
        """Yield a line for each router and VIP without a response after the monotonic time ``since``."""
        for (router, name), last in self.answered.items():
            if last < since:
                error = self.error[router, name]
                yield f"{name} through {router} for {time.monotonic() - last:.0f} s ({error})"

    def excuse(self, router: str) -> None:
        """Count the present as the last response through a router whose clients cannot be served."""
        for name in VIPS:
            self.answered[router, name] = time.monotonic()

    def _run(self, router: str, client: Host) -> None:
        while not self._over.wait(PAUSE):
            for name, vip in VIPS.items():
                try:
                    client.get(vip, timeout=_TIMEOUT)
                    self.answered[router, name] = time.monotonic()
                except (OSError, HTTPException) as error:
                    self.error[router, name] = str(error)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
