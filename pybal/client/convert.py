"""The command ``convert``: reads a keepalived.conf, prints a pybal.conf, and writes the pool files."""

from __future__ import annotations

import argparse
import glob
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pybal.config.keepalived.convert import DIRECTORY, Conversion, convert
from pybal.config.keepalived.syntax import LARGEST, SyntaxLimitError
from pybal.monitors.kinds import KINDS
from pybal.runtime import regular_file

CONVERTED, REMARKS, UNREADABLE = 0, 1, 2
"""The exit codes."""
_MOST_FILES = 1_000


def convert_file(options: argparse.Namespace) -> int:
    """Convert a file; return the exit code."""
    directory = str(Path(options.pools).absolute()) if options.pools else ""
    try:
        text = _text(options.file)
        found = convert(
            options.file, text, _included, KINDS, directory or DIRECTORY, with_pools=not directory and not options.json
        )
        if directory:
            _write(found.pools, Path(directory), force=options.force)
    except (SyntaxLimitError, FileExistsError) as error:
        return _fail(options, str(error))
    except OSError as error:
        return _fail(options, f"{error.filename or options.file}: {error.strerror or error}")
    _print(options, found)
    return REMARKS if found.remarks else CONVERTED


def _print(options: argparse.Namespace, found: Conversion) -> None:
    if options.json:
        document = {
            "configuration": found.text,
            "pools": dict(found.pools),
            "remarks": [
                {"file": each.place.file, "line": each.place.line, "text": each.text} for each in found.remarks
            ],
        }
        print(json.dumps(document, indent=1))
        return
    print(found.text, end="")
    for remark in found.remarks:
        print(remark, file=sys.stderr)


def _fail(options: argparse.Namespace, why: str) -> int:
    if options.json:
        print(json.dumps({"error": why}))
    else:
        print(f"pybal: {why}", file=sys.stderr)
    return UNREADABLE


def _text(path: str) -> str:
    return regular_file.read(path, LARGEST).decode("utf-8", "surrogateescape")


def _included(pattern: str, file: str) -> Sequence[tuple[str, str]]:
    """Return name and text of the files that a pattern in ``file`` names, in order of their names."""
    names = sorted(glob.glob(str(Path(file).parent / pattern)))[:_MOST_FILES]  # noqa: PTH207  # keeps relative names
    return [(name, _text(name)) for name in names if Path(name).is_file()]


def _write(pools: Mapping[str, str], directory: Path, *, force: bool) -> None:
    """Write the pool files. Raises FileExistsError before the first one if one exists."""
    existing = [name for name in pools if (directory / name).exists()]
    if existing and not force:
        raise FileExistsError(f"{directory / existing[0]} exists (set --force to replace it)")
    for name, text in pools.items():
        with (directory / name).open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
