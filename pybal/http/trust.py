"""TLS settings of pool sources: the trusted CAs (system or file) and the client certificate."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from functools import partial
from typing import Any, cast
from weakref import ref

from OpenSSL import SSL, crypto
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    AcceptableCiphers,
    Certificate,
    CertificateOptions,
    KeyPair,
    PrivateCertificate,
    TLSVersion,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

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


HANDSHAKES = 8
"""Largest number of connections with TLS that the pool sources open at the same time."""


class UnusableFile(ProtocolError):  # noqa: N818  # a fact about the file
    """A file that an ``option`` names is unusable: ``found`` instead of ``wanted``."""

    def __init__(self, option: str, found: str, wanted: str) -> None:
        super().__init__(f"{option}: {found}, wanted {wanted}", Fault.UNREACHABLE)
        self.option = option
        self.found = found
        self.wanted = wanted


class Trust:
    """A client's TLS policy: verifies the server's chain and host name, unless ``verify = no``.

    Sends the client certificate if the server requests one. ``files`` reads the files of ``access`` before the first connection,
    and again when they change, because certificates are renewed. All clients with the same files share a context, and ``turns``, in which
    they open connections: with hundreds of handshakes at the same time, none would end before its deadline.
    """

    def __init__(self, access: AccessSettings, files: FileValues) -> None:
        names = access.ca, access.certificate, access.key
        watched = [name for name in (access.ca or _SYSTEM, access.certificate, access.key) if name]
        self._verify = access.verify
        self._server_name = access.server_name
        self.turns = files.shared("handshakes", partial(DeferredSemaphore, HANDSHAKES))
        self._context: FileValue[SSL.Context] = files.value(("source", names), watched, partial(_context, *names))

    async def creator(self, host: str) -> IOpenSSLClientConnectionCreator:
        """Return the connection creator for a host, given by name or address. Raises ProtocolError."""
        try:
            name = (self._server_name or host.strip("[]")).removesuffix(".")  # RFC 6066 §3
            return _Creator(await self._context.fresh(), name, verify=self._verify)
        except TimeoutError as silence:
            raise ProtocolError(f"TLS: {silence}", Fault.NO_RESPONSE) from None


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    """Creates connections to one host with a shared context."""

    def __init__(self, context: SSL.Context, host: str, *, verify: bool) -> None:
        self._context = context
        self._host = host
        self._verify = verify

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803  # Twisted's
        host, protocol = self._host, ref(tlsProtocol)
        is_address = isIPAddress(host) or isIPv6Address(host)
        verify_host = verify_ip_address if is_address else verify_hostname

        def verify(_connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, ok: int) -> bool:
            if depth or not ok:
                return bool(ok)
            try:
                verify_host(cast("SSL.Connection", _Peer(certificate)), host)
            except Exception:  # noqa: BLE001  # whatever it is, the host is not verified
                if tls := protocol():
                    tls.failVerification(Failure())
                return False
            return True

        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        if self._verify:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        else:
            connection.set_verify(SSL.VERIFY_NONE, None)
        if not is_address:
            connection.set_tlsext_host_name(host.encode("ascii"))
        return connection


class _Peer:
    """The part of a connection that service_identity reads; during a handshake it has no certificate."""

    def __init__(self, certificate: crypto.X509) -> None:
        self._certificate = certificate

    def get_peer_certificate(self) -> crypto.X509:
        return self._certificate


def refusal(access: AccessSettings) -> UnusableFile | None:
    """Return the error in the files that ``access`` names, ``None`` if they are usable."""
    try:
        _context(access.ca, access.certificate, access.key)
    except UnusableFile as error:
        return error
    return None


def _context(ca: str, certificate: str, key: str) -> SSL.Context:
    trust = trustRootFromCertificates(_certificates("ca", ca)) if ca else platformTrust()
    ours: dict[str, Any] = {}
    if certificate:
        own, *chain = _certificates("certificate", certificate)
        try:
            pair = PrivateCertificate.fromCertificateAndKeyPair(own, _key(key))
        except VerifyError:
            raise UnusableFile("key", key, f"the private key of {certificate}") from None
        ours = {"certificate": own.original, "privateKey": pair.privateKey.original}
        ours["extraCertChain"] = [link.original for link in chain]
    # Twisted before 23 would accept TLS 1.0.
    return CertificateOptions(
        trustRoot=trust, acceptableCiphers=_CIPHERS, raiseMinimumTo=TLSVersion.TLSv1_2, **ours
    ).getContext()


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
