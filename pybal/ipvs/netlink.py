"""The kernel's IPVS table, through generic netlink."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from pybal.core.steps import finish
from pybal.ipvs.backend import BackendError, Reading, reason
from pybal.ipvs.codec import (
    READ_DESTINATIONS,
    READ_SERVICE,
    decode_destination,
    decode_service,
    encode,
    encode_key,
)
from pybal.ipvs.genl import TIMEOUT, Datagrams, GenericNetlink, connect
from pybal.ipvs.model import Failure, Op, ServiceKey, Table, TableEntry, VirtualService, refusal

_STEP = 64  # destinations decoded in one step of a reading, which takes about 2 ms


class NetlinkBackend:
    """The table of the process's network namespace at the first call.

    Each error closes the connection; the next call opens a new one with ``connect``.
    """

    def __init__(self, connect: Callable[[], Datagrams] = connect) -> None:
        self._connect = connect
        self._family: GenericNetlink | None = None

    def read(self, key: ServiceKey) -> TableEntry | None:
        return finish(self._reading(key))

    def reading(self, key: ServiceKey) -> Reading:
        # Its own connection: a dump that takes several turns must not meet the requests of other calls.
        own = NetlinkBackend(self._connect)
        try:
            return (yield from own._reading(key))
        finally:
            own.close()

    def _reading(self, key: ServiceKey) -> Reading:
        with self._connection() as family:
            try:
                reply = family.request(READ_SERVICE, encode_key(key))
            except OSError as error:
                if error.errno == errno.ESRCH:
                    return None
                raise
            return (yield from _entry(family, decode_service(reply)))

    def services(self) -> tuple[VirtualService, ...]:
        with self._connection() as family:
            return _services(family)

    def table(self) -> Table:
        with self._connection() as family:
            return MappingProxyType({service.key: finish(_entry(family, service)) for service in _services(family)})

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        refused = [Failure(op, errno.EINVAL, text) for op in ops if (text := refusal(op))]
        sound = [op for op in ops if not refusal(op)]
        requests = [(place, request) for place, op in enumerate(sound) for request in op.requests]
        failed: dict[int, Failure] = {}  # by the place of the operation, which may have two requests
        with self._connection() as family:
            for index, code, text in family.send([(request.command, encode(request)) for _, request in requests]):
                place, request = requests[index]
                failed.setdefault(place, Failure(sound[place], code, text or reason(request, code)))
            if denied := next((failure for failure in failed.values() if failure.errno == errno.EPERM), None):
                raise OSError(errno.EPERM, denied.reason)
        return (*refused, *failed.values())

    def close(self) -> None:
        if self._family:
            self._family.close()
            self._family = None

    @contextmanager
    def _connection(self) -> Iterator[GenericNetlink]:
        try:
            if self._family is None:
                self._family = GenericNetlink(self._connect(), "IPVS")
            yield self._family
        except OSError as error:
            missing = self._family is None and error.errno == errno.ENOENT
            self.close()
            raise BackendError(_text(error, missing=missing)) from error
        except (KeyError, ValueError, OverflowError, struct.error) as error:
            self.close()
            raise BackendError(f"invalid reply from IPVS: {error!r}") from error


def _services(family: GenericNetlink) -> tuple[VirtualService, ...]:
    return tuple(map(decode_service, family.dump(READ_SERVICE)))


def _entry(family: GenericNetlink, service: VirtualService) -> Generator[None, None, TableEntry]:
    destinations, counted = {}, []
    for number, reply in enumerate(family.dump(READ_DESTINATIONS, encode_key(service.key)), 1):
        destination, traffic = decode_destination(reply, service.key)
        endpoint = destination.endpoint
        destinations[endpoint] = destination
        if traffic:
            counted.append((endpoint, traffic))
        if not number % _STEP:
            yield
    return TableEntry(service, MappingProxyType(destinations), counted)


def _text(error: OSError, *, missing: bool) -> str:
    if missing:
        return "the kernel has no IPVS (run: modprobe ip_vs)"
    match error.errno:
        case errno.EPERM:
            return "no permission to use IPVS (CAP_NET_ADMIN is missing)"
        case errno.EAGAIN:
            return f"no reply from IPVS within {TIMEOUT * 1000:g} ms"
    return f"cannot reach IPVS: {error.strerror}"
