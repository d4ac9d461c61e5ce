"""ProxyFetch: fetches a URL from a server at intervals and judges the status of the answer."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pybal.checks.engine import Engine
from pybal.config.settings import ProxyFetchSettings
from pybal.model import Address, Report, Service
from pybal.monitors.base import Monitor


class ProxyFetchPlan:
    """The requests and the TLS context of one service."""

    name = "ProxyFetch"

    def __init__(self, settings: ProxyFetchSettings, service: Service, *, engine: Engine, random: Random) -> None:
        raise NotImplementedError

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Monitor:
        raise NotImplementedError
