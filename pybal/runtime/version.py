"""Versions of installed packages, from metadata that an interrupted upgrade may have left incomplete."""

from __future__ import annotations

from importlib import metadata


def installed(package: str) -> str:
    """Return the version of a package, empty if it is not installed or its metadata is incomplete."""
    try:
        # Without a METADATA file, importlib returns None.
        return str(metadata.version(package) or "")
    except Exception:  # noqa: BLE001  # metadata are files of other programs; no version is worth a failure
        return ""
