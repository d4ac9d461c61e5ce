"""The site builds from the repository, no link is broken, and it loads nothing from other hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import markdown
import pytest
import yaml
from markdown_it import MarkdownIt

from tests.docs.page import ROOT, Page, pages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; a link or an anchor that leads nowhere is an error."""
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_site_has_every_page_and_the_linked_files(site: Path) -> None:
    built = {path.relative_to(site).with_suffix(".md").as_posix() for path in site.rglob("*.html")}
    names = {page.name.removeprefix("docs/").replace("README.md", "index.md") for page in pages()}
    assert names == built - {"404.md"}
    assert (site / "files/etc/pybal.conf.txt").read_bytes() == (ROOT / "etc/pybal.conf").read_bytes()


def test_site_requests_nothing_from_other_hosts(site: Path) -> None:
    loaded = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="?((?:https?:)?//[^"\s>]*)""")
    found = {path.name: loaded.findall(path.read_text()) for path in site.rglob("*.html")}
    assert {name: urls for name, urls in found.items() if urls} == {}
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"url\(\"?(?:https?:)?//[^)]*|@import[^;]*", styles) == []


@pytest.mark.parametrize("page", pages(), ids=str)
def test_page_has_the_same_structure_on_github_and_on_the_site(page: Page) -> None:
    def structure(html: str) -> dict[str, int]:
        return {tag: html.count(f"<{tag}") for tag in ("li>", "pre>", "tr>", "h2", "h3")}

    settings = yaml.unsafe_load((ROOT / "mkdocs.yml").read_text())["markdown_extensions"]
    names = [name for each in settings for name in ([each] if isinstance(each, str) else each)]
    extensions = [name for name in names if name != "pymdownx.highlight"]
    on_site = markdown.markdown(page.text, extensions=extensions)
    assert structure(on_site) == structure(MarkdownIt("commonmark").enable("table").render(page.text))
