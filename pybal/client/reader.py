"""Reads the state of the daemon, over the control socket or over HTTP: the same paths below ``/v1/``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import override

from pybal.client.socket import NoReplyError, NotFoundError, send_request
from pybal.control.wire import FAILED, Request

TIMEOUT = 10.0
"""Seconds to wait for each part of a reply."""
_STATUS = "/v1/status"
_LARGEST = 1 << 26
_NOT_FOUND = 404


class Reader(Protocol):
    """A way to the daemon. Its methods raise NoReplyError."""

    def text(self, path: str) -> str:
        """Return the text of a path such as ``/v1/pools``."""

    def document(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """Return the JSON document of a path."""


class SocketReader:
    """Reads over the control socket at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def text(self, path: str) -> str:
        return self._get(path, as_json=False)

    def document(self, path: str) -> Any:  # noqa: ANN401
        return json.loads(self._get(path, as_json=True))

    def _get(self, path: str, *, as_json: bool) -> str:
        reply = send_request(self._path, Request("get", {"path": path, "json": as_json}), timeout=TIMEOUT)
        text = "".join(reply.text)
        if reply.exit == FAILED:
            if text.startswith("unknown command"):
                if path == _STATUS:
                    return self._status(as_json=as_json)
                raise NoReplyError("the daemon is older than this command (restart pybal, or use pybal status)")
            raise NotFoundError(text) if "not found" in text else NoReplyError(text)
        return text

    def _status(self, *, as_json: bool) -> str:
        """Return the status of a daemon that an upgrade of the package has not restarted."""
        reply = send_request(self._path, Request("status"), timeout=TIMEOUT)
        return json.dumps(reply.document) if as_json else "".join(reply.text)


class HTTPReader:
    """Reads over HTTP from ``url``: ``http://127.0.0.1:9090``."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"

    def text(self, path: str) -> str:
        return self._get(path, "text/plain").decode("utf-8", "replace")

    def document(self, path: str) -> Any:  # noqa: ANN401
        try:
            return json.loads(self._get(path, "application/json"))
        except ValueError as error:
            raise NoReplyError(f"{self._url}{path}: not JSON (name the HTTP endpoints of PyBal)") from error

    def _get(self, path: str, accept: str) -> bytes:
        from http.client import HTTPException  # noqa: PLC0415  # takes long, and most commands need none of it
        from urllib.error import HTTPError, URLError  # noqa: PLC0415
        from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener  # noqa: PLC0415

        class NoRedirects(HTTPRedirectHandler):
            @override
            def redirect_request(self, *_: object) -> None:
                """Return no request: the redirect is an error."""

        url = f"{self._url}{path}"
        if not url.startswith(("http://", "https://")):
            raise NoReplyError(f"invalid --url {self._url} (use http://HOST:9090)")
        try:
            # Without redirects and a proxy of the environment: they would hide which balancer replies.
            opener = build_opener(ProxyHandler({}), NoRedirects)
            with opener.open(Request(url, headers={"Accept": accept}), timeout=TIMEOUT) as response:  # noqa: S310
                return bytes(response.read(_LARGEST))
        except HTTPError as error:
            if error.code == _NOT_FOUND:
                raise NotFoundError(f"{url}: not found (name the HTTP endpoints of this version of PyBal)") from None
            raise NoReplyError(f"{url}: HTTP {error.code} (see the log of pybal)") from None
        except (URLError, OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            text = getattr(reason, "strerror", None) or reason
            raise NoReplyError(f"{url}: {text} (start pybal, set instrumentation = yes, or correct --url)") from None
