"""Make the images of the status page: that of docs/concepts.md, while a server is forced.

``python -m tests.docs.screenshot`` needs root and chromium.
"""

from __future__ import annotations

import base64
from itertools import takewhile

from tests.docs.network import network
from tests.docs.page import ROOT, read
from tests.docs.play import play

IMAGES = {"status": ("/", 800), "status-pool": ("/page/pools/web", 1000)}
"""The path and the height in pixels of each image."""
_LAST = "pybal alerts"
_CHROMIUM = "chromium --headless --no-sandbox --hide-scrollbars"


def main() -> None:
    with network() as place:
        for _ in takewhile(lambda played: played.step.command != _LAST, play(read(ROOT / "docs/concepts.md"), place)):
            pass
        for name, (path, height) in IMAGES.items():
            shot = f"{_CHROMIUM} --window-size=1200,{height} --screenshot=page.png http://127.0.0.1:9090{path}"
            done = place.run("", f"{shot} >log 2>&1; base64 page.png || cat log")
            (ROOT / f"docs/images/{name}.png").write_bytes(base64.b64decode(done.output))


if __name__ == "__main__":
    main()
