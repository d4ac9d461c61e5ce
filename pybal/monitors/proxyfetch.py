"""ProxyFetch: fetches a URL from a server at intervals and judges the status of the answer.

The host of the URL is only a name to ask for: the connection goes to the server's address and the service's port.
Redirects are not followed. A check that came to nothing by our own fault is made once more at once, and then waits
for its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from urllib.parse import urlsplit

from pybal.checks import http, tls
from pybal.checks.check import Target
from pybal.checks.engine import Engine
from pybal.checks.fetch import Fetch, Request
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, Result
from pybal.checks.schedule import Seat
from pybal.config.settings import ProxyFetchSettings
from pybal.model import Address, Report, Service
from pybal.monitors.base import Sample
from pybal.monitors.record import Record

DURATION = "pybal_monitor_proxyfetch_request_duration_seconds"

_REDIRECTS = frozenset((301, 302, 303))


class ProxyFetchPlan:
    """The requests of one service, and its one TLS context."""

    name = "ProxyFetch"

    def __init__(self, settings: ProxyFetchSettings, service: Service, *, engine: Engine, random: Random) -> None:
        self.settings = settings
        self.port = service.port
        self.engine = engine
        self.random = random
        wanted = settings.http_status
        statuses = _REDIRECTS if wanted in _REDIRECTS else frozenset((wanted,))
        self._context = None
        if any(urlsplit(url).scheme == "https" for url in settings.urls):
            self._context = tls.context()
        self.urls = tuple(dict.fromkeys(settings.urls))
        self.requests = tuple(self._request(url, wanted, statuses) for url in settings.urls)

    def _request(self, url: str, wanted: int, statuses: frozenset[int]) -> Request:
        secure = urlsplit(url).scheme == "https"
        return Request(
            url=url,
            number=self.urls.index(url),
            data=http.request(url),
            wanted=wanted,
            statuses=statuses,
            context=self._context if secure else None,
            server_name=http.host_of(url) if secure else "",
        )

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> ProxyFetch:
        """Return a monitor of the server at this address; its host name is of no importance here."""
        del host
        return ProxyFetch(self, address, report)


class ProxyFetch(Record):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_fetches", "_plan", "_repeated", "_results", "_seat", "_seconds")

    name = ProxyFetchPlan.name

    def __init__(self, plan: ProxyFetchPlan, address: Address, report: Callable[[Report], None]) -> None:
        super().__init__(report)
        target = Target.of(address, plan.port)
        timeout = plan.settings.timeout
        self._plan = plan
        self._fetches = tuple(Fetch(plan.engine, target, timeout, self._done, request) for request in plan.requests)
        self._results: list[tuple[Request, Result]] = []
        self._seconds = [0.0] * (2 * len(plan.urls))
        self._seat: Seat | None = None
        self._repeated = False

    def samples(self) -> Iterator[Sample]:
        for number, url in enumerate(self._plan.urls):
            yield Sample(DURATION, (("result", "successful"), ("url", url)), self._seconds[2 * number])
            yield Sample(DURATION, (("result", "failed"), ("url", url)), self._seconds[2 * number + 1])

    def start(self) -> None:
        self._seat = self._plan.engine.every(self._plan.settings.interval, self._turn)

    def stop(self) -> None:
        if self._seat is not None:
            self._plan.engine.leave(self._seat)
            self._seat = None
        for fetch in self._fetches:
            fetch.cancel()

    def _turn(self) -> None:
        fetches = self._fetches
        for fetch in fetches:
            if fetch.running:
                return
        if len(fetches) == 1:
            fetches[0].start()
        elif self._plan.settings.check_all:
            self._results.clear()
            for fetch in fetches:
                fetch.start()
        else:
            self._plan.random.choice(fetches).start()

    def _done(self, fetch: Fetch, result: Result) -> None:
        request, verdict = fetch.request, result.verdict
        if verdict is not INCONCLUSIVE:
            self._seconds[2 * request.number + (verdict is FAILED)] = result.duration
        if len(self._fetches) > 1 and self._plan.settings.check_all:
            self._results.append((request, result))
            if len(self._results) == len(self._fetches):
                self._judge_all()
        elif verdict is PASSED:
            self._say_up()
        elif verdict is FAILED:
            place = f" at {request.url}" if len(self._fetches) > 1 else ""
            self._say_down(result.text + place, f"{result.phase} {result.cause}")
        else:
            self._say_nothing()

    def _judge_all(self) -> None:
        failures = [(request, result) for request, result in self._results if result.verdict is FAILED]
        if len(failures) > self._plan.settings.max_failures:
            texts = "; ".join(f"{result.text} at {request.url}" for request, result in failures)
            causes = " ".join(f"{request.number} {result.phase} {result.cause}" for request, result in failures)
            self._say_down(f"{len(failures)} of {len(self._results)} URLs failed: {texts}", causes)
        elif any(result.verdict is INCONCLUSIVE for _, result in self._results):
            self._say_nothing()
        else:
            self._say_up()

    def _say_up(self) -> None:
        self._repeated = False
        self._passed(self._plan.engine.now)

    def _say_down(self, reason: str, cause: str) -> None:
        self._repeated = False
        self._failed(reason, cause, self._plan.engine.now)

    def _say_nothing(self) -> None:
        if self._seat is not None and not self._repeated:
            self._repeated = True
            self._plan.engine.again(self._seat)
