"""The rules about exposure: secrets, endpoints and commands that others can reach. Pure."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from shlex import quote

from pybal.config.sensitive import Exposure, Location, Sensitive
from pybal.config.settings import Settings
from pybal.core.text import first_of, numbered
from pybal.doctor.finding import Finding, Grade
from pybal.doctor.host import Access, FileAccess

MANY = 10
"""Members of ``control-group`` without a finding."""
_NAMED = 3
_KNOWN = "the secret is known to them"
_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def exposures(sensitive: Sensitive, settings: Settings, access: Access) -> Iterator[Exposure]:
    """Yield the exposures of a configuration on this host."""
    yield from sensitive.exposures
    yield from _secret_files(sensitive, access)
    yield from _configuration(sensitive, access)
    yield from _public_endpoints(sensitive, settings, access)
    yield from _group(sensitive, settings, access)


def findings(sensitive: Sensitive, settings: Settings, access: Access) -> tuple[Finding, ...]:
    """Return the same as findings of the doctor, or one that nothing is exposed."""
    found = tuple(
        Finding(f"{each.place}: {each.subject}", Grade.WARN, each.found, "", each.why, each.mend)
        for each in exposures(sensitive, settings, access)
    )
    return found or (Finding("exposure", Grade.OK, f"none; {numbered(len(sensitive.secrets), 'secret')}"),)


def _secret_files(sensitive: Sensitive, access: Access) -> Iterator[Exposure]:
    for secret in sensitive.secrets:
        file = access.files.get(secret.file)
        if file is not None and (found := _with(_READ, file, access)):
            yield Exposure(secret.place, secret.file, f"readable by {found}", _KNOWN, _private(secret.file))


def _configuration(sensitive: Sensitive, access: Access) -> Iterator[Exposure]:
    file = access.files.get(sensitive.file)
    if file is None:
        return
    if found := _with(_WRITE, file, access):
        why = "a reload runs the commands that they write into it"
        yield Exposure(
            Location(sensitive.file), "this file", f"writable by {found}", why, f"chmod go-w {quote(sensitive.file)}"
        )
    own = next((secret for secret in sensitive.secrets if not secret.file), None)
    if own and (found := _with(_READ, file, access)):
        mend = f"use an option that names a file; or {_private(sensitive.file)}"
        yield Exposure(own.place, "secret in this file", f"readable by {found}", _KNOWN, mend)


def _private(file: str) -> str:
    name = quote(file)
    return f"chmod 640 {name}, and if the daemon does not run as root chgrp pybal {name}"


def _with(permission: int, file: FileAccess, access: Access) -> str:
    """Return those with a permission besides owner and daemon, and the mode; empty without any."""
    mode = f"(mode {file.mode & 0o777:03o})"
    if file.reached and file.mode & permission & stat.S_IRWXO:
        return f"every user {mode}"
    if file.reached_by_group and file.mode & permission & stat.S_IRWXG and file.group not in access.groups:
        return f"group {file.group} {mode}"
    return ""


def _public_endpoints(sensitive: Sensitive, settings: Settings, access: Access) -> Iterator[Exposure]:
    if settings.instrumentation is None:
        return
    found = list[str]()
    for address in (*settings.instrumentation.ips, *settings.instrumentation.advertised_ips):
        if address.is_unspecified:
            local = (each for each in access.addresses or () if each.is_global and address.version in (6, each.version))
            found += (f"{each} (by {address})" for each in sorted(map(str, local)))
        elif address.is_global:
            found.append(str(address))
    if found:
        yield Exposure(
            sensitive.instrumentation,
            f"port {settings.instrumentation.port}",
            f"open on public addresses: {first_of(found, _NAMED)}",
            "every host can read the state of services, servers and peers",
            "listen on a private address, or admit only the monitoring hosts in the firewall",
        )


def _group(sensitive: Sensitive, settings: Settings, access: Access) -> Iterator[Exposure]:
    if len(access.members) > MANY:
        yield Exposure(
            sensitive.group,
            f"group {settings.control_group}",
            f"has {numbered(len(access.members), 'member')} ({first_of(sorted(access.members), _NAMED)})",
            "each of them can drain this balancer and depool its servers",
            f"name a group of its operators, of at most {MANY} members",
        )
