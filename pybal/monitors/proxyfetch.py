"""ProxyFetch: fetches a URL from a server at intervals and judges the status of the answer.

The host of the URL is only a name to ask for: the connection goes to the server's address and the service's port.
Redirects are not followed. A check that came to nothing by our own fault is made once more at once, and then waits
for its turn.

The first failure after a success is looked into: the connection alone, the other URLs, and HTTP/1.1 in place of 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from urllib.parse import urlsplit

from pybal.checks import tls
from pybal.checks.engine import Engine
from pybal.checks.http_check import CheckRequest, HTTPCheck
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, Result
from pybal.checks.socket_check import Target
from pybal.config.settings import ProxyFetchSettings
from pybal.core.model import Address, Report, Service
from pybal.http import message
from pybal.monitors.base import Sample
from pybal.monitors.diagnosis import Diagnosis, FollowUps, tcp_only
from pybal.monitors.interval import IntervalMonitor

DURATION = "pybal_monitor_proxyfetch_request_duration_seconds"

OTHER_URLS = 3
"""How many of the other URLs are asked for to learn more of a failure."""

_REDIRECTS = frozenset((301, 302, 303))


class ProxyFetchFactory:
    """The requests of one service, and its one TLS context."""

    name = "ProxyFetch"

    def __init__(self, settings: ProxyFetchSettings, service: Service, *, engine: Engine, random: Random) -> None:
        self.settings = settings
        self.port = settings.port or service.port
        self.engine = engine
        self.random = random
        wanted, statuses = _wanted(settings)
        self._context = None
        if any(urlsplit(url).scheme == "https" for url in settings.urls):
            self._context = tls.context()
            if settings.verify:
                tls.verify(self._context, settings.ca, name=True)
        self.urls = tuple(dict.fromkeys(settings.urls))
        self.requests = tuple(self._request(url, wanted, statuses) for url in settings.urls)

    def _request(self, url: str, wanted: int | str, statuses: frozenset[int]) -> CheckRequest:
        settings = self.settings
        secure = urlsplit(url).scheme == "https"
        return CheckRequest(
            url=url,
            number=self.urls.index(url),
            data=message.request(
                url, method=settings.method, version=settings.http_version, host=settings.host, headers=settings.headers
            ),
            wanted=wanted,
            statuses=statuses,
            context=self._context if secure else None,
            server_name=(settings.sni or message.host_of(url)) if secure else "",
            bodiless=settings.method == "HEAD",
            max_body=settings.max_body,
            pattern=settings.body_regex,
        )

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> ProxyFetch:
        """Return a monitor of the server at this address; its host name is of no importance here."""
        del host
        return ProxyFetch(self, address, report)


def _wanted(settings: ProxyFetchSettings) -> tuple[int | str, frozenset[int]]:
    """Return what failures say was wanted, and all that is meant by it."""
    one, ranges = settings.http_status, settings.statuses
    if not ranges:
        return one, _REDIRECTS if one in _REDIRECTS else frozenset((one,))
    text = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
    return text, frozenset(status for low, high in ranges for status in range(low, high + 1))


class ProxyFetch(IntervalMonitor):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_diagnosis", "_fetches", "_plan", "_results", "_seconds", "_target")

    name = ProxyFetchFactory.name

    def __init__(self, plan: ProxyFetchFactory, address: Address, report: Callable[[Report], None]) -> None:
        super().__init__(plan.engine, plan.random, plan.settings, report)
        self._target = target = Target.of(address, plan.port, plan.settings.source)
        timeout = plan.settings.timeout
        self._plan = plan
        self._fetches = tuple(HTTPCheck(plan.engine, target, timeout, self._done, request) for request in plan.requests)
        self._diagnosis = Diagnosis(plan.engine, self._recent.add)
        self._results: list[tuple[CheckRequest, Result]] = []
        self._seconds = [0.0] * (2 * len(plan.urls))

    def samples(self) -> Iterator[Sample]:
        for number, url in enumerate(self._plan.urls):
            yield Sample(DURATION, (("result", "successful"), ("url", url)), self._seconds[2 * number])
            yield Sample(DURATION, (("result", "failed"), ("url", url)), self._seconds[2 * number + 1])

    def stop(self) -> None:
        super().stop()
        for fetch in self._fetches:
            fetch.cancel()
        self._diagnosis.stop()

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

    def _done(self, fetch: HTTPCheck, result: Result) -> None:
        request, verdict = fetch.request, result.verdict
        self._recent.add(self._engine.now, result, request.url)
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
            self._say_down(result.text + place, f"{result.phase} {result.cause}", request)
        else:
            self._make_up()

    def _judge_all(self) -> None:
        failures = [(request, result) for request, result in self._results if result.verdict is FAILED]
        if len(failures) > self._plan.settings.max_failures:
            texts = "; ".join(f"{result.text} at {request.url}" for request, result in failures)
            causes = " ".join(f"{request.number} {result.phase} {result.cause}" for request, result in failures)
            self._say_down(f"{len(failures)} of {len(self._results)} URLs failed: {texts}", causes, failures[0][0])
        elif any(result.verdict is INCONCLUSIVE for _, result in self._results):
            self._make_up()
        else:
            self._say_up()

    def _say_up(self) -> None:
        self._repeated = False
        self._diagnosis.succeeded = True
        self._passed(self._engine.now)

    def _say_down(self, reason: str, cause: str, failed: CheckRequest) -> None:
        self._repeated = False
        self._diagnosis.failed(self._follow_ups(failed))
        self._failed(reason, cause, self._engine.now)

    def _follow_ups(self, failed: CheckRequest) -> FollowUps:
        plan, told = self._plan, self._diagnosis.told
        timeout = plan.settings.timeout
        yield from tcp_only(plan.engine, self._target, timeout, told)
        others = [] if plan.settings.check_all else [one for one in plan.requests if one.url != failed.url][:OTHER_URLS]
        for request in others:
            yield request.url, HTTPCheck(plan.engine, self._target, timeout, told, request)
        newer = _newer(failed)
        if newer is not None:
            yield f"HTTP/1.1 {newer.url}", HTTPCheck(plan.engine, self._target, timeout, told, newer)


def _newer(request: CheckRequest) -> CheckRequest | None:
    """Return the request in HTTP/1.1, ``None`` if it is that already."""
    data = request.data.replace(b" HTTP/1.0\r\n", b" HTTP/1.1\r\nConnection: close\r\n", 1)
    return None if data == request.data else replace(request, data=data)
