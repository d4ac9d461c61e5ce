"""The kernel's IPVS table, through generic netlink."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from pybal.ipvs.backend import BackendError, reason
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


class NetlinkBackend:
    """The table of the network namespace that the process is in when the conversation begins: at the first call.

    It is given up after every error, and the next call begins another one, on what ``connect`` returns.
    """

    def __init__(self, connect: Callable[[], Datagrams] = connect) -> None:
        self._connect = connect
        self._family: GenericNetlink | None = None

    def read(self, key: ServiceKey) -> TableEntry | None:
        with self._conversation() as family:
            try:
                (answer,) = family.ask(READ_SERVICE, encode_key(key))
            except OSError as error:
                if error.errno == errno.ESRCH:
                    return None
                raise
            return _entry(family, decode_service(answer))

    def services(self) -> tuple[VirtualService, ...]:
        with self._conversation() as family:
            return _services(family)

    def table(self) -> Table:
        with self._conversation() as family:
            return MappingProxyType({service.key: _entry(family, service) for service in _services(family)})

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        refused = [Failure(op, errno.EINVAL, text) for op in ops if (text := refusal(op))]
        sound = [op for op in ops if not refusal(op)]
        with self._conversation() as family:
            failed = [
                Failure(sound[index], code, text or reason(sound[index], code))
                for index, code, text in family.tell([(op.command, encode(op)) for op in sound])
            ]
            if any(failure.errno == errno.EPERM for failure in failed):
                raise OSError(errno.EPERM, failed[0].reason)
        return (*refused, *failed)

    def close(self) -> None:
        if self._family:
            self._family.close()
            self._family = None

    @contextmanager
    def _conversation(self) -> Iterator[GenericNetlink]:
        try:
            if self._family is None:
                self._family = GenericNetlink(self._connect(), "IPVS")
            yield self._family
        except OSError as error:
            missing = self._family is None and error.errno == errno.ENOENT
            self.close()
            raise BackendError(_words(error, missing=missing)) from error
        except (KeyError, ValueError, struct.error) as error:
            self.close()
            raise BackendError(f"IPVS gave an answer that makes no sense: {error!r}") from error


def _services(family: GenericNetlink) -> tuple[VirtualService, ...]:
    return tuple(decode_service(answer) for answer in family.ask(READ_SERVICE, dump=True))


def _entry(family: GenericNetlink, service: VirtualService) -> TableEntry:
    answers = family.ask(READ_DESTINATIONS, encode_key(service.key), dump=True)
    destinations = [decode_destination(answer, service.key) for answer in answers]
    return TableEntry(service, MappingProxyType({destination.endpoint: destination for destination in destinations}))


def _words(error: OSError, *, missing: bool) -> str:
    if missing:
        return "the kernel has no IPVS: modprobe ip_vs"
    match error.errno:
        case errno.EPERM:
            return "IPVS may not be read or written: CAP_NET_ADMIN is missing"
        case errno.EAGAIN:
            return f"no answer from IPVS within {TIMEOUT} s"
    return f"IPVS cannot be reached: {error.strerror}"
