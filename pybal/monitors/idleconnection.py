"""IdleConnection: holds a connection on which nothing is ever sent."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pybal.checks.engine import Engine
from pybal.config.settings import IdleConnectionSettings
from pybal.model import Address, Report, Service
from pybal.monitors.base import Monitor


class IdleConnectionPlan:
    """The options of one service."""

    name = "IdleConnection"

    def __init__(self, settings: IdleConnectionSettings, service: Service, *, engine: Engine, random: Random) -> None:
        raise NotImplementedError

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Monitor:
        raise NotImplementedError
