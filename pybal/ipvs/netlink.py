"""The kernel's IPVS table, through generic netlink."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from pybal.ipvs.backend import BackendError
from pybal.ipvs.codec import (
    READ_DESTINATIONS,
    READ_SERVICE,
    decode_destination,
    decode_service,
    encode,
    encode_key,
)
from pybal.ipvs.genl import Family
from pybal.ipvs.model import Entry, Failure, Op, Service, ServiceKey, Table, refusal


class NetlinkBackend:
    """The table of the network namespace that the process is in when the socket is opened: at the first call.

    The socket is given up after every error and opened again by the next call. ``timeout``, in seconds, bounds one
    exchange with the kernel.
    """

    def __init__(self, *, timeout: float = 5.0) -> None:
        self._timeout = timeout
        self._family: Family | None = None

    def read(self, key: ServiceKey) -> Entry | None:
        with self._conversation() as family:
            try:
                (answer,) = family.ask(READ_SERVICE, encode_key(key))
            except OSError as error:
                if error.errno == errno.ESRCH:
                    return None
                raise
            return _entry(family, decode_service(answer))

    def table(self) -> Table:
        with self._conversation() as family:
            services = [decode_service(answer) for answer in family.ask(READ_SERVICE, dump=True)]
            return MappingProxyType({service.key: _entry(family, service) for service in services})

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        refused = [Failure(op, errno.EINVAL, reason) for op in ops if (reason := refusal(op))]
        sound = [op for op in ops if not refusal(op)]
        with self._conversation() as family:
            failed = [
                Failure(sound[index], code, reason)
                for index, code, reason in family.tell([(op.command, encode(op)) for op in sound])
            ]
            if any(failure.errno == errno.EPERM for failure in failed):
                raise OSError(errno.EPERM, failed[0].reason)
        return (*refused, *failed)

    def close(self) -> None:
        if self._family:
            self._family.close()
            self._family = None

    @contextmanager
    def _conversation(self) -> Iterator[Family]:
        try:
            if self._family is None:
                self._family = Family("IPVS", timeout=self._timeout)
            yield self._family
        except OSError as error:
            missing = self._family is None and error.errno == errno.ENOENT
            self.close()
            raise BackendError(_words(error, self._timeout, missing=missing)) from error
        except (KeyError, ValueError, struct.error) as error:
            self.close()
            raise BackendError(f"IPVS gave an answer that makes no sense: {error!r}") from error


def _entry(family: Family, service: Service) -> Entry:
    answers = family.ask(READ_DESTINATIONS, encode_key(service.key), dump=True)
    destinations = [decode_destination(answer, service.key) for answer in answers]
    return Entry(service, MappingProxyType({destination.endpoint: destination for destination in destinations}))


def _words(error: OSError, timeout: float, *, missing: bool) -> str:
    if missing:
        return "the kernel has no IPVS: modprobe ip_vs"
    match error.errno:
        case errno.EPERM:
            return "IPVS may not be read or written: CAP_NET_ADMIN is missing"
        case errno.EAGAIN:
            return f"no answer from IPVS within {timeout:g} s"
    return f"IPVS cannot be reached: {error.strerror}"
