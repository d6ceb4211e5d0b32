"""The console script: Ctrl+C is answered in one line from the first moment on, while the program is still being loaded too."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Loads the program and runs it."""
    try:
        from posguard.cli.app import main as program

        program()
    except KeyboardInterrupt:
        print("posguard: Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)
