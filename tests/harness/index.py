"""The index of this folder, README.md: ``python -m tests.harness.index`` writes it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

HARNESS = Path(__file__).parent
README = HARNESS / "README.md"

_HEAD = """\
# Test harness

Shared fixtures of all suites. `python -m tests.harness.index` renders the tables from the docstrings of the modules.

Choose the simplest that can show the behaviour:

- a **fake on a clock** (`fake_*`, `clock_reactor`, `monitor_on_clock`) for decisions and times: fast and exact;
- a **scripted server** (`scripted_server`, `fake_dns_server`) for faults on real sockets: refusals, silence, garbage;
- a **real server** (`servers/`) for interoperability, and for the formats that it sends;
- **network namespaces** (`bgp/`, `guest/namespace`) for routers, lost links and tables of the kernel; they need root;
- the **guest** (`guest/`) for IPVS, if the kernel of the machine has none.

`RENAMES.tsv` maps old names of modules, classes and test helpers to the present ones.
"""


def modules() -> Iterator[Path]:
    """Yield the modules of the harness, relative to it, by folder and name."""
    found = (path.relative_to(HARNESS) for path in HARNESS.rglob("*.py"))
    yield from sorted(found, key=lambda path: (path.parent.as_posix(), path.name))


def summary(module: Path) -> str:
    """Return the first line of the docstring of a module."""
    docstring = ast.get_docstring(ast.parse((HARNESS / module).read_text(encoding="utf-8")))
    assert docstring, f"{module} has no docstring"
    return docstring.split("\n")[0].replace("``", "`").replace("|", "\\|")


def rendered() -> str:
    """Return README.md."""
    lines = [_HEAD]
    for folder, members in groupby(modules(), key=lambda path: path.parent.as_posix()):
        title = "tests/harness" if folder == "." else f"tests/harness/{folder}"
        lines += [f"## {title}\n", "| Module | Provides |", "|---|---|"]
        lines += [f"| [{path.stem}]({path.as_posix()}) | {summary(path)} |" for path in members]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    README.write_text(rendered(), encoding="utf-8")
