"""The settings of pool sources and of their servers, and the declarations of their options."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pybal.config.convert import (
    boolean,
    each,
    integer,
    member,
    optional_hostname,
    optional_text,
    seconds,
    share,
    unsigned,
)
from pybal.config.option import option, required
from pybal.config.options import Options
from pybal.config.url_options import endpoint, has_credentials, source_url


class Cordon(StrEnum):
    """The reaction to a cordoned node."""

    DRAIN = "drain"
    REMOVE = "remove"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Access to the server of a pool source: the sections [etcd NAME], [http NAME] and [k8s NAME].

    Empty texts mean not set. The first line of a file with a secret is read whenever it is needed.
    """

    endpoints: tuple[str, ...] = option(
        (), each(endpoint), variants=("etcd",), help="servers to try in turn, as host:port, instead of NAME"
    )
    discovery: str = option(
        "",
        optional_hostname,
        name="discovery-srv",
        variants=("etcd",),
        help="domain whose SRV records name the servers, instead of NAME",
    )
    tls: bool = option(True, boolean, variants=("etcd",), help="use TLS; no means plain HTTP")
    verify: bool = option(
        True,
        boolean,
        variants=("etcd",),
        help="verify the certificate of the server; no accepts any certificate, as PyBal 1.15 did, and causes a warning and an alert",
    )
    server_name: str = option(
        "",
        optional_hostname,
        name="server-name",
        default_text="the host",
        help="name to verify in the certificate of the server, and to request with SNI",
    )
    ca: str = option(
        "", optional_text, default_text="the CAs of the system", help="file with the trusted CAs, in PEM format"
    )
    certificate: str = option("", optional_text, help="file with the client certificate, in PEM format")
    key: str = option(
        "",
        optional_text,
        secret_file=True,
        help="file with the private key of the client certificate, in PEM format",
    )
    user: str = option("", optional_text, variants=("etcd", "http"), help="user to authenticate as, with password-file")
    password_file: str = option(
        "",
        optional_text,
        variants=("etcd", "http"),
        secret_file=True,
        help="file whose first line is the password of user",
    )
    token_file: str = option(
        "",
        optional_text,
        variants=("http", "k8s"),
        secret_file=True,
        help="file whose first line is a bearer token, read for each request",
    )

    def validate(self, options: Options, prefix: str) -> None:
        del prefix
        if not self.verify:
            options.warn("verify", "no", "yes: anyone in the path to the server can change the list of servers")
        if self.endpoints and self.discovery:
            options.refuse("discovery-srv", self.discovery, "no value, because endpoints is set")
        if bool(self.certificate) != bool(self.key):
            missing = "key" if self.certificate else "certificate"
            options.refuse(missing, "nothing", "a file in PEM format; certificate and key are set together")
        if bool(self.user) != bool(self.password_file):
            missing = "password-file" if self.user else "user"
            options.refuse(missing, "nothing", "user and password-file together")
        if self.user and self.token_file:
            options.refuse("token-file", self.token_file, "user or token-file, not both")


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """The pool source of a service, and the sanity checks on its lists.

    ``url`` may hold credentials, so it is not part of the representation. ``port`` is the port of the service, 0 if unknown.
    For a k8s source, ``threshold`` is the service's depool-threshold, and ``monitored`` whether it has monitors.
    """

    url: str = required("", source_url, name="config", is_secret=has_credentials, help="URL of the list of servers")
    access: AccessSettings = AccessSettings()
    allow_empty: bool = option(
        False, boolean, help="accept a list without servers; otherwise it is refused and the last good list is kept"
    )
    max_step: float = option(
        0.5,
        share,
        name="max-depool-step",
        help="share of the pooled servers, from 0 to 1, that may vanish from the list within max-depool-window, from 4 servers"
        " on; a list that lacks more, or all of them in one step, is refused: it counts for known servers only, until `pybal accept`."
        " Not for servers that the list disables or declares inactive. 1 disables this check: a list without any of the pooled"
        " servers is then applied",
    )
    window: float = option(
        60.0,
        seconds,
        name="max-depool-window",
        help="time for which vanished servers count for max-depool-step, in seconds",
    )
    admin_floor: int = option(
        0,
        unsigned,
        help="minimum number of enabled servers; if a list enables fewer, some that the last list enabled stay enabled",
    )
    max_pool_size: int = option(
        10_000,
        integer(1, 1_000_000),
        help="maximum number of servers in a list; a longer list is refused and the last good list is kept. Memory and the time"
        " to apply a list grow with it",
    )
    max_age: float = option(
        300.0,
        seconds,
        name="source-max-age",
        help="raise an alert if the last good list is older than this, in seconds; must be more than source-interval",
    )
    interval: float = option(
        1.0, seconds, name="source-interval", help="time between polls of an http or https source, in seconds"
    )
    cordon: Cordon = option(
        Cordon.DRAIN,
        member(Cordon),
        name="k8s-cordon",
        help="reaction to cordoned (unschedulable) nodes of a k8s source: drain sets weight 0 as long as the share"
        " depool-threshold of the nodes keeps a weight; remove removes them from the pool; ignore changes nothing",
    )
    port: int = 0
    threshold: float = 0.5
    monitored: bool = True

    @property
    def scheme(self) -> str:
        """The scheme of the URL, in lower case."""
        return self.url.partition(":")[0].lower()

    def validate(self, options: Options, prefix: str) -> None:
        del prefix
        if self.max_age <= self.interval:
            options.refuse("source-max-age", f"{self.max_age:g}", f"more than source-interval, {self.interval:g}")
