"""ProxyFetch: fetch a URL from a server at an interval; the status of the response decides.

The host of the URL is only the name in the request: the connection goes to the server's address and the service's port.
Redirects are not followed. A check that is inconclusive because of a local error is retried once immediately, then at
the next interval.

The first failure after a success is diagnosed by a check that only connects, the other URLs, and HTTP/1.1 instead of 1.0.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from twisted.logger import Logger
from typing_extensions import override

from pybal.checks import tls
from pybal.checks.http_check import CheckRequest, HTTPCheck
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, Result
from pybal.checks.socket_check import Target
from pybal.config import http_options
from pybal.config.convert import address, boolean, choice, each, integer, optional_text, port_or_services, some
from pybal.config.errors import shown
from pybal.config.option import option, required
from pybal.config.options import Options
from pybal.config.pattern import Pattern
from pybal.config.url_options import authority, check_url
from pybal.core.model import Address, Report, Service
from pybal.http import message
from pybal.monitors.base import Samples, Series
from pybal.monitors.diagnosis import Diagnosis, FollowUps, tcp_only
from pybal.monitors.factory import Factory, MonitorRefusal
from pybal.monitors.interval import Interval, IntervalMonitor
from pybal.monitors.kind import Kind
from pybal.monitors.periodic import RESULTS, duration_metric
from pybal.monitors.tls import ca_refusal
from pybal.runtime.file_values import FileValue, FileValues

DURATION = duration_metric("ProxyFetch")

OTHER_URLS = 3
"""Maximum number of other URLs that a diagnosis fetches."""

_REDIRECTS = frozenset((301, 302, 303))
_ACCEPTED = {200: frozenset((200, 201, 202))} | dict.fromkeys(_REDIRECTS, _REDIRECTS)
"""The statuses that PyBal 1.15 accepted for a value of http_status, if more than one."""


@dataclass(frozen=True, slots=True)
class ProxyFetchSettings(Interval):
    """Fetch a URL over HTTP or HTTPS from the server's address and the service's port."""

    urls: tuple[str, ...] = required(
        (),
        some(check_url, "a URL http://host/path or https://host/path"),
        name="url",
        help="URL to fetch, or a list from which each check takes one at random",
    )
    http_status: int = option(
        200,
        integer(100, 599, "an HTTP status"),
        name="http_status",
        help="expected status; 200 also accepts 201 and 202; 301, 302 and 303 each accept all three. Redirects are not followed",
    )
    check_all: bool = option(
        False, boolean, name="check_all", help="fetch every URL in each check, instead of one at random"
    )
    max_failures: int = option(
        0,
        integer(0, 2**31 - 1),
        name="max_failures",
        help="number of URLs that may fail in a check with check_all = yes; if more fail, the server is down",
    )
    method: str = option("GET", http_options.method, help="method of the request, in capitals")
    headers: tuple[tuple[str, str], ...] = option(
        (),
        each(http_options.header),
        is_secret=http_options.hold_credentials,
        help="additional headers of the request: a list of texts 'Name: value'; PyBal sets Host and User-Agent",
    )
    host: str = option("", authority, default_text="the host of the URL", help="value of the header Host")
    http_version: str = option("1.0", choice("1.0", "1.1"), help="HTTP version of the request, 1.0 or 1.1")
    statuses: tuple[tuple[int, int], ...] = option(
        (),
        http_options.statuses,
        help="expected statuses, instead of http_status: statuses and inclusive ranges with commas, such as 200-299, 404",
    )
    body_regex: Pattern | None = option(
        None,
        http_options.pattern,
        help=r"regular expression that must match somewhere in the body, quoted or bare, with . [ ] ( ) | * + ? {n,m} and \d \s \w,"
        " with ^ and $ at the ends of the whole body, and (?i) in front to ignore case. A % is written twice",
    )
    max_body: int = option(
        message.BODY_LIMIT,
        integer(1, message.BODY_LIMIT, "a number of bytes"),
        help="maximum size of the body, in bytes; if it is larger, the check fails",
    )
    verify: bool = option(False, boolean, help="verify the chain and the host name of the certificate; https only")
    ca: str = option(
        "", optional_text, default_text="the CAs of the system", help="file with the trusted CAs, in PEM format"
    )
    sni: str = option(
        "",
        http_options.server_name,
        default_text="the host of the URL",
        help="host name to send (SNI) and to verify; https only",
    )
    port: int = option(0, port_or_services, help="port to connect to; 0 is the port of the service")
    source: Address | None = option(
        None, http_options.source, default_text="chosen by the kernel", help="local address to connect from"
    )

    def validate(self, options: Options, prefix: str) -> None:
        if self.ca and not self.verify:
            options.refuse(f"{prefix}ca", shown(self.ca), f"{prefix}verify = yes as well")
        if self.verify and self.urls and not self._https:
            options.refuse(f"{prefix}verify", "yes", "a URL https://host/path as well")
        self._expose(options, f"{prefix}headers")
        vip = options.get("ip", address, None)
        if self.source and vip and self.source.version != vip.version:
            wanted = f"an IPv{vip.version} address, like ip and the servers"
            options.refuse(f"{prefix}source", shown(str(self.source)), wanted)

    def _expose(self, options: Options, option: str) -> None:
        """Add the exposure of credentials in the headers."""
        if not http_options.hold_credentials(self.headers):
            return
        if any(urlsplit(url).scheme != "https" for url in self.urls):
            why, mend = "any host in the path can read it", "use https in proxyfetch.url, or a page without credentials"
            options.expose(option, "secret", "sent without TLS", why, mend)
        elif not self.verify:
            why = "any host in the path can take the place of a server and receive it"
            options.expose(option, "secret", "sent to unverified servers", why, "set proxyfetch.verify = yes")

    @property
    def _https(self) -> bool:
        return any(urlsplit(url).scheme == "https" for url in self.urls)

    @override
    def port_of(self, service: Service) -> int:
        return self.port or service.port

    @override
    def refusal(self, prefix: str) -> MonitorRefusal | None:
        return ca_refusal(self.ca, prefix) if self.verify else None

    @override
    def tls_context(self, files: FileValues) -> FileValue[ssl.SSLContext] | None:
        return tls.shared(files, verify=self.verify, ca=self.ca, name=self.verify) if self._https else None


class ProxyFetchFactory(Factory[ProxyFetchSettings]):
    """Creates the monitors of one service, which share its requests."""

    @override
    def _prepare(self) -> None:
        wanted, statuses = _wanted(self.settings)
        self.urls = tuple(dict.fromkeys(self.settings.urls))
        labels = tuple((result, ("url", url)) for url in self.urls for (result,) in RESULTS)
        self.series = Series(((DURATION, labels),))
        self.requests = tuple(self._request(url, wanted, statuses) for url in self.settings.urls)

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
            context=self.context if secure else None,
            server_name=(settings.sni or message.host_of(url)) if secure else "",
            bodiless=settings.method == "HEAD",
            max_body=settings.max_body,
            pattern=settings.body_regex,
        )


def _wanted(settings: ProxyFetchSettings) -> tuple[int | str, frozenset[int]]:
    """Return the expected status as failures show it, and the set of accepted statuses."""
    one, ranges = settings.http_status, settings.statuses
    if not ranges:
        return one, _ACCEPTED.get(one, frozenset((one,)))
    text = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
    return text, frozenset(status for low, high in ranges for status in range(low, high + 1))


class ProxyFetch(IntervalMonitor):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_diagnosis", "_factory", "_fetches", "_host", "_logged_cause", "_results", "_seconds", "_target")

    _log = Logger()
    name = "ProxyFetch"

    def __init__(
        self, factory: ProxyFetchFactory, host: str, address: Address, report: Callable[[Report], None]
    ) -> None:
        super().__init__(factory.engine, factory.random, factory.settings, report)
        self._target = target = Target.of(address, factory.port, factory.settings.source)
        timeout = factory.settings.timeout
        self._host = host
        self._factory = factory
        self._fetches = tuple(
            HTTPCheck(factory.engine, target, timeout, self._done, request) for request in factory.requests
        )
        self._diagnosis = Diagnosis(factory.engine, self._history.add)
        self._logged_cause = ""
        self._results: list[tuple[CheckRequest, Result]] = []
        self._seconds: list[float | None] = [None] * (2 * len(factory.urls))

    def samples(self) -> Samples:
        return self._factory.series, tuple(self._seconds)

    @override
    def stop(self) -> None:
        super().stop()
        for fetch in self._fetches:
            fetch.cancel()
        self._diagnosis.stop()

    @override
    def run(self) -> None:
        fetches = self._fetches
        for fetch in fetches:
            if fetch.running:
                return
        if not self._factory.is_ready(self.run_soon):
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
            self._log_failure(request, result)
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
            self.retry()

    def _log_failure(self, request: CheckRequest, result: Result) -> None:
        """Log a failed fetch as PyBal 1.15 did, but a repeated failure once."""
        if result.verdict is PASSED:
            self._logged_cause = ""
        elif result.cause != self._logged_cause:
            self._logged_cause = result.cause
            self._log.warn(
                "Fetch failed ({url}), {seconds:.3f} s: {host}, {reason}",
                url=request.url,
                seconds=result.duration,
                host=self._host,
                reason=result.text,
                system=self._factory.log_system,
            )

    def _decide(self) -> None:
        failures = [(request, result) for request, result in self._results if result.verdict is FAILED]
        if len(failures) > self._factory.settings.max_failures:
            texts = "; ".join(f"{result.text} at {request.url}" for request, result in failures)
            causes = " ".join(f"{request.number} {result.phase} {result.cause}" for request, result in failures)
            self._down(f"{len(failures)} of {len(self._results)} URLs failed: {texts}", causes, failures[0][0])
        elif any(result.verdict is INCONCLUSIVE for _, result in self._results):
            self.retry()
        else:
            self._up()

    def _up(self) -> None:
        self._retried = False
        self._diagnosis.succeeded = True
        self.passed(self._engine.now)

    def _down(self, reason: str, cause: str, failed: CheckRequest) -> None:
        self._retried = False
        self._diagnosis.failed(self._follow_ups(failed))
        self.failed(reason, cause, self._engine.now)

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


KIND = Kind(
    "ProxyFetch",
    ProxyFetchSettings,
    duration="Duration of the last request, by result",
    monitor=ProxyFetch,
    factory=ProxyFetchFactory,
)
