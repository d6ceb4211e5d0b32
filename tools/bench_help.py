"""How long `posguard --help` takes: median of nine, beside a bare interpreter in the same run. Aim: half a second."""

import statistics
import subprocess
import sys
import time


def median_of(*command: str) -> float:
    """Seconds, median of nine runs."""
    took = []
    for _ in range(9):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - start)
    return statistics.median(took)


bare = median_of(sys.executable, "-c", "pass")
ours = median_of(sys.executable, "-m", "posguard", "--help")
print(f"posguard --help {ours:.2f} s, bare interpreter {bare:.2f} s (medians of 9)")
