"""Whom pool sources believe over TLS, and who we are to them: the system's authorities or a file, and our certificate."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from pathlib import Path

from OpenSSL import crypto
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    KeyPair,
    PrivateCertificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from pybal.config.settings import AccessSettings
from pybal.http.errors import Fault, ProtocolError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)
_CERTIFICATES = "a file of certificates in PEM form"
_KEY = "the key of the certificate in PEM form, without a password"


class Unusable(ProtocolError):  # noqa: N818  # what is wrong is a file, and says so by this name
    """What is wrong with a file of ours: of which ``option``, what was ``found`` and what was ``wanted``."""

    def __init__(self, option: str, found: str, wanted: str) -> None:
        super().__init__(f"{option}: {found}, wanted {wanted}", Fault.UNREACHABLE)
        self.option = option
        self.found = found
        self.wanted = wanted


@implementer(IPolicyForHTTPS)
class Trust:
    """The policy of an Agent: the server's certificate is verified, chain and name; ours is shown to who asks for it.

    The files of ``access`` are read before the first connection, and again when they have changed: certificates are
    renewed. To ask for a connection raises :class:`Unusable` where they are no good.
    """

    def __init__(self, access: AccessSettings) -> None:
        self._access = access
        self._seen: tuple[object, ...] = ()
        self._made: dict[str, IOpenSSLClientConnectionCreator] = {}

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:  # noqa: ARG002, N802  # Twisted's
        """Return what makes connections to a host, by name or address. Raises :class:`Unusable`."""
        access = self._access
        seen = tuple(_identity(name) for name in (access.ca, access.certificate, access.key) if name)
        if seen != self._seen:
            self._made.clear()
            self._seen = seen
        host = hostname.decode("ascii").strip("[]")
        if host not in self._made:
            self._made[host] = _creator(host, access)
        return self._made[host]


def context(access: AccessSettings) -> ssl.SSLContext:
    """Return what makes the connections of a library that uses Python's own TLS. Raises :class:`ProtocolError`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if access.ca:
            made.load_verify_locations(cafile=access.ca)
        else:
            made.load_default_certs()
        if access.certificate:
            # With a password that is wrong: without any, OpenSSL would ask the terminal for it.
            made.load_cert_chain(access.certificate, access.key, "")
    except OSError as error:
        raise refusal(access) or ProtocolError(f"TLS: {error}", Fault.UNREACHABLE) from None
    return made


def refusal(access: AccessSettings) -> Unusable | None:
    """Return what is wrong with the files that ``access`` names, ``None`` if they can be used."""
    try:
        _creator("host.invalid", access)
    except Unusable as unusable:
        return unusable
    return None


def _creator(host: str, access: AccessSettings) -> IOpenSSLClientConnectionCreator:
    trust = trustRootFromCertificates(_certificates("ca", access.ca)) if access.ca else platformTrust()
    if not access.certificate:
        return optionsForClientTLS(host, trust)
    own, *chain = _certificates("certificate", access.certificate)
    try:
        ours = PrivateCertificate.fromCertificateAndKeyPair(own, _key(access.key))
    except VerifyError:
        raise Unusable("key", access.key, f"that of {access.certificate}") from None
    more = {"extraCertChain": [link.original for link in chain]}
    return optionsForClientTLS(host, trust, ours, extraCertificateOptions=more)


def _certificates(option: str, name: str) -> Sequence[Certificate]:
    blocks = _CERTIFICATE.findall(_content(option, name, _CERTIFICATES))
    try:
        found = [Certificate.loadPEM(block) for block in blocks]
    except (crypto.Error, ValueError):
        found = []
    if not found:
        raise Unusable(option, f"no certificate in {name}", _CERTIFICATES)
    return found


def _key(name: str) -> KeyPair:
    data = _content("key", name, _KEY)
    try:
        # With a password that is wrong: without any, OpenSSL would ask the terminal for it.
        return KeyPair(crypto.load_privatekey(crypto.FILETYPE_PEM, data, b""))
    except (crypto.Error, TypeError, ValueError):
        raise Unusable("key", f"no usable key in {name}", _KEY) from None


def _content(option: str, name: str, wanted: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise Unusable(option, f"{name} ({error.strerror})", wanted) from None


def _identity(name: str) -> tuple[int, ...] | None:
    try:
        stat = Path(name).stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
