"""Credentials for the servers of pool sources: from a server's section, else from the URL."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pybal.config.settings import AccessSettings
from pybal.http.trust import Unusable

_WORD = re.compile(r"[!-~]+")
_LARGEST = 65536


def authorization(url: str, access: AccessSettings) -> Iterator[str]:
    """Yield the value of the Authorization header, if there are credentials.

    Reads the files of ``access`` each time, because secrets are rotated. Raises :class:`Unusable`.
    """
    user, has_user = urlsplit(url).username, "@" in urlsplit(url).netloc
    if access.token_file:
        yield f"Bearer {secret('token-file', access.token_file)}"
    elif access.user:
        yield _basic(access.user, secret("password-file", access.password_file))
    elif has_user:
        yield _basic(unquote(user or ""), unquote(urlsplit(url).password or ""))


def refusal(access: AccessSettings) -> Unusable | None:
    """Return the error of the first unusable secret file of ``access``, or ``None``."""
    try:
        for option, name in (("password-file", access.password_file), ("token-file", access.token_file)):
            if name:
                secret(option, name)
    except Unusable as unusable:
        return unusable
    return None


def secret(option: str, name: str) -> str:
    """Return the first line of a secret file. Raises :class:`Unusable`, without the secret."""
    try:
        with Path(name).open("rb") as file:
            line = file.readline(_LARGEST).decode().rstrip("\r\n")
    except OSError as error:
        raise Unusable(option, f"{name} ({error.strerror})", "a file that can be read") from None
    except UnicodeDecodeError:
        raise Unusable(option, f"{name} (not UTF-8)", "a UTF-8 text file") from None
    if not line.isprintable() or not line:
        raise Unusable(option, f"no secret in the first line of {name}", "printable characters")
    if option == "token-file" and not _WORD.fullmatch(line):
        raise Unusable(option, f"no token in the first line of {name}", "one ASCII word")
    return line


def _basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
