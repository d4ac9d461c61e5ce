"""The lock files: exact versions and hashes of every package that the environments install. ``make lock`` writes them.

Each holds for all supported versions of Python; markers select packages. Pinned versions that still satisfy pyproject.toml
stay; with ``--upgrade`` all become the newest. The files name no index: pip takes that of the machine.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from release import project

FOLDER = project.REPOSITORY / "requirements"
DEBIAN_12_EXABGP = "4.2.21"


def locks() -> Mapping[str, Sequence[str]]:
    """Return the requirements of each lock file by its name."""
    return {
        "build": project.build_requirements(),
        "runtime": project.requirements(),
        "development": project.requirements("dev"),
        "fuzz": project.extra_requirements("fuzz"),
        "release": (*project.build_requirements(), *project.extra_requirements("release")),
        "exabgp42": (f"exabgp=={DEBIAN_12_EXABGP}",),
    }


def write(file: Path, requirements: Sequence[str], *arguments: str) -> None:
    """Resolve requirements and write the lock file. Raises CalledProcessError."""
    oldest = project.pythons()[0]
    command = ["uv", "pip", "compile", "--quiet", "--universal", f"--python-version={oldest}", "--generate-hashes"]
    command += ["--no-annotate", "--custom-compile-command=make lock", f"--output-file={file}", *arguments, "-"]
    command[0] = str(Path(sys.executable).with_name("uv"))
    subprocess.run(command, input="\n".join(requirements), cwd=project.REPOSITORY, check=True, text=True)


def main() -> None:
    """Write all lock files; the arguments are passed to ``uv pip compile``."""
    FOLDER.mkdir(exist_ok=True)
    for name, requirements in locks().items():
        write(FOLDER / f"{name}.txt", requirements, *sys.argv[1:])


if __name__ == "__main__":
    main()
