"""Adds to the site the home page, README.md, and the files of the repository to which pages link.

mkdocs calls these functions. A link of a page to a file outside docs/ becomes a link to a copy of the file in the site; mkdocs
reports a link to a missing file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

_HOME = "index.md"
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)(?P<path>[^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the home page and the files of the repository."""
    files.append(File.generated(config, _HOME, content=(ROOT / "README.md").read_text(encoding="utf-8")))
    linked = {path for page in files.documentation_pages() for path in _outside(page)}
    for path in sorted(linked):
        files.append(File.generated(config, _copy(path), content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with links that are valid in the site."""
    del config, files
    return _LINK.sub(lambda match: _in_site(page.file.src_uri, match["path"]), markdown)


def _outside(page: File) -> Iterator[str]:
    for match in _LINK.finditer(page.content_string):
        target = _target(page.src_uri, match["path"])
        if not target.startswith("docs/") and (ROOT / target).is_file():
            yield target


def _target(page: str, link: str) -> str:
    """Return the path in the repository to which a link of a page leads."""
    folder = "" if page == _HOME else str(PurePosixPath("docs", page).parent)
    return normpath(f"{folder}/{link}").lstrip("/")


def _in_site(page: str, link: str) -> str:
    target = _target(page, link)
    place = target.removeprefix("docs/") if target.startswith("docs/") else _copy(target)
    return relpath(place, PurePosixPath(page).parent)


def _copy(path: str) -> str:
    """Return the place of a file of the repository in the site; browsers show its text."""
    return f"files/{path}.txt"
