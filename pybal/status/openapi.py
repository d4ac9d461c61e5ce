"""The OpenAPI 3.1 description of the HTTP endpoints, derived from the types of their documents. Pure."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from pybal.status import documents as types
from pybal.status.compat115 import Tally

Schema = dict[str, Any]

_VERSION = "1"
_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
_MERGED = {types.Pool: Tally}
"""Types whose documents also have the fields of a dataclass."""
_PARAMETER = re.compile(r"\{(\w+)\}")
_PARAMETERS = {
    "service": "Name of the service: its section in pybal.conf",
    "host": "Host of the server, as in its pool source",
}
_SWITCHES = {
    "services": "1 leaves the series of servers out",
    "ipvs": "1 adds the traffic to each destination in IPVS",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path, its summary, and the type of its JSON document, ``None`` for text only."""

    path: str
    summary: str
    document: Any
    text: bool = True


ENDPOINTS = (
    Endpoint("/alerts", "State of all pools, as in PyBal 1.15", types.Status115),
    Endpoint("/pools", "Names of the services, as in PyBal 1.15", list[str]),
    Endpoint("/pools/{service}", "Servers of a pool, as in PyBal 1.15", dict[str, types.Server115]),
    Endpoint("/pools/{service}/{host}", "One server with its place in IPVS, as in PyBal 1.15", types.Server115),
    Endpoint("/metrics", "Metrics in the text format of Prometheus", None),
    Endpoint("/v1/alerts", "All alerts", list[types.Alert]),
    Endpoint("/v1/alerts/groups", "The alerts, more than five of a kind as one", list[types.Alert]),
    Endpoint("/v1/pools", "The arithmetic of each pool, by service", dict[str, types.Pool]),
    Endpoint("/v1/pools/{service}", "A pool and its servers", types.PoolWithServers),
    Endpoint("/v1/pools/{service}/history", "The last decisions of a pool", types.PoolHistory),
    Endpoint("/v1/pools/{service}/explain", "The explanation of a pool", types.PoolExplanation),
    Endpoint("/v1/pools/{service}/{host}", "A server and its pool", types.ServerWithPool),
    Endpoint(
        "/v1/pools/{service}/{host}/history", "Decisions, transitions and results of a server", types.ServerHistory
    ),
    Endpoint("/v1/pools/{service}/{host}/explain", "The explanation of a server", types.ServerExplanation),
    Endpoint("/v1/status", "The summary that `pybal status` shows", types.Status),
    Endpoint("/v1/sources", "The pool sources, by service", dict[str, types.Source]),
    Endpoint("/v1/config", "The loaded configuration and the last reload", types.Config),
    Endpoint("/v1/bgp", "Announcements and sessions", types.BGP),
    Endpoint("/v1/loop", "The longest callbacks of the event loop", types.Loop),
    Endpoint("/v1/ipvs", "The IPVS table", list[types.TableService | types.MarkedService]),
    Endpoint("/v1/ipvs/services", "Wanted and actual state of each service in IPVS", types.IPVSServices),
    Endpoint("/v1/openapi.json", "This description", dict[str, Any], text=False),
)


@cache
def body() -> bytes:
    """Return the description as JSON."""
    return json.dumps(description(), indent=1).encode()


def description() -> Schema:
    """Return the description."""
    return _Description().build()


class _Description:
    """Derives schemas from types; those of documents are components."""

    def __init__(self) -> None:
        self._components: dict[str, Schema] = {}

    def build(self) -> Schema:
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "PyBal",
                "version": _VERSION,
                "description": "State of the daemon, read-only. Paths outside /v1 are as in PyBal 1.15.",
                "license": {"name": "GPL-2.0-or-later", "identifier": "GPL-2.0-or-later"},
            },
            "paths": {each.path: {"get": self._operation(each)} for each in ENDPOINTS},
            "components": {"schemas": self._components},
        }

    def _operation(self, each: Endpoint) -> Schema:
        names = _PARAMETER.findall(each.path)
        responses = {"200": {"description": each.summary, "content": self._content(each.document, text=each.text)}}
        if names:
            responses["404"] = {
                "description": "No such service or host",
                "content": self._content(types.Error, text=True),
            }
        operation: Schema = {
            "summary": each.summary,
            "operationId": "_".join(re.findall(r"\w+", each.path)),
            "responses": responses,
        }
        parameters = [_parameter(name, "path", _PARAMETERS[name]) for name in names]
        if each.path == "/metrics":
            parameters = [_parameter(name, "query", explanation) for name, explanation in _SWITCHES.items()]
        return {**operation, "parameters": parameters} if parameters else operation

    def _content(self, document: Any, *, text: bool) -> Schema:  # noqa: ANN401  any type
        plain = {"text/plain": {"schema": {"type": "string"}}} if text else {}
        return plain if document is None else {**plain, "application/json": {"schema": self._schema(document)}}

    def _schema(self, kind: Any) -> Schema:  # noqa: ANN401  any type
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return {**self._schema(arguments[0]), "description": arguments[1]}
        if origin in (Union, UnionType):
            return self._union([self._schema(each) for each in arguments])
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin is list:
            return {"type": "array", "items": self._schema(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._schema(arguments[1])}
        if is_typeddict(kind):
            return self._reference(kind)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return {"enum": [each.value for each in kind]}
        return {} if kind is Any else {"type": _SIMPLE[kind]}

    def _union(self, schemas: list[Schema]) -> Schema:
        """Return ``{"type": ["string", "null"]}`` for simple types, else ``anyOf``."""
        if all(each.keys() == {"type"} for each in schemas):
            return {"type": [each["type"] for each in schemas]}
        return {"anyOf": schemas}

    def _reference(self, document: Any) -> Schema:  # noqa: ANN401  a TypedDict
        name = document.__name__
        if name not in self._components:
            self._components[name] = {}
            hints: dict[str, Any] = get_type_hints(document, include_extras=True)
            for base, merged in _MERGED.items():
                if hints.keys() >= get_type_hints(base).keys():
                    hints |= {each.name: get_type_hints(merged)[each.name] for each in fields(merged)}
            self._components[name] = {
                "type": "object",
                "description": (inspect.getdoc(document) or "").replace("``", "`"),
                "properties": {field: self._schema(kind) for field, kind in hints.items()},
                "required": list(hints),
                "additionalProperties": False,
            }
        return {"$ref": f"#/components/schemas/{name}"}


def _parameter(name: str, place: str, explanation: str) -> Schema:
    return {
        "name": name,
        "in": place,
        "description": explanation,
        "required": place == "path",
        "schema": {"type": "string"},
    }
