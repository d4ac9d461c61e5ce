"""The files that configure name resolution: hosts(5) and resolv.conf(5)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from pybal.runtime.file_values import FileValues

T = TypeVar("T")


class SystemFile(Generic[T]):
    """The parsed content of a file, that of an empty file while it cannot be read."""

    def __init__(self, files: FileValues, path: str, parse: Callable[[bytes], T]) -> None:
        def build() -> T:
            try:
                return parse(Path(path).read_bytes())
            except OSError:
                return parse(b"")

        self._empty = parse(b"")
        self._value = files.value(("system", path), [path], build, "resolving names with its last content")

    async def content(self) -> T:
        """Return the present content, or the last one if the file system does not respond."""
        try:
            return await self._value.fresh()
        except TimeoutError:
            return self._value.last if self._value.is_known else self._empty
