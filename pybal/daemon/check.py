"""The command ``check-config``: the configuration file, its pool files, and probable mistakes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pybal.config import ini
from pybal.config.describe import describe
from pybal.config.errors import ConfigError, Problem
from pybal.config.lint import lint
from pybal.config.settings import Settings
from pybal.daemon.support import absent, absent_group, uninstalled, unsupported
from pybal.doctor.access import gather_access
from pybal.doctor.exposure import exposures
from pybal.monitors.kinds import KINDS
from pybal.reload.file import ConfigurationFile, Loaded
from pybal.runtime import regular_file
from pybal.sources.base import SourceError
from pybal.sources.formats.text import parse

OK, FAILED, REFUSED = 0, 1, 2
"""The exit codes of the daemon."""

LARGEST = 1 << 26
"""Bytes that are read of a pool file."""


def configuration_file(path: str, *, dry_run: bool) -> ConfigurationFile:
    """Return the configuration file, checked against this version and this machine."""
    return ConfigurationFile(
        path,
        KINDS,
        lambda settings: replace(settings, dry_run=settings.dry_run or dry_run),
        unsupported=unsupported,
        uninstalled=uninstalled,
        absent=absent,
    )


def check_config(options: argparse.Namespace) -> int:
    """Print the problems and warnings of the configuration; return the exit code of ``--check-config``."""
    path = options.config
    warnings: list[Problem] = []
    try:
        loaded = configuration_file(path, dry_run=False).read()
        warnings += loaded.warnings
        warnings += loaded.unsupported
        warnings += absent_group(loaded.settings, path)
        warnings += exposed(loaded)
        document = ini.read(Path(path).read_bytes(), path)
        warnings += lint(document, path, KINDS, loaded.settings)
        warnings += pool_files(document, path, loaded.settings)
        warnings.sort(key=lambda warning: warning.line)
    except ConfigError as refused:
        return _print(options, REFUSED, refused.problems, refused.warnings, "")
    except OSError as error:
        problem = Problem(path, 0, "", "", f"cannot be read: {error.strerror} (name another file with -c)", "")
        return _print(options, FAILED, [problem], [], "")
    return _print(options, OK, [], warnings, describe(loaded.settings))


def exposed(loaded: Loaded) -> Iterator[Problem]:
    """Yield the exposures of a configuration on this host. May wait for file systems and the name service."""
    access = gather_access(loaded.sensitive, loaded.settings)
    return (each.problem for each in exposures(loaded.sensitive, loaded.settings, access))


def pool_files(document: ini.Document, path: str, settings: Settings) -> Iterator[Problem]:
    """Yield the problems of the pool files on this host: each is read, and parsed as the daemon would."""
    for service in settings.services:
        if service.source.scheme == "file":
            name = service.service.name
            entries = document.defaults.entries | document.sections[name].entries
            for problem in _pool_problems(service.source.url.removeprefix("file://")):
                yield Problem(path, entries["config"].line, name, "config", problem, "")


def _pool_problems(name: str) -> Iterator[str]:
    try:
        listing = parse(regular_file.begin(name, LARGEST), name)
    except OSError as error:
        hint = ""
        if not name.startswith("/"):
            hint = f". Did you mean: config = file:///{name}"
        elif " #" in name:
            hint = f" (a comment begins with a semicolon). Did you mean: config = file://{name.replace(' #', ' ;', 1)}"
        yield f"{name}: cannot be read: {error.strerror or error}{hint}"
    except SourceError as error:
        yield str(error)
    else:
        yield from (f"{name}: {problem}" for problem in listing.problems)
        if not listing.members:
            yield f"{name}: no servers"


def _print(
    options: argparse.Namespace,
    code: int,
    problems: Iterator[Problem] | list[Problem] | tuple[Problem, ...],
    warnings: list[Problem] | tuple[Problem, ...],
    summary: str,
) -> int:
    if options.json:
        document = {
            "valid": code == OK,
            "problems": [str(problem) for problem in problems],
            "warnings": [str(warning) for warning in warnings],
            "summary": summary.splitlines(),
        }
        print(json.dumps(document, indent=1))
        return code
    for warning in warnings:
        print("warning:", warning, file=sys.stderr)
    for problem in problems:
        print(problem, file=sys.stderr)
    if summary:
        print(summary)
    return code
