"""Credentials for the servers of pool sources: from a server's section, else from the URL."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import partial
from urllib.parse import unquote, urlsplit

from pybal.config.settings import AccessSettings
from pybal.http.trust import UnusableFile
from pybal.runtime import regular_file
from pybal.runtime.file_values import FileValues

_WORD = re.compile(r"[!-~]+")
_LARGEST = 65536


class Authorization:
    """The Authorization header for the server of a source."""

    def __init__(self, url: str, access: AccessSettings, files: FileValues) -> None:
        parts = urlsplit(url)
        self._user = access.user
        self._token = SecretFile("token-file", access.token_file, files) if access.token_file else None
        self._password = SecretFile("password-file", access.password_file, files) if access.user else None
        self._of_url = (
            _basic(unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else ""
        )

    async def fields(self) -> dict[str, str]:
        """Return the header field, none without credentials. Raises :class:`UnusableFile`."""
        value = self._of_url
        if self._token:
            value = f"Bearer {await self._token.read()}"
        elif self._password:
            value = _basic(self._user, await self._password.read())
        return {"Authorization": value} if value else {}


class SecretFile:
    """The first line of a file, read in a thread, and again when it changes: secrets are rotated."""

    def __init__(self, option: str, name: str, files: FileValues) -> None:
        self._option = option
        self._name = name
        self._value = files.value(("secret", option, name), [name], partial(secret, option, name))

    async def read(self) -> str:
        """Return the secret. Raises :class:`UnusableFile`, also if the file system does not respond."""
        try:
            return await self._value.fresh()
        except TimeoutError as silence:
            raise UnusableFile(self._option, str(silence), "a file that can be read") from None


def refusal(access: AccessSettings) -> UnusableFile | None:
    """Return the error of the first unusable secret file of ``access``, or ``None``."""
    try:
        for option, name in (("password-file", access.password_file), ("token-file", access.token_file)):
            if name:
                secret(option, name)
    except UnusableFile as unusable:
        return unusable
    return None


def secret(option: str, name: str) -> str:
    """Return the first line of a secret file. Raises :class:`UnusableFile`, without the secret."""
    try:
        line = regular_file.first_line(name, _LARGEST).decode()
    except OSError as error:
        raise UnusableFile(option, f"{name} ({error.strerror})", "a file that can be read") from None
    except UnicodeDecodeError:
        raise UnusableFile(option, f"{name} (not UTF-8)", "a UTF-8 text file") from None
    if not line.isprintable() or not line:
        raise UnusableFile(option, f"no secret in the first line of {name}", "printable characters")
    if option == "token-file" and not _WORD.fullmatch(line):
        raise UnusableFile(option, f"no token in the first line of {name}", "one ASCII word")
    return line


def _basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
