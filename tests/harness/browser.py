"""Chromium without a window, driven by Playwright, with axe-core and a record of errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.harness.daemon_process import PATIENCE

CHROMIUM = "/usr/bin/chromium"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
"""The pictures of the last run, as artefacts of CI."""

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = (1280, 400)
SCHEMES: Sequence[Literal["light", "dark"]] = ("light", "dark")

_ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
_HEIGHT = 900
_CONTRAST = "color-contrast"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS, timeout=PATIENCE * 1e3)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page in its own context.

    ``problems`` are console errors, violations of the policy and failed requests.
    """

    def __init__(self, browser: Browser, *, width: int = WIDTHS[0], scripts: bool = True) -> None:
        self._context = browser.new_context(
            viewport={"width": width, "height": _HEIGHT}, java_script_enabled=scripts, reduced_motion="reduce"
        )
        self._context.set_default_timeout(PATIENCE * 1e3)
        self.page: Page = self._context.new_page()
        self.problems: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("requestfailed", self._failed)

    def open(self, url: str) -> Page:
        """Load a page; its event stream never ends, so wait for the load event only."""
        self.page.goto(url, wait_until="load")
        return self.page

    def close(self) -> None:
        self._context.close()

    def reset(self) -> None:
        """Leave the page, so that another test can use the tab: a new one takes a second of CPU."""
        self.page.unroute_all()
        self.page.goto("about:blank")
        self.page.set_viewport_size({"width": WIDTHS[0], "height": _HEIGHT})
        self.page.emulate_media(color_scheme=SCHEMES[0], reduced_motion="reduce")
        self.problems.clear()

    def violations(self, rules: Sequence[str] = RULES, *, contrast: bool = True) -> list[str]:
        """Return the violations that axe-core finds: rule, element, and how to mend it."""
        if self.page.evaluate("typeof axe") == "undefined":
            self.page.evaluate(Axe().axe_script)
        options: dict[str, Any] = {"runOnly": list(rules), "resultTypes": ["violations"], "preload": False}
        if not contrast:
            options["rules"] = {_CONTRAST: {"enabled": False}}
        found = self.page.evaluate("options => axe.run(options).then(found => found.violations)", options)
        return [f"{each['id']}: {node['html']}: {node['failureSummary']}" for each in found for node in each["nodes"]]

    def violations_in_every_look(self, name: str) -> dict[str, list[str]]:
        """Show the page in each width and scheme, keep a picture of each, and return the violations of each.

        The scheme changes colours only, and the width no colours. To compare colours takes most of the time.
        """
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        found = {}
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": _HEIGHT})
            for scheme in SCHEMES:
                self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                look = f"{name}-{width}-{scheme}"
                self.page.screenshot(path=SCREENSHOTS / f"{look}.png")
                if scheme == "dark":
                    found[look] = self.violations([_CONTRAST])
                else:
                    found[look] = self.violations(contrast=width == WIDTHS[0])
            if (wide := self.page.evaluate("document.documentElement.scrollWidth")) > width:
                found[f"{name}-{width}"] = [f"the page is {wide} px wide"]
        return {look: each for look, each in found.items() if each}

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"{message.type}: {message.text}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left
            self.problems.append(f"{request.url}: {request.failure}")
