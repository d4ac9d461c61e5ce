"""The status page of a real daemon in Chromium: content, accessibility, updates, keyboard, contact."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route

import pybal.status.page
from pybal.status.events import MOST
from pybal.status.page.bgp import bgp_view
from pybal.status.page.facts import Facts
from pybal.status.page.overview import overview
from tests.harness import page_story
from tests.harness.browser import Tab, chromium
from tests.harness.daemon_process import Daemon, Deployment, daemon

HOSTS = ("127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4")
CONF = """
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {status_port}
ipvs-backend = memory

[DEFAULT]
protocol = tcp
port = {port}
scheduler = wrr
config = file://{directory}/web.pool
source-interval = 1
monitors = ['ProxyFetch', 'IdleConnection']
proxyfetch.url = ['http://www.example.org/']
proxyfetch.interval = 0.5
idleconnection.max-delay = 1

[web]
ip = 192.0.2.1
depool-threshold = 0.5

[strict]
ip = 192.0.2.2
depool-threshold = 1

[unlisted]
ip = 192.0.2.3
config = file://{directory}/missing.pool
"""

VICTIM = HOSTS[1]
VIEWS = {
    "overview": ("/", "1 forced", "1 down", "no server list yet", "missing.pool"),
    "pool": ("/page/pools/strict", "1 server down but pooled", "refused"),
    "server": (f"/page/pools/strict/{VICTIM}", "forced", "refused", "ProxyFetch"),
    "bgp": ("/page/bgp", "BGP is off"),
    "sources": ("/page/sources", "2 of 3 sources current", "missing.pool"),
    "host": ("/page/host", "Longest callbacks", "periodic activities"),
    "history": ("/page/history", VICTIM, "depooled"),
}
"""The path and some texts of each view."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared_tab(browser: Browser) -> Iterator[Tab]:
    tab = Tab(browser)
    yield tab
    tab.close()


@pytest.fixture
def tab(shared_tab: Tab) -> Tab:
    shared_tab.reset()
    return shared_tab


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path_factory.mktemp("page"), HOSTS, CONF)
    yield deployment
    deployment.stop()


@pytest.fixture(scope="module")
def shared(deployment: Deployment) -> Iterator[Daemon]:
    with daemon(deployment.directory, endpoint=deployment.endpoint) as running:
        yield running


@pytest.fixture
def healthy(deployment: Deployment, shared: Daemon) -> Daemon:
    """Return the daemon when all servers serve."""
    for server in deployment.servers.values():
        if server.stopped:
            server.start()
    for service in ("web", "strict"):
        shared.wait(partial(serves, shared, service), f"all servers of {service}")
    return shared


@pytest.fixture
def degraded(deployment: Deployment, shared: Daemon) -> Daemon:
    """Return the daemon when one server is down: forced in one pool, depooled in the other."""
    if not (victim := deployment.servers[VICTIM]).stopped:
        shared.wait(partial(serves, shared, "web"), "all servers")
        victim.stop()
    shared.wait(lambda: f"{VICTIM}:\tenabled/down/pooled\n" in shared.get("/pools/strict"), "a forced server")
    shared.wait(lambda: f"{VICTIM}:\tenabled/down/not pooled\n" in shared.get("/pools/web"), "a depooled server")
    return shared


def serves(running: Daemon, service: str) -> bool:
    """Return whether all servers of a service serve."""
    return running.get(f"/pools/{service}").count("/up/pooled") == len(HOSTS)


def peer_down() -> Facts:
    """Return facts with a session that is down, of few VIPs: axe-core takes a second for 100 rows."""
    facts = page_story.degraded()
    return replace(facts, bgp=replace(facts.bgp, verdicts=facts.bgp.verdicts[:10]))


def all_down() -> Facts:
    """Return facts of few services whose servers are all down."""
    return page_story.facts(page_story.dead(name, number, 12) for number, name in enumerate(page_story.names()[:12]))


def text(tab: Tab) -> str:
    return tab.page.inner_text("main")


# ---- content and accessibility ----


@pytest.mark.parametrize(("view", "shown"), VIEWS.items())
def test_view_has_its_content_without_violations(view: str, shown: Sequence[str], tab: Tab, degraded: Daemon) -> None:
    path, *texts = shown
    tab.open(degraded.endpoint + path)
    for each in texts:
        tab.page.get_by_text(each, exact=False).first.wait_for(state="attached")
    assert tab.violations_in_every_look(view) == {}
    assert tab.page.locator("nav.views [aria-current]").count() == (0 if "pools" in path else 1)
    assert tab.problems == []


@pytest.mark.parametrize(
    ("name", "view", "story"),
    [("bgp-peer-down", bgp_view, peer_down), ("overview-all-down", overview, all_down)],
)
def test_view_of_a_failure_has_no_violation(
    name: str, view: Callable[[Facts], Iterator[str]], story: Callable[[], Facts], tab: Tab
) -> None:
    files = {
        file.name: file.read_text() for file in Path(pybal.status.page.__file__).parent.iterdir() if file.is_file()
    }
    shown = "".join(view(story()))
    kinds = {"css": "text/css", "js": "text/javascript"}

    def respond(route: Route) -> None:
        file = route.request.url.rpartition("/")[2]
        if file in files:
            route.fulfill(body=files[file], content_type=kinds[file.rpartition(".")[2]])
        elif file == "events":
            route.fulfill(body="retry: 1000000\n\n", content_type="text/event-stream")
        else:
            route.fulfill(body=shown, content_type="text/html; charset=utf-8")

    tab.page.route("**/*", respond)
    tab.open("http://lvs3005.example.org/")
    assert tab.violations_in_every_look(name) == {}


def test_violations_are_found(tab: Tab) -> None:
    tab.page.set_content("<html lang=en><title>x</title><main><h1>x</h1><p style='color: #aaa; background: #fff'>pale")
    assert [each.partition(":")[0] for each in tab.violations()] == ["color-contrast"]


# ---- live updates ----


def test_update_keeps_focus_selection_scroll_and_open_alerts(deployment: Deployment, tab: Tab, healthy: Daemon) -> None:
    page = tab.open(f"{healthy.endpoint}/?q=st")
    page.set_viewport_size({"width": 1280, "height": 300})
    page.evaluate("window.loaded = true; document.querySelector('.alerts details').open = true")
    row = page.locator("#list tr.r", has_text="strict")
    row.evaluate("row => { row.kept = true; }")
    page.focus("#q")
    page.evaluate("document.getElementById('q').setSelectionRange(0, 1); scrollTo(0, 60)")
    state = """() => [loaded, document.activeElement.id, document.activeElement.selectionStart,
        document.activeElement.selectionEnd, document.activeElement.value, scrollY, location.search,
        document.querySelector(".alerts details").open]"""
    before = page.evaluate(state)
    assert before == [True, "q", 0, 1, "st", 60, "?q=st", True]
    deployment.servers[VICTIM].stop()
    row.get_by_text("1 forced").wait_for()
    assert page.evaluate(state) == before
    assert row.evaluate("row => row.kept")
    assert page.title().startswith("◆")
    deployment.servers[VICTIM].start()
    row.get_by_text("1 forced").wait_for(state="detached")
    assert page.evaluate(state) == before
    assert tab.problems == []


def test_page_is_updated_by_requests_when_all_streams_are_in_use(
    deployment: Deployment, tab: Tab, healthy: Daemon
) -> None:
    with ExitStack() as stack:
        for _ in range(MOST):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", deployment.status_port)))
            client.sendall(b"GET /page/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(64).startswith(b"HTTP/1.1 200")
        page = tab.open(f"{healthy.endpoint}/page/pools/strict")
        deployment.servers[VICTIM].stop()
        page.locator("#list tr.r", has_text=VICTIM).get_by_text("forced").wait_for()
        assert "stale" not in (page.get_attribute("html", "class") or "")
    assert len(tab.problems) >= 1
    assert {each.partition(" (")[0] for each in tab.problems if "503" in each} == {
        "error: Failed to load resource: the server responded with a status of 503"
    }


def test_hidden_page_has_no_stream_until_it_is_visible(deployment: Deployment, tab: Tab, healthy: Daemon) -> None:
    page = tab.open(healthy.endpoint)
    hide = """hidden => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/page/events")):
        page.evaluate(hide, True)
    deployment.servers[VICTIM].stop()
    healthy.wait(lambda: f"{VICTIM}:\tenabled/down/pooled\n" in healthy.get("/pools/strict"), "a forced server")
    assert page.get_by_text("1 forced").count() == 0
    page.evaluate(hide, False)
    page.get_by_text("1 forced").first.wait_for()
    assert tab.problems == []


# ---- keyboard ----


def test_keyboard_filters_sorts_and_skips(tab: Tab, healthy: Daemon) -> None:
    page = tab.open(healthy.endpoint)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("/")
    page.keyboard.type("strict")
    visible = "() => [...document.querySelectorAll('#list tr.r')].filter(row => !row.hidden).map(row => row.cells[0].innerText)"
    assert page.evaluate(visible) == ["strict"]
    assert page.url.endswith("?q=strict")
    page.keyboard.press("Escape")
    assert sorted(page.evaluate(visible)) == ["strict", "unlisted", "web"]
    page.locator("#list thead button").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(visible) == ["strict", "unlisted", "web"]
    page.keyboard.press("Enter")
    assert page.evaluate(visible) == ["web", "unlisted", "strict"]
    assert page.get_attribute("#list thead th", "aria-sort") == "descending"
    page.reload(wait_until="load")
    assert page.evaluate(visible) == ["web", "unlisted", "strict"]
    assert tab.problems == []


def test_arrow_keys_move_in_the_grid_of_servers(tab: Tab, degraded: Daemon) -> None:
    page = tab.open(f"{degraded.endpoint}/page/pools/strict")
    cells = page.locator(".grid a")
    cells.first.focus()
    assert page.inner_text("#read").startswith(f"{HOSTS[0]}: serving")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#read").startswith(f"{VICTIM}: forced")
    assert [cell.get_attribute("tabindex") for cell in cells.all()] == ["-1", "0", "-1", "-1"]
    assert tab.problems == []


# ---- without contact, and without scripts ----


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_page_shows_the_loss_of_contact_until_it_returns(number: int, tab: Tab, tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, HOSTS[:1], CONF)
    with daemon(tmp_path, endpoint=deployment.endpoint) as first:
        first.wait(lambda: first.get("/"), "the page")
        page = tab.open(first.endpoint)
        assert page.inner_text("#live").startswith("live")
        first.process.send_signal(number)
        page.locator("html.stale").wait_for(state="attached")
        assert page.title().startswith("○ no contact since ")
        assert page.inner_text("#live").startswith("no contact since ")
        assert page.locator(".lost").is_visible()
        assert tab.violations() == []
        first.process.send_signal(signal.SIGCONT if number == signal.SIGSTOP else number)
        with daemon(tmp_path, endpoint=deployment.endpoint) if number == signal.SIGKILL else nullcontext():
            page.locator("html:not(.stale)").wait_for(state="attached")
            assert page.inner_text("#live").startswith("live")
            assert not page.title().startswith("○")
            assert not page.locator(".lost").is_visible()
    deployment.stop()


def test_page_is_complete_without_scripts(browser: Browser, degraded: Daemon) -> None:
    tab = Tab(browser, scripts=False)
    page = tab.open(degraded.endpoint)
    assert "1 forced" in text(tab)
    assert page.inner_text("#live").startswith("as of ")
    assert not page.locator("#q").is_visible()
    assert page.locator("noscript meta[http-equiv=refresh]").get_attribute("content") == "30"
    page.locator("#list a", has_text="strict").click()
    assert VICTIM in text(tab)
    tab.close()
