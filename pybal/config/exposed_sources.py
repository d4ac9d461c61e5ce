"""The exposures of a pool source: credentials that others on the network can read."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from pybal.config.options import Options
from pybal.config.source_settings import SourceSettings
from pybal.config.url_options import has_credentials

_PORT = re.compile(r":[0-9]+\Z")


def expose_source(source: SourceSettings, service: Options, section: Options | None) -> None:
    """Add the exposures of a source; ``section`` configures the access to its server."""
    access = source.access
    plain = source.scheme == "http" or (source.scheme == "etcd" and not access.tls)
    if place := _credentials(source, service, section):
        options, option = place
        if plain and not _is_local(source):
            mend = "use https" if source.scheme == "http" else "remove tls = no"
            options.expose(option, "secret", "sent without TLS", "any host in the path can read it", mend)
        elif not plain and not access.verify:
            why = "any host in the path can take the place of the server and receive it"
            options.expose(option, "secret", "sent to an unverified server", why, "remove verify = no, and set ca")
    if section and access.discovery and not plain and access.verify and not (access.ca or access.server_name):
        why = "a forged DNS response chooses the name that the certificate must have"
        subject, found, mend = (
            "host names of the servers",
            "taken from DNS",
            "set server-name, or ca to a CA for etcd only",
        )
        section.expose("discovery-srv", subject, found, why, mend)


def _credentials(source: SourceSettings, service: Options, section: Options | None) -> tuple[Options, str] | None:
    """Return the place of the credentials in use."""
    access = source.access
    option = "token-file" if access.token_file else "password-file" if access.user else ""
    if option and section:
        return section, option
    return (service, "config") if has_credentials(source.url) else None


def _is_local(source: SourceSettings) -> bool:
    """Return whether all servers of a source are loopback addresses of this host."""
    access = source.access
    if access.discovery:
        return False
    hosts = access.endpoints or urlsplit(source.url).netloc.rpartition("@")[2].split(",")
    return all(map(is_loopback, hosts))


def is_loopback(host: str) -> bool:
    """Return whether a host, with an optional port, is ``localhost`` or a loopback address."""
    name = host if host.count(":") > 1 and not host.startswith("[") else _PORT.sub("", host)
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name.lower() == "localhost"
