"""The reference of options and etc/pybal.conf are rendered from the declarations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pybal.config.bgp_settings import PeerSettings
from pybal.config.option import Option, options_of
from pybal.config.source_settings import AccessSettings
from tests.harness.dashboard import DASHBOARD
from tests.harness.manual import CHECK_PYBAL_8, COMPLETION, PYBAL_8, PYBAL_CONF_5
from tests.harness.metrics_page import METRICS
from tests.harness.reference import EXAMPLE, GLOBAL, REFERENCE, SERVICE, default_text, example, rendered


def defaults() -> Iterator[tuple[str, Option, str]]:
    """Yield name, declaration and written default of every option that has one."""
    access = {
        f"access {each.name}": each
        for name in ("etcd", "http", "k8s")
        for each in options_of(AccessSettings, variant=name)
    }
    peer = {f"peer {each.name}": each for each in options_of(PeerSettings, "bgp-")}
    for known in (GLOBAL, SERVICE, access, peer):
        for name, found in known.items():
            if not found.required and not found.same_as:
                yield name, found, default_text(found, known)


DEFAULTS = {name: (found, text) for name, found, text in defaults()}


@pytest.mark.parametrize(
    "path",
    [
        EXAMPLE,
        REFERENCE,
        PYBAL_8,
        PYBAL_CONF_5,
        CHECK_PYBAL_8,
        COMPLETION,
        pytest.param(METRICS, marks=pytest.mark.pinned),
        DASHBOARD,
    ],
    ids=lambda path: path.name,
)
def test_file_equals_its_rendering(path: Path) -> None:
    assert rendered()[path] == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DEFAULTS)
def test_written_default_converts_to_the_default(name: str) -> None:
    found, text = DEFAULTS[name]
    assert found.convert("" if text == '""' else text) == found.default


def test_example_derives_the_comment_and_default_of_a_single_option() -> None:
    text = "[global]\n\n# old\n#bgp-med = 7\n\n# kept\n#bgp-drain-med = 1\n#bgp-drain-wait = 2\n"
    assert example(text) == (
        "[global]\n\n"
        "# MED of the announcements; routers prefer the lowest. Usually 0 on the primary balancer and 100 on its backup.\n"
        "#bgp-med = 0\n\n"
        "# kept\n#bgp-drain-med = 4294967294\n#bgp-drain-wait = 30\n"
    )
