"""Fault injection: every kind of pool source continues after an unexpected exception, and shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from pybal.sources.dns import srv
from pybal.sources.etcd.conftool import Values
from pybal.sources.kinds import SUPPORTED
from pybal.sources.kubernetes.members import NodeMembers
from pybal.sources.list_parser import ListParser
from tests.harness.sources.contract import ONE, OTHER, SourceRecorder

#: For each kind, by the name of its factory: the upstreams of the contract, and the call that makes its list.
SEAMS: Mapping[str, tuple[tuple[str, ...], object, str]] = MappingProxyType(
    {
        "file_source": (("LinesFile", "JSONFile", "YAMLFile"), ListParser, "parse"),
        "http_source": (("HTTP",), ListParser, "parse"),
        "kubernetes_source": (("Kubernetes",), NodeMembers, "listing"),
        "srv_source": (("SRV",), srv, "listing"),
        "etcd2_source": (("Etcd2",), Values, "listing"),
        "etcd3_source": (("Etcd3",), Values, "listing"),
    }
)


@pytest.fixture
def raise_once(recorder: SourceRecorder, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that makes the next list of the source raise MemoryError."""
    kind = type(recorder.upstream).__name__
    owner, name = next((owner, name) for kinds, owner, name in SEAMS.values() if kind in kinds)

    def arm() -> None:
        call = getattr(owner, name)

        def fail(*_: Any, **__: Any) -> None:
            monkeypatch.setattr(owner, name, call)
            raise MemoryError

        monkeypatch.setattr(owner, name, fail)

    return arm


def test_every_kind_of_source_has_a_seam() -> None:
    assert SEAMS.keys() == {factory.__name__ for factory in SUPPORTED.values()}


def test_source_goes_on_after_an_exception_in_its_first_list(
    recorder: SourceRecorder, raise_once: Callable[[], None]
) -> None:
    raise_once()
    recorder.starts_with(ONE)
    recorder.upstream.settle()
    assert "internal error: MemoryError" in recorder.errors[0]
    assert recorder.lists == [recorder.one]
    assert recorder.source.problem is None


def test_source_goes_on_after_an_exception_in_a_change(
    recorder: SourceRecorder, raise_once: Callable[[], None]
) -> None:
    recorder.starts_with(ONE)
    raise_once()
    recorder.write(OTHER)
    recorder.upstream.settle()
    assert "internal error: MemoryError" in recorder.errors[0]
    assert recorder.lists == [recorder.one, recorder.other]
    assert recorder.source.problem is None
