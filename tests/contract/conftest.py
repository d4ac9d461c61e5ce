from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.sources.contract import ONE, UPSTREAM_SERVERS, UPSTREAMS, SourceRecorder, UpstreamServer


@pytest.fixture(params=UPSTREAMS, ids=lambda kind: kind.__name__)
def recorder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SourceRecorder]:
    """A recorder for each kind of source."""
    with closing(SourceRecorder(request.param(tmp_path))) as recorder:
        yield recorder


@pytest.fixture(params=UPSTREAM_SERVERS, ids=lambda kind: kind.__name__)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SourceRecorder, UpstreamServer]]:
    """A recorder that has its first list, and its server, for each kind with a server."""
    server = request.param(tmp_path)
    with closing(SourceRecorder(server)) as recorder:  # also if starts_with fails: the server must not outlive the test
        recorder.starts_with(ONE)
        yield recorder, server
