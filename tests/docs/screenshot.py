"""Make docs/images/status.png: the status page of docs/concepts.md, while a server is forced.

``python -m tests.docs.screenshot`` needs root and chromium.
"""

from __future__ import annotations

import base64
from itertools import takewhile

from tests.docs.network import network
from tests.docs.page import ROOT, read
from tests.docs.play import play

IMAGE = ROOT / "docs/images/status.png"
_LAST = "pybal alerts"
_CHROMIUM = "chromium --headless --no-sandbox --hide-scrollbars --window-size=1000,440 --force-device-scale-factor=1.5"


def main() -> None:
    with network() as place:
        for _ in takewhile(lambda played: played.step.command != _LAST, play(read(ROOT / "docs/concepts.md"), place)):
            pass
        done = place.run(
            "", f"{_CHROMIUM} --screenshot=page.png http://127.0.0.1:9090/ >log 2>&1; base64 page.png || cat log"
        )
    IMAGE.parent.mkdir(exist_ok=True)
    IMAGE.write_bytes(base64.b64decode(done.output))


if __name__ == "__main__":
    main()
