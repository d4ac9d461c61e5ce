"""TLS settings of pool sources: the trusted CAs (system or file) and the client certificate."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from OpenSSL import crypto
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    AcceptableCiphers,
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
from pybal.runtime.watched_file import FileIdentity, identity

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)
_CERTIFICATES = "a PEM file with certificates"
_CIPHERS = AcceptableCiphers.fromOpenSSLCipherString("ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:RSA+AES:!aNULL:!MD5:!DSS")
"""The default of Twisted without finite-field Diffie-Hellman; see :func:`pybal.checks.tls.context`."""
_KEY = "a PEM file with the private key of the certificate, without a password"


class UnusableFile(ProtocolError):  # noqa: N818  # a fact about the file
    """A file that an ``option`` names is unusable: ``found`` instead of ``wanted``."""

    def __init__(self, option: str, found: str, wanted: str) -> None:
        super().__init__(f"{option}: {found}, wanted {wanted}", Fault.UNREACHABLE)
        self.option = option
        self.found = found
        self.wanted = wanted


@implementer(IPolicyForHTTPS)
class Trust:
    """A client's TLS policy: verifies the server's chain and host name.

    Sends the client certificate if the server requests one. The files of ``access`` are read before the first connection,
    and again when they change, because certificates are renewed. All clients of a host with the same files share a context.
    """

    def __init__(self, access: AccessSettings) -> None:
        self._files = access.ca, access.certificate, access.key

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:  # noqa: ARG002, N802  # Twisted's
        """Return the connection creator for a host, given by name or address. Raises :class:`UnusableFile`."""
        seen = tuple(identity(name) if name else None for name in self._files)
        return _shared_creator(hostname.decode("ascii").strip("[]"), self._files, seen)


def context(access: AccessSettings) -> ssl.SSLContext:
    """Return a context for Python's own ssl module. Raises :class:`ProtocolError`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if access.ca:
            made.load_verify_locations(cafile=access.ca)
        else:
            made.load_default_certs()
        if access.certificate:
            # A wrong password: without any, OpenSSL would prompt for one on the terminal.
            made.load_cert_chain(access.certificate, access.key, "")
    except OSError as error:
        raise refusal(access) or ProtocolError(f"TLS: {error}", Fault.UNREACHABLE) from None
    return made


def refusal(access: AccessSettings) -> UnusableFile | None:
    """Return the error in the files that ``access`` names, ``None`` if they are usable."""
    try:
        _creator("host.invalid", access.ca, access.certificate, access.key)
    except UnusableFile as error:
        return error
    return None


@lru_cache(maxsize=256)
def _shared_creator(
    host: str,
    files: tuple[str, str, str],
    seen: tuple[FileIdentity | None, ...],  # noqa: ARG001  # part of the key: changed files are read again
) -> IOpenSSLClientConnectionCreator:
    return _creator(host, *files)


def _creator(host: str, ca: str, certificate: str, key: str) -> IOpenSSLClientConnectionCreator:
    trust = trustRootFromCertificates(_certificates("ca", ca)) if ca else platformTrust()
    more: dict[str, object] = {"acceptableCiphers": _CIPHERS}
    if not certificate:
        return optionsForClientTLS(host, trust, extraCertificateOptions=more)
    own, *chain = _certificates("certificate", certificate)
    try:
        ours = PrivateCertificate.fromCertificateAndKeyPair(own, _key(key))
    except VerifyError:
        raise UnusableFile("key", key, f"the private key of {certificate}") from None
    more["extraCertChain"] = [link.original for link in chain]
    return optionsForClientTLS(host, trust, ours, extraCertificateOptions=more)


def _certificates(option: str, name: str) -> Sequence[Certificate]:
    blocks = _CERTIFICATE.findall(_content(option, name, _CERTIFICATES))
    try:
        found = [Certificate.loadPEM(block) for block in blocks]
    except (crypto.Error, ValueError):
        found = []
    if not found:
        raise UnusableFile(option, f"no certificate in {name}", _CERTIFICATES)
    return found


def _key(name: str) -> KeyPair:
    data = _content("key", name, _KEY)
    try:
        # A wrong password: without any, OpenSSL would prompt for one on the terminal.
        return KeyPair(crypto.load_privatekey(crypto.FILETYPE_PEM, data, b""))
    except (crypto.Error, TypeError, ValueError):
        raise UnusableFile("key", f"no usable key in {name}", _KEY) from None


def _content(option: str, name: str, wanted: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UnusableFile(option, f"{name} ({error.strerror})", wanted) from None
