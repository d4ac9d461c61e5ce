"""The OpenAPI description has the paths of the routes table, and no other."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator

from twisted.internet.task import Clock

from pybal.status import openapi, routes
from tests.harness.snapshots import status

PREFIXES = {
    "answer": "",
    "_v1": "/v1",
    "_v1_part": "/v1",
    "_v1_pool": "/v1/pools/{service}",
    "_v1_server": "/v1/pools/{service}/{host}",
}
"""The paths above those of each method of the routes table."""
WITHOUT_PATHS = ("_page", "awaits")
"""Methods that match views of the page, or paths of other methods."""


def matching() -> Iterator[tuple[str, ast.Match]]:
    """Yield each method with its match statement."""
    for function in ast.walk(ast.parse(inspect.getsource(routes))):
        if isinstance(function, ast.FunctionDef):
            yield from ((function.name, node) for node in function.body if isinstance(node, ast.Match))


def templates(pattern: ast.pattern) -> Iterator[str]:
    """Yield the path of a pattern; those with a further or an ignored part are no paths."""
    match pattern:
        case ast.MatchOr(patterns):
            for each in patterns:
                yield from templates(each)
        case ast.MatchSequence(patterns):
            parts = [part(each) for each in patterns]
            if None not in parts:
                yield "".join(f"/{each}" for each in parts)


def part(pattern: ast.pattern) -> str | None:
    match pattern:
        case ast.MatchValue(ast.Constant(str() as text)) if text:
            return text
        case ast.MatchAs(None, str() as name):
            return f"{{{name}}}"
    return None


def test_every_path_of_the_routes_is_described_and_exists() -> None:
    found = dict(matching())
    assert found.keys() - WITHOUT_PATHS == PREFIXES.keys()
    paths = [
        PREFIXES[name] + path
        for name, node in found.items()
        if name not in WITHOUT_PATHS
        for case in node.cases
        for path in templates(case.pattern)
    ]
    assert sorted(openapi.description()["paths"]) == sorted(paths)


def test_description_is_served_as_json_regardless_of_accept() -> None:
    answer = status(Clock()).answer(b"/v1/openapi.json", as_json=False)
    assert (answer.content_type, answer.code) == (b"application/json", 200)
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body) == openapi.description()


def test_every_object_is_closed_and_described() -> None:
    schemas = openapi.description()["components"]["schemas"]
    assert {"Alert", "Pool", "Status"} < schemas.keys()
    for name, schema in schemas.items():
        assert schema["additionalProperties"] is False, name
        assert schema["required"] == list(schema["properties"]), name
        assert schema["description"], name


def test_pool_has_the_fields_of_its_tally() -> None:
    pool = openapi.description()["components"]["schemas"]["Pool"]["properties"]
    assert pool["could_not_depool"] == {"type": "integer"}
    assert pool["threshold"] == {"type": "number"}
