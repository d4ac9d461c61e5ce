"""Selection of the kind of pool source by URL."""

from __future__ import annotations

import pytest

from pybal.config.settings import SourceSettings
from pybal.sources.kinds import SUPPORTED, kind_of


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("file:///etc/pybal/pool?api=3", "file"),
        ("dns+srv://_web._tcp.example", "dns+srv"),
        ("etcd://conf1:2379/pools/web", "etcd"),
        ("ETCD://conf1:2379/pools/web?api=3", "etcd?api=3"),
        ("etcd://conf1:2379/pools/web?api=4", "etcd?api=4"),
    ],
)
def test_kind_is_the_scheme_and_for_etcd_the_api_version(url: str, kind: str) -> None:
    assert kind_of(SourceSettings(url)) == kind


def test_unknown_etcd_version_is_not_supported() -> None:
    assert "etcd?api=3" in SUPPORTED
    assert "etcd?api=4" not in SUPPORTED
