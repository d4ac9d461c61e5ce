"""Fuzz one target with coverage guidance, by atheris.

``python -m tests.fuzz.engine TARGET FOLDER [options of libFuzzer]``
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pybal"]):
    from tests.fuzz.all_targets import one_target
    from tests.fuzz.target import Target

    TARGET = one_target(sys.argv[1])

ROOT = Path(__file__).parents[2]
_LONGEST_WORD = 40


def words(target: Target) -> Iterator[bytes]:
    """Yield the literals in the parsers of a target, for inputs made of the words of its grammar."""
    for module in target.parses:
        tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
        for node in ast.walk(tree):
            value = node.value if isinstance(node, ast.Constant) else None
            data = value.encode(errors="surrogatepass") if isinstance(value, str) else value
            if isinstance(data, bytes) and 0 < len(data) <= _LONGEST_WORD:
                yield data
    yield from (word.encode("latin-1") for word in target.words)


def dictionary(target: Target, file: Path) -> Path:
    """Write the words of a target for libFuzzer."""
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in dict.fromkeys(words(target)))
    file.write_text("".join(f'"{word}"\n' for word in escaped))
    return file


def main() -> None:
    """Run libFuzzer with the other arguments; FOLDER is for the words."""
    _, _, folder, *options = sys.argv
    found = dictionary(TARGET, Path(folder) / "words")
    atheris.Setup([sys.argv[0], f"-dict={found}", f"-max_len={TARGET.longest}", *options], TARGET.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
