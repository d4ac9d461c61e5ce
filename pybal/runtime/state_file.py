"""The version of a state file: after a downgrade, files of the later version are set aside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class OtherVersionError(ValueError):
    """The file has another version; the text says where it is kept."""


def versioned(path: Path, document: object, version: int, *, set_aside: bool = True) -> Mapping[str, Any]:
    """Return the JSON document of a file if it has this ``version``.

    The file of another version is renamed to ``NAME.version-N``, so that no write replaces it, unless ``set_aside`` is false.
    Raises OtherVersionError, ValueError if the document has no version, and OSError if the file cannot be renamed.
    """
    if not isinstance(document, dict) or type(document.get("version")) is not int:
        raise ValueError(f"not a file of version {version}")
    found = document["version"]
    if found == version:
        return document
    reason = f"format version {found} instead of {version} (written by another PyBal)"
    if set_aside:
        kept = path.with_name(f"{path.name}.version-{found}")
        path.replace(kept)
        reason += f"; kept as {kept}"
    raise OtherVersionError(reason)
