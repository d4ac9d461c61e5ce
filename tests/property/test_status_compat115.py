"""Views of one snapshot agree with each other, for any name."""

from __future__ import annotations

import json
import re
from types import MappingProxyType
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pybal.core.model import Alert, Member, Placement, Pool, Report, Server, Snapshot
from pybal.status import alerts as all_alerts
from pybal.status import compat115
from tests.harness.page_reader import PageReader
from tests.harness.snapshots import document, pool, snapshot, status, whole

names = st.text(min_size=1, max_size=12)
reports = st.none() | st.builds(Report, st.booleans(), st.text(max_size=20), st.floats(0, 1e6))


@st.composite
def servers(draw: st.DrawFn) -> Server:
    return Server(
        draw(st.builds(Member, names, st.integers(0, 65535), st.booleans())),
        MappingProxyType(draw(st.dictionaries(st.sampled_from(["ProxyFetch", "IdleConnection"]), reports))),
        draw(st.none() | st.ip_addresses()),
        draw(st.booleans()),
        draw(st.sampled_from(Placement)),
    )


@st.composite
def pools(draw: st.DrawFn, name: st.SearchStrategy[str] = names) -> Pool:
    return pool(draw(name), *draw(st.lists(servers(), max_size=5)), threshold=draw(st.floats(0, 1)))


alerts = st.builds(Alert, names | st.just(""), names, st.text(max_size=30))
snapshots = st.builds(lambda p, a: snapshot(*p, alerts=a), st.lists(pools(), max_size=4), st.lists(alerts, max_size=3))


@given(snapshots)
def test_alerts_agree_with_pools(shown: Snapshot) -> None:
    """T176388: /alerts named servers as down but pooled and /pools did not, until a restart."""
    contradicting = [
        host
        for shown_pool in shown.pools.values()
        for host, server in shown_pool.servers.items()
        # Down by a report: /pools has no word for unknown.
        if server.status.endswith("/pooled") and any(r is not None and not r.up for r in server.reports.values())
    ]
    assert (compat115.level(shown)[0] is compat115.Level.CRITICAL) == bool(contradicting)
    assert [h for p in shown.pools.values() for h in compat115.pooled_down(p)] == contradicting


@given(snapshots)
def test_text_and_json_agree(shown: Snapshot) -> None:
    alerts = document(compat115.alerts_json(shown))
    assert "".join(compat115.alerts_text(shown)) == f"{str(alerts['status']).upper()} - {alerts['msg']}"
    for shown_pool in shown.pools.values():
        facts = document(compat115.pool_json(shown_pool))
        assert list(facts) == list(shown_pool.servers)
        for host, server in shown_pool.servers.items():
            words = compat115.server_text(server).rstrip("\n").split("/")
            one = compat115.server_json(server)
            assert one == facts[host]
            assert isinstance(one, dict)
            assert (words[0] == "enabled", words[1] == "up", words[2] == "pooled") == (
                one["enabled"],
                one["up"],
                one["pooled"],
            )


@given(snapshots)
def test_alerts_are_among_those_of_v1(shown: Snapshot) -> None:
    kinds = {entry.kind for entry in list(all_alerts.alerts(shown))[: -len(list(shown.alerts)) or None]}
    level, _ = compat115.level(shown)
    assert (all_alerts.POOLED_DOWN in kinds) == (level is compat115.Level.CRITICAL)
    assert level is not compat115.Level.WARNING or all_alerts.TOO_SMALL in kinds


@given(snapshots)
def test_every_path_of_every_name_responds_with_valid_json(shown: Snapshot) -> None:
    routes = status(Clock(), shown)
    paths = ["/alerts", "/pools", "/v1/alerts", "/v1/pools"]
    for name, shown_pool in shown.pools.items():
        service = quote(name, safe="")
        paths += [f"/pools/{service}", f"/v1/pools/{service}"]
        for host in shown_pool.servers:
            paths += [f"/pools/{service}/{quote(host, safe='')}", f"/v1/pools/{service}/{quote(host, safe='')}"]
        assert routes.answer(f"/page/pools/{service}".encode(), as_json=False).code == 200
    for path in paths:
        assert routes.answer(path.encode(), as_json=False).code == 200
        answer = routes.answer(path.encode(), as_json=True)
        assert answer.content_type == b"application/json"
        json.loads(whole(answer))


ELEMENTS = (
    "html head meta title link script noscript body header a p nav span svg pattern rect path circle main section div h1 h2"
    " b time details summary ul li code strong small em button input table caption thead tbody tr th td ol i line text"
)
hostile = st.text("<>&\"'/= scriptonlad", min_size=1, max_size=30)


@given(pools(hostile), hostile, hostile)
def test_pages_escape_every_name_and_reason(shown: Pool, host: str, reason: str) -> None:
    watched = Server(Member(host), MappingProxyType({"ProxyFetch": Report(False, reason)}))
    shown = pool(shown.service.name, *shown.servers.values(), watched)
    routes = status(Clock(), snapshot(shown, alerts=[Alert(shown.service.name, "odd", reason)]))
    path = f"/page/pools/{quote(shown.service.name, safe='')}"
    for view in ("/", path, f"{path}/{quote(host, safe='')}"):
        reader = PageReader.of(whole(routes.answer(view.encode(), as_json=False)).decode())
        assert reader.elements <= set(ELEMENTS.split(" "))
        assert shown.service.name in reader.text
        assert reason in reader.text
        assert all(re.match("/(?!/)|#|data:image/svg", link) for link in reader.links)
        assert view == path or path in reader.links
    assert host in reader.text
    assert (
        f"{path}/{quote(host, safe='')}"
        in PageReader.of(whole(routes.answer(path.encode(), as_json=False)).decode()).links
    )
