"""TLS settings of pool sources: the trusted CAs (system or file) and the client certificate."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from functools import partial

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

from pybal.config.settings import AccessSettings
from pybal.http.errors import Fault, ProtocolError
from pybal.runtime import regular_file
from pybal.runtime.file_values import FileValue, FileValues

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)
_CERTIFICATES = "a PEM file with certificates"
_CIPHERS = AcceptableCiphers.fromOpenSSLCipherString("ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:RSA+AES:!aNULL:!MD5:!DSS")
"""The default of Twisted without finite-field Diffie-Hellman; see :func:`pybal.checks.tls.context`."""
_LARGEST = 16 * 1024 * 1024
"""Bytes of a file of certificates at most; the CAs of a distribution take 0.2 MB."""
_SYSTEM = ssl.get_default_verify_paths().cafile or ""
_KEY = "a PEM file with the private key of the certificate, without a password"


class UnusableFile(ProtocolError):  # noqa: N818  # a fact about the file
    """A file that an ``option`` names is unusable: ``found`` instead of ``wanted``."""

    def __init__(self, option: str, found: str, wanted: str) -> None:
        super().__init__(f"{option}: {found}, wanted {wanted}", Fault.UNREACHABLE)
        self.option = option
        self.found = found
        self.wanted = wanted


class Trust:
    """A client's TLS policy: verifies the server's chain and host name.

    Sends the client certificate if the server requests one. ``files`` reads the files of ``access`` before the first connection,
    and again when they change, because certificates are renewed. All clients of a host with the same files share a context:
    the host is part of it, because OpenSSL verifies the name in a callback of the context.
    """

    def __init__(self, access: AccessSettings, files: FileValues) -> None:
        self._access = access.ca, access.certificate, access.key
        self._files = files
        self._creators: dict[str, FileValue[IOpenSSLClientConnectionCreator]] = {}

    async def creator(self, host: str) -> IOpenSSLClientConnectionCreator:
        """Return the connection creator for a host, given by name or address. Raises ProtocolError."""
        host = host.strip("[]")
        value = self._creators.get(host)
        if value is None:
            ca, certificate, key = self._access
            names = [name for name in (ca or _SYSTEM, certificate, key) if name]
            build = partial(_creator, host, ca, certificate, key)
            value = self._creators[host] = self._files.value(("source", host, self._access), names, build)
        try:
            return await value.fresh()
        except TimeoutError as silence:
            raise ProtocolError(f"TLS: {silence}", Fault.NO_RESPONSE) from None


def refusal(access: AccessSettings) -> UnusableFile | None:
    """Return the error in the files that ``access`` names, ``None`` if they are usable."""
    try:
        _creator("host.invalid", access.ca, access.certificate, access.key)
    except UnusableFile as error:
        return error
    return None


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
        return regular_file.read(name, _LARGEST)
    except OSError as error:
        raise UnusableFile(option, f"{name} ({error.strerror})", wanted) from None
