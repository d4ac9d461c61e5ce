"""The reference of options and the comments of etc/pybal.conf, rendered from the declarations.

``python -m tests.harness.reference`` (``make reference``) writes both, and the files of :mod:`tests.harness.manual`
and :mod:`tests.harness.metrics_page`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from textwrap import wrap

from pybal.config.bgp_settings import PeerSettings
from pybal.config.option import Option, options_of, written
from pybal.config.settings import ServiceSettings, Settings
from pybal.config.source_settings import AccessSettings
from pybal.monitors.kinds import KINDS
from tests.harness import dashboard, manual, metrics_page

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "etc" / "pybal.conf"
REFERENCE = ROOT / "docs" / "reference" / "options.md"

GLOBAL: Mapping[str, Option] = {each.name: each for each in options_of(Settings)}
SERVICE: Mapping[str, Option] = {
    each.name: each
    for each in chain(options_of(ServiceSettings), *(options_of(kind.settings, kind.prefix) for kind in KINDS.values()))
}
_OPTION = re.compile(r"(#?)([a-z][a-z0-9_.-]*) = (.*)")
_WIDTH = 120
_SERVERS = {"etcd": "etcd cluster", "http": "HTTP or HTTPS server", "k8s": "Kubernetes API server"}

_HEAD = """\
# Options of pybal.conf

Rendered from the code by `make reference`. [etc/pybal.conf](../../etc/pybal.conf) is an example that explains the syntax.
"""


def default_text(found: Option, siblings: Mapping[str, Option]) -> str:
    """Return the default of an option as operators write it; ``siblings``: options of its section."""
    if found.same_as and found.default is None:
        other = siblings[found.name.rpartition(".")[0] + "." + found.same_as.replace("_", "-")]
        return default_text(other, siblings)
    return (found.show or written)(found.default) or '""'


def example(text: str) -> str:
    """Return etc/pybal.conf with the defaults, and the comments above single options, of the declarations."""
    section = ""
    paragraphs: list[str] = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.split("\n")
        section = next((line for line in lines if line.startswith("[")), section)
        known = GLOBAL if section == "[global]" else SERVICE
        paragraphs.append("\n".join(_paragraph(lines, known)))
    return "\n\n".join(paragraphs)


def _paragraph(lines: list[str], known: Mapping[str, Option]) -> Iterator[str]:
    options = [line for line in map(_OPTION.fullmatch, lines) if line and _option(line[2], known)]
    single = options[0] if len(options) == 1 and not lines[0].startswith("[") else None
    if single:
        comment = _comment(known[single[2]], default_follows=bool(single[1]))
        yield from wrap(comment, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    for line in lines:
        written_option = _OPTION.fullmatch(line)
        found = _option(written_option[2], known) if written_option else None
        if written_option and found and written_option[1]:
            yield f"#{written_option[2]} = {found.example or default_text(found, known)}"
        elif not single or not line.startswith("# "):
            yield line


def _option(name: str, known: Mapping[str, Option]) -> Option | None:
    return next((each for each in known.values() if name in (each.name, *each.aliases)), None)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _comment(found: Option, *, default_follows: bool) -> str:
    """Return the help of an option as sentences, with its default unless that follows."""
    text = _sentence(found.help)
    if found.required:
        return f"{text} Required."
    if found.default_text:
        return f"{text} Default: {found.default_text}."
    if not default_follows or found.example:
        return f"{text} Default: {default_text(found, {})}."
    return text


def markdown() -> str:
    """Return docs/reference/options.md."""
    return "\n".join(_sections())


def _sections() -> Iterator[str]:
    yield _HEAD
    yield from _table("[global]", "Options of the whole daemon.", GLOBAL)
    peer = {each.name: each for each in options_of(PeerSettings, "bgp-")}
    yield from _table(
        "[bgp NAME]", "One peer; these options override those of [global]. bgp-peer-address is required.", peer
    )
    own = {each.name: each for each in options_of(ServiceSettings)}
    yield from _table("[SERVICE]", "One service, named by its section.", own)
    for kind in KINDS.values():
        options = {each.name: each for each in options_of(kind.settings, kind.prefix)}
        yield from _table(f"Monitor {kind.name}", inspect.getdoc(kind.settings) or "", options)
    for variant, server in _SERVERS.items():
        access = {each.name: each for each in options_of(AccessSettings, variant=variant)}
        yield from _table(
            f"[{variant} NAME]",
            f"Access to the {server} at NAME, as written in config, for pool sources.",
            access,
        )


def _table(title: str, about: str, options: Mapping[str, Option]) -> Iterator[str]:
    yield f"## {title}\n\n{about.partition(chr(10))[0]}\n\n| option | default | meaning |\n|---|---|---|"
    for found in options.values():
        names = "<br>".join(f"`{name}`" for name in (found.name, *found.aliases))
        # In the file a per cent sign is written twice; in a table a bar needs an escape.
        meaning = _sentence(found.help + ("; a change needs a restart" if found.restart else ""))
        meaning = meaning.replace("%%", "%").replace("|", r"\|")
        yield f"| {names} | {_default(found, options)} | {meaning} |"
    yield ""


def _default(found: Option, siblings: Mapping[str, Option]) -> str:
    if found.required:
        return "required"
    if found.same_as:
        return f"`{found.same_as.replace('_', '-')}`"
    return found.default_text or f"`{default_text(found, siblings)}`"


def rendered() -> Mapping[Path, str]:
    """Return the text of each file."""
    return {
        EXAMPLE: example(EXAMPLE.read_text()),
        REFERENCE: markdown(),
        **manual.rendered(),
        **metrics_page.rendered(),
        **dashboard.rendered(),
    }


def main() -> None:
    for path, text in rendered().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
