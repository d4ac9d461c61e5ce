"""The tables of docs/alerts.md name every kind of alert and every periodic activity of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from pybal.journal.recorder import DERIVED
from tests.harness.syntax import ROOT, modules, nodes_of

ALERTS = ROOT / "docs/alerts.md"


def calls() -> Iterator[tuple[str, Sequence[ast.expr], ast.Call]]:
    """Yield the name of the function, the positional arguments and the call, for each call in pybal/."""
    for file in modules().values():
        constants: dict[str, str] = {}
        nodes = nodes_of(file)
        for node in nodes:
            match node:
                case ast.Assign(targets=[ast.Name(name)], value=ast.Constant(str(value))):
                    constants[name] = value
        for node in nodes:
            if isinstance(node, ast.Call):
                args = [
                    ast.Constant(constants[arg.id]) if isinstance(arg, ast.Name) and arg.id in constants else arg
                    for arg in node.args
                ]
                yield getattr(node.func, "id", getattr(node.func, "attr", "")), args, node


def kinds() -> Iterator[str]:
    for name, args, call in calls():
        match name, args:
            case "Alert", [_, ast.Constant(str(kind)), *_]:
                yield kind
            case "alert", [ast.Constant(str(kind)), *_]:
                yield kind
        for keyword in call.keywords:
            if keyword.arg == "kind" and isinstance(keyword.value, ast.Constant) and "ttempt" in ast.unparse(call):
                yield str(keyword.value.value)


def activities() -> Iterator[str]:
    for name, args, _ in calls():
        match name, args:
            case (("Activity" | "Throttle"), [ast.Constant(str(activity)), *_]):
                yield activity
            case (("Activity" | "Throttle"), [ast.JoinedStr(parts), *_]):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "SERVICE" for part in parts)


def rows(heading: str) -> set[str]:
    """Return the first cells of the table below a heading."""
    section = ALERTS.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))


def test_every_kind_of_alert_is_documented() -> None:
    assert rows("Kinds") == set(kinds())


def test_journal_leaves_out_kinds_of_alerts_only() -> None:
    assert rows("Kinds") >= DERIVED


def test_every_kind_of_alert_has_a_cause_and_a_remedy() -> None:
    assert rows("Remedies") == rows("Kinds")


def test_every_periodic_activity_is_documented() -> None:
    assert set(activities()) <= rows("Periodic activities")
