"""ProxyFetch: fetch a URL from a server at an interval; the status of the response decides.

The host of the URL is only the name in the request: the connection goes to the server's address and the service's port.
Redirects are not followed. A check that is inconclusive because of a local error is retried once immediately, then at
the next interval.

The first failure after a success is diagnosed by a check that only connects, the other URLs, and HTTP/1.1 instead of 1.0.
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
"""Maximum number of other URLs that a diagnosis fetches."""

_REDIRECTS = frozenset((301, 302, 303))


class ProxyFetchFactory:
    """The requests and the TLS context of one service."""

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
        """Return a monitor of the server at this address; the host name is not used."""
        del host
        return ProxyFetch(self, address, report)


def _wanted(settings: ProxyFetchSettings) -> tuple[int | str, frozenset[int]]:
    """Return the expected status as failures show it, and the set of accepted statuses."""
    one, ranges = settings.http_status, settings.statuses
    if not ranges:
        return one, _REDIRECTS if one in _REDIRECTS else frozenset((one,))
    text = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
    return text, frozenset(status for low, high in ranges for status in range(low, high + 1))


class ProxyFetch(IntervalMonitor):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_diagnosis", "_factory", "_fetches", "_results", "_seconds", "_target")

    name = ProxyFetchFactory.name

    def __init__(self, factory: ProxyFetchFactory, address: Address, report: Callable[[Report], None]) -> None:
        super().__init__(factory.engine, factory.random, factory.settings, report)
        self._target = target = Target.of(address, factory.port, factory.settings.source)
        timeout = factory.settings.timeout
        self._factory = factory
        self._fetches = tuple(
            HTTPCheck(factory.engine, target, timeout, self._done, request) for request in factory.requests
        )
        self._diagnosis = Diagnosis(factory.engine, self._history.add)
        self._results: list[tuple[CheckRequest, Result]] = []
        self._seconds = [0.0] * (2 * len(factory.urls))

    def samples(self) -> Iterator[Sample]:
        for number, url in enumerate(self._factory.urls):
            yield Sample(DURATION, (("result", "successful"), ("url", url)), self._seconds[2 * number])
            yield Sample(DURATION, (("result", "failed"), ("url", url)), self._seconds[2 * number + 1])

    def stop(self) -> None:
        super().stop()
        for fetch in self._fetches:
            fetch.cancel()
        self._diagnosis.stop()

    def _run(self) -> None:
        fetches = self._fetches
        for fetch in fetches:
            if fetch.running:
                return
        if len(fetches) == 1:
            fetches[0].start()
        elif self._factory.settings.check_all:
            self._results.clear()
            for fetch in fetches:
                fetch.start()
        else:
            self._factory.random.choice(fetches).start()

    def _done(self, fetch: HTTPCheck, result: Result) -> None:
        request, verdict = fetch.request, result.verdict
        self._history.add(self._engine.now, result, request.url)
        if verdict is not INCONCLUSIVE:
            self._seconds[2 * request.number + (verdict is FAILED)] = result.duration
        if len(self._fetches) > 1 and self._factory.settings.check_all:
            self._results.append((request, result))
            if len(self._results) == len(self._fetches):
                self._decide()
        elif verdict is PASSED:
            self._up()
        elif verdict is FAILED:
            place = f" at {request.url}" if len(self._fetches) > 1 else ""
            self._down(result.text + place, f"{result.phase} {result.cause}", request)
        else:
            self._retry()

    def _decide(self) -> None:
        failures = [(request, result) for request, result in self._results if result.verdict is FAILED]
        if len(failures) > self._factory.settings.max_failures:
            texts = "; ".join(f"{result.text} at {request.url}" for request, result in failures)
            causes = " ".join(f"{request.number} {result.phase} {result.cause}" for request, result in failures)
            self._down(f"{len(failures)} of {len(self._results)} URLs failed: {texts}", causes, failures[0][0])
        elif any(result.verdict is INCONCLUSIVE for _, result in self._results):
            self._retry()
        else:
            self._up()

    def _up(self) -> None:
        self._retried = False
        self._diagnosis.succeeded = True
        self._passed(self._engine.now)

    def _down(self, reason: str, cause: str, failed: CheckRequest) -> None:
        self._retried = False
        self._diagnosis.failed(self._follow_ups(failed))
        self._failed(reason, cause, self._engine.now)

    def _follow_ups(self, failed: CheckRequest) -> FollowUps:
        factory, done = self._factory, self._diagnosis.done
        timeout = factory.settings.timeout
        yield from tcp_only(factory.engine, self._target, timeout, done)
        others = (
            []
            if factory.settings.check_all
            else [one for one in factory.requests if one.url != failed.url][:OTHER_URLS]
        )
        for request in others:
            yield request.url, HTTPCheck(factory.engine, self._target, timeout, done, request)
        http11 = _http11(failed)
        if http11 is not None:
            yield f"HTTP/1.1 {http11.url}", HTTPCheck(factory.engine, self._target, timeout, done, http11)


def _http11(request: CheckRequest) -> CheckRequest | None:
    """Return the request as HTTP/1.1, ``None`` if it is one already."""
    data = request.data.replace(b" HTTP/1.0\r\n", b" HTTP/1.1\r\nConnection: close\r\n", 1)
    return None if data == request.data else replace(request, data=data)
