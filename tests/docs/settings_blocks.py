"""Blocks with a configuration or a pool file, checked as the daemon would check them."""

from __future__ import annotations

import argparse
import configparser
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from pybal.config.errors import ConfigError
from pybal.daemon.check import check_config
from pybal.sources.base import SourceError
from pybal.sources.formats.text import parse
from tests.docs.page import Block

_POOLS = "/etc/pybal/pools/"
_REQUIRED = {
    "protocol": "tcp",
    "ip": "192.0.2.1",
    "port": "80",
    "scheduler": "wrr",
    "config": "file:///etc/pybal/pools/web",
    "monitors": "['IdleConnection']",
}
"""The options that complete a section of a service."""


def is_configuration(block: Block) -> bool:
    """Return whether a block is a pybal.conf, or sections of one."""
    return block.title.endswith("/pybal.conf") or (block.language == "ini" and not block.title)


def is_pool_file(block: Block) -> bool:
    return block.title.partition(":")[2].startswith(_POOLS) or block.title.startswith(_POOLS)


def problems(block: Block, directory: Path) -> Sequence[str]:
    """Return the problems and warnings of a block; files in ``directory`` are written."""
    return tuple(_pool_problems(block) if is_pool_file(block) else _problems(block, directory / "pybal.conf"))


def _problems(block: Block, path: Path) -> Iterator[str]:
    path.write_text(block.content if block.title else _completed(block.content))
    with redirect_stdout(io.StringIO()) as printed:
        check_config(argparse.Namespace(config=str(path), json=True))
    found = json.loads(printed.getvalue())
    # Files that a page names do not exist here.
    yield from (each for each in found["problems"] + found["warnings"] if "No such file or directory" not in each)


def _completed(text: str) -> str:
    """Return sections with the required options of each service, and a service if they have none."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    services = [name for name in parser.sections() if name != "global" and " " not in name]
    if not services:
        return f"{text}\n[web]\n" + "".join(f"{option} = {value}\n" for option, value in _REQUIRED.items())
    for name in services:
        missing = [option for option in _REQUIRED if option not in parser[name]]
        text = text.replace(f"[{name}]\n", f"[{name}]\n" + "".join(f"{each} = {_REQUIRED[each]}\n" for each in missing))
    return text


def _pool_problems(block: Block) -> Iterator[str]:
    name = block.title.rpartition("/")[2]
    try:
        listing = parse(block.content.encode(), name)
    except (SourceError, ConfigError) as error:
        yield str(error)
    else:
        yield from map(str, listing.problems)
