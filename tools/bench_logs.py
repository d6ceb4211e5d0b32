"""How fast a bot's log is read: the whole extraction beside ripgrep on the same literals, the usual per-line script and `gzip -dc`.

Every figure of a run comes from one machine in one go, rounds interleaved, the file in the page cache; counts and sums of ids are
compared with the generator's truth. SIZE (MB), ROUNDS and RG (ripgrep's path) come from the environment.

ripgrep gets the literals as the patterns' file has them, and a second time in the order that posguard's finder puts them in, which
suits the search that both use: a set of sixty literals is found half as fast again in that order. The bars are for the first; how
the second compares is printed beside them.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from posguard.logs.analysis import Stepwise
from posguard.logs.correlate import PositionEvent
from posguard.logs.extract import extract
from posguard.logs.finder import Finder
from posguard.logs.generator import Truth, write_large
from posguard.logs.patterns import load_patterns
from posguard.settings import LogSource

SOURCE = LogSource(name="bench", paths=("bot.log",), zone="UTC")
BARS = {"analysis / loop": 25.0, "one / rg": 0.55, "two / rg": 0.9, "one / loop": 35.0, "gz / gzip -dc": 2.5}
COUNTED = "analysis and lines"
RG_IN_ORDER = "rg in order"
PEAK_MB = 150
ANALYSIS_PEAK_MB = 250
# What takes long for the others is measured on a part of the log, and given as MB/s like the rest.
PART_MB = 256

LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) - (\S+) - ([A-Z]+) - (.*)$")
SYMBOL = re.compile(r"\b([A-Z0-9]{2,20}USDT)\b")
NUMBER = re.compile(r"(?:#|id=|ID=|position_id=)(\d+)")
# The symbols that the generator's races have to themselves, by scenario; S left no error.
PLANTED = re.compile(r"R\d+([ABCDS])USDT")
USUAL = [
    re.compile(text)
    for text in (
        r"duplicate key value violates unique constraint", r"Opening position", r"(?:Creating|create_position|Executing INSERT)",
        r"(?:Created position #|Position record created|INSERT completed)", r"Position saved", r"(?:update_position\(|Updating position #)",
        r"(?:successfully activated|is ACTIVE with protection)", r"already exists", r"order placed", r"(?:MARKET order executed|Order filled)",
        r"(?:Position sync started|Syncing positions|Synchronizing)", r"Found \d+ positions", r"Added new position",
        r"(?:Stop-loss placed|Stop Loss order created|Stop loss set)", r"(?:STOP LOSS TRIGGERED|Stop-loss triggered)",
        r"[Tt]railing stop", r"Rolling back", r"Emergency close", r"not found after", r"[Aa]ged position", r"zombie order",
        r"(?:WebSocket|[Rr]econnecting)",
    )
]  # fmt: skip


def flat(path: str, processes: int) -> tuple[Counter[str], Counter[str]]:
    """Counts and sums of position ids by kind, from the whole extraction."""
    patterns = load_patterns()
    ids = [pattern.places.get("position_id") for pattern in patterns]
    counts, sums = [0] * len(patterns), [0] * len(patterns)
    for _path, batch in extract([path], SOURCE, processes=processes).flat():
        for _offset, _size, number, first, groups, _digest in batch.events:
            counts[number] += 1
            place = ids[number]
            if place and (said := groups[first + place - 1]):
                sums[number] += int(said)
    kinds: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for pattern, count, value in zip(patterns, counts, sums, strict=True):
        kinds[pattern.kind] += count
        total[pattern.kind] += value
    return +kinds, +total


def events(path: str) -> int:
    """Every event made into an object."""
    return sum(1 for _ in extract([path], SOURCE))


def analysis(path: str, *, lines: bool = False) -> dict[str, object]:
    """The whole analysis on two processes: events put together from neighbours, creates, races with time line and scenario, numbers;
    with all lines counted where that is asked for, as the JSON report has them.
    """
    read = extract([path], SOURCE, processes=2, lines=lines)
    ids = 0

    def each(told: tuple[PositionEvent, ...]) -> None:
        nonlocal ids
        ids += sum(event.position_id or 0 for event in told if event.kind == "created")

    steps = Stepwise({SOURCE.name: SOURCE.zone}, each=each)
    rest = iter(read)
    while part := list(islice(rest, 8192)):
        steps.take(part)
    found = steps.conclude(total_lines=None, parsed_entries=None)
    numbers = found.statistics
    races: Counter[str] = Counter()
    for race in found.races:
        if planted := PLANTED.fullmatch(race.symbol):
            races[f"{planted[1]}: {race.scenario}"] += 1
    return {
        "kinds": dict(numbers.kinds),
        "creates": numbers.position_creates,
        "created ids": ids,
        "errors": numbers.duplicate_errors,
        "races": dict(races),
        "lines": read.counts.lines if lines else None,
    }


def analysis_of(truth: Truth, *, lines: bool) -> dict[str, object]:
    """What an analysis has to say of a log whose days are alike: each planted race as often as there are days."""
    days = (truth.last.date() - truth.first.date()).days + 1
    planted = Counter(
        "S: unknown" if r.scenario == "silent" else f"{r.scenario}: {r.scenario}" for r in truth.races
    )
    surfaced = sum(race.error_at is not None for race in truth.races)
    return {
        "kinds": truth.kinds,
        "creates": truth.kinds["created"] + truth.kinds["sync_added"],
        "created ids": truth.ids["created"],
        "errors": surfaced * days,
        "races": {name: number * days for name, number in planted.items()},
        "lines": truth.lines if lines else None,
    }


def loop(path: str) -> int:
    """The usual script: each line, 22 expressions, the first that is found."""
    found = 0
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - what everybody writes
        for line in file:
            head = LINE.match(line)
            if head is None:
                continue
            for usual in USUAL:
                if usual.search(head[4]):
                    datetime.strptime(head[1], "%Y-%m-%d %H:%M:%S,%f")  # noqa: DTZ007 - the script does not care
                    SYMBOL.search(head[4]), NUMBER.search(head[4])
                    found += 1
                    break
    return found


def job(name: str, path: str) -> None:
    """One measurement, in a process of its own: prints its seconds, its peak memory, and what it counted."""
    started, used = time.perf_counter(), time.process_time()
    ways: dict[str, Callable[[str], object]] = {
        "one": partial(flat, processes=1),
        "two": partial(flat, processes=2),
        "gz": partial(flat, processes=1),
        "events": events,
        "loop": loop,
        "analysis": analysis,
        COUNTED: partial(analysis, lines=True),
    }
    said = ways[name](path)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    # ru_maxrss of this process counts what started it, too.
    own = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    used += children.ru_utime + children.ru_stime
    print(
        json.dumps({"wall": seconds, "cpu": used, "peak": max(own, children.ru_maxrss) / 1024, "said": said})
    )


def measured(name: str, path: Path) -> dict[str, Any]:
    """Seconds on the wall and of processor, peak MB and counts of one job."""
    done = subprocess.run(
        [sys.executable, __file__, "--job", name, str(path)], capture_output=True, text=True, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def command(words: list[str]) -> dict[str, Any]:
    """Seconds of a command whose output is thrown away."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall": seconds, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def right(said: object, truth: Truth) -> bool:
    """Whether counts and sums of ids are the truth's."""
    assert isinstance(said, list)
    return bool(said[0] == truth.kinds and said[1] == truth.ids)


def main() -> int:
    """Runs the whole comparison; 1 where a count is wrong or a bar is missed."""
    size, rounds = int(os.environ.get("SIZE") or "1000"), int(os.environ.get("ROUNDS") or "3")
    rg = os.environ.get("RG") or shutil.which("rg")
    with TemporaryDirectory(prefix="posguard-bench-") as folder:
        return _compare(Path(folder), size, rounds, rg)


def _compare(folder: Path, size: int, rounds: int, rg: str | None) -> int:
    whole, part = folder / "bot.log", folder / "part.log"
    as_written, words = folder / "literals", folder / "literals-in-order"
    started = time.perf_counter()
    truth = write_large(whole, size * 1_000_000)
    part_truth = write_large(part, min(PART_MB, size) * 1_000_000)
    made = time.perf_counter() - started
    megabytes, part_megabytes = whole.stat().st_size / 1e6, part.stat().st_size / 1e6
    packed = part.with_suffix(".log.gz")
    with packed.open("wb") as target:
        subprocess.run(["gzip", "-c", str(part)], stdout=target, check=True)  # noqa: S607 - the one on PATH is meant
    words.write_bytes(b"\n".join(lane.literal for lane in Finder(load_patterns()).lanes))
    as_written.write_bytes(b"\n".join(dict.fromkeys(p.literal or p.level for p in load_patterns())))
    print(
        f"{megabytes:.0f} MB, {truth.lines} lines, {truth.events} events (seed 1), made in {made:.0f} s; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {rounds} rounds, best of each"
    )
    if rg:
        version = subprocess.run([rg, "--version"], capture_output=True, text=True, check=True).stdout
        print(version.splitlines()[0], "on the same literals (-F -f, -c)")
    else:
        print("ripgrep is not on PATH and RG is not set: its two bars are not measured")
    seen = Seen()
    jobs = (
        ("one", whole, megabytes),
        ("two", whole, megabytes),
        ("gz", packed, part_megabytes),
        ("events", whole, megabytes),
        ("analysis", whole, megabytes),
        (COUNTED, whole, megabytes),
    )
    for number in range(rounds):
        if rg:
            for name, literals in (("rg", as_written), (RG_IN_ORDER, words)):
                seen.note(name, megabytes, command([rg, "-c", "-F", "-f", str(literals), str(whole)]))
        for name, path, volume in jobs:
            told = measured(name, path)
            seen.note(name, volume, told)
            if name in {"analysis", COUNTED}:
                same = told["said"] == analysis_of(truth, lines=name == COUNTED)
            else:
                same = name == "events" or right(told["said"], part_truth if name == "gz" else truth)
            if not same:
                seen.wrong.append(name)
        seen.note("gzip -dc", part_megabytes, command(["gzip", "-dc", str(packed)]))
        if number == 0:
            seen.note("loop", part_megabytes, measured("loop", part))
    return _told(seen, rg=bool(rg))


@dataclass
class Seen:
    """The best of each in MB a second: on the wall, and by the processor time it took, which a busy machine lengthens less."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def note(self, name: str, megabytes: float, told: dict[str, Any]) -> None:
        """Keeps a measurement where it is the best."""
        self.wall[name] = max(self.wall.get(name, 0.0), megabytes / told["wall"])
        self.cpu[name] = max(self.cpu.get(name, 0.0), megabytes / told["cpu"])
        if "peak" in told:
            self.peak[name] = max(self.peak.get(name, 0.0), told["peak"])


def _told(seen: Seen, *, rg: bool) -> int:
    names = {
        "one": "extraction, one process", "two": "extraction, two processes", "gz": "extraction of gz (of text)", "events": "every event an object",
        "analysis": "whole analysis, two processes", COUNTED: "the same with lines counted",
        "rg": "ripgrep -c", RG_IN_ORDER: "ripgrep -c, the finder's order", "loop": "22 expressions a line", "gzip -dc": "gzip -dc",
    }  # fmt: skip
    print(f"  {'':30}  MB/s   MB/s of processor time   MB at most in a process")
    for name, words in names.items():
        if name in seen.wall:
            memory = f"{seen.peak[name]:8.0f}" if name in seen.peak else ""
            print(f"  {words:30} {seen.wall[name]:6.0f} {seen.cpu[name]:10.0f} {memory}")
    missed = 0
    for bar, wanted in BARS.items():
        mine, _, other = bar.partition(" / ")
        if other == "rg" and not rg:
            continue
        ratio = seen.wall[mine] / seen.wall[other]
        missed += ratio < wanted
        by_cpu = (
            ""
            if mine in {"two", "analysis"}
            else f", by processor time {seen.cpu[mine] / seen.cpu[other]:.2f}"
        )
        print(f"  {bar:18} {ratio:6.2f}  bar {wanted:5.2f}  {'met' if ratio >= wanted else 'MISSED'}{by_cpu}")
    for mine in ("one", "two"):
        if rg:
            print(f"  {mine} / {RG_IN_ORDER:12} {seen.wall[mine] / seen.wall[RG_IN_ORDER]:6.2f}")
    highest = max(memory for name, memory in seen.peak.items() if name not in {"loop", "analysis", COUNTED})
    for name, peak, limit in (
        ("peak MB", highest, PEAK_MB),
        ("analysis' peak MB", seen.peak["analysis"], ANALYSIS_PEAK_MB),
    ):
        missed += peak >= limit
        print(f"  {name:18} {peak:6.0f}  bar {limit:5.0f}  {'met' if peak < limit else 'MISSED'}")
    print(
        "  WRONG counts: " + ", ".join(seen.wrong)
        if seen.wrong
        else "  counts, sums of ids and races equal the truth"
    )
    return int(bool(seen.wrong) or missed > 0)


if __name__ == "__main__":
    if "--job" in sys.argv:
        job(sys.argv[2], sys.argv[3])
    else:
        sys.exit(main())
