"""What a tool of the reliability suite did, for the table of `make reliability`."""

from __future__ import annotations

import json
import os
from pathlib import Path


def note(what: str, done: int, bad: int, told: str = "") -> None:
    """Appends a line to the file that POSGUARD_FIGURES names; nothing where it names none."""
    if path := os.environ.get("POSGUARD_FIGURES"):
        with Path(path).open("a", encoding="utf-8") as kept:
            kept.write(json.dumps({"what": what, "done": done, "bad": bad, "note": told}) + "\n")
