"""`make reliability`: everything that shows what the core promises, in its long form, part by part; one table at the end.

All of it runs, whatever goes wrong on the way; 1 where anything did. PARTS=races,explore runs those alone, POSGUARD_SEED
repeats what is drawn, ARGS goes to pytest.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
_PASSED = re.compile(r"=.* (\d+) passed.* in ")
_OUTSIDE = {
    "cleanup": ("test_cleanup_writer", "test_cleanup_kills"),
    "schedules": ("test_explore",),
}


@dataclass(frozen=True)
class Part:
    """A command, and under what name its figures stand in the table."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """How a part ended: its exit code, seconds, and the figures that it left."""

    part: Part
    code: int
    seconds: float
    figures: tuple[dict[str, object], ...]

    @property
    def red(self) -> bool:
        """Whether it failed, or anything in it went bad."""
        return bool(self.code or any(figure["bad"] for figure in self.figures))


def parts() -> list[Part]:
    """One for each file of the suite, those of the cleanup as one, then the tools of the races and the explorer."""
    pytest = (sys.executable, "-u", "-m", "pytest", "-v", "--no-header", "--tb=short")
    more = tuple(shlex.split(os.environ.get("ARGS", "")))
    grouped = [stem for stems in _OUTSIDE.values() for stem in stems]
    files = sorted((ROOT / "tests" / "reliability").glob("test_*.py"))
    own = {path.stem.removeprefix("test_"): (path.stem,) for path in files if path.stem not in grouped}
    found = [
        Part(name, (*pytest, *(f"tests/reliability/{stem}.py" for stem in stems), *more))
        for name, stems in {**own, **_OUTSIDE}.items()
    ]
    tools = ("reliability_races", "reliability_explore")
    return found + [Part(tool.split("_")[1], (sys.executable, "-u", f"tools/{tool}.py")) for tool in tools]


def chosen(named: str) -> list[Part]:
    """The parts of a list of names; all of them for none."""
    every = parts()
    wanted = [name.strip() for name in named.split(",") if name.strip()]
    known = {part.name for part in every}
    if unknown := [name for name in wanted if name not in known]:
        sys.exit(f"posguard: no part {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [part for part in every if not wanted or part.name in wanted]


def run(part: Part, kept: Path, began: float) -> Ended:
    """One part, each of its lines with the time since the beginning of all."""
    figures = kept / f"{part.name}.jsonl"
    environment = {**os.environ, "POSGUARD_RELIABILITY": "long", "POSGUARD_FIGURES": str(figures)}
    start, passed = time.monotonic(), 0
    # In a group of its own: of Ctrl+C it hears once, from here. A second time would break off its tidying up.
    with subprocess.Popen(
        part.command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.strip():
                    print(f"{clock(began)}  {line.rstrip()}")
                if found := _PASSED.search(line):
                    passed = int(found[1])
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            raise
    lines = figures.read_text().splitlines() if figures.exists() else []
    told = [json.loads(line) for line in lines]
    if passed:
        told.append({"what": "tests", "done": passed, "bad": 0, "note": "passed"})
    return Ended(part, process.returncode, time.monotonic() - start, tuple(told))


def clock(began: float) -> str:
    """Hours, minutes and seconds since then."""
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def table(ended: list[Ended]) -> str:
    """What was done how often, and how much of it went bad, for every part."""
    lines = [("part", "what", "done", "bad", "")]
    for one in ended:
        lines += [
            (one.part.name, str(f["what"]), str(f["done"]), str(f["bad"]), str(f["note"]))
            for f in one.figures
        ]
        if one.code:
            lines.append((one.part.name, f"ENDED WITH {one.code}", "", "", "look above"))
    wide = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        f"{a:{wide[0]}}  {b:{wide[1]}}  {c:>{wide[2]}}  {d:>{wide[3]}}  {note}".rstrip()
        for a, b, c, d, note in lines
    )


def main() -> int:
    """Runs what PARTS names, or everything."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    seed = os.environ.setdefault("POSGUARD_SEED", str(secrets.randbelow(2**31)))
    todo, ended, began = chosen(os.environ.get("PARTS", "")), [], time.monotonic()
    print(f"reliability, long form, POSGUARD_SEED={seed}: {', '.join(part.name for part in todo)}")
    try:
        with TemporaryDirectory(prefix="posguard-figures-") as kept:
            for number, part in enumerate(todo, start=1):
                print(f"{clock(began)}  == part {number} of {len(todo)}: {part.name}")
                ended.append(run(part, Path(kept), began))
                verdict = "RED" if ended[-1].red else "green"
                print(f"{clock(began)}  == {part.name}: {verdict} after {ended[-1].seconds:.0f} s")
    except KeyboardInterrupt:
        print("posguard: interrupted; what ran until then:", file=sys.stderr)
    print(f"\n{table(ended)}\n")
    red = [one.part.name for one in ended if one.red]
    if red or len(ended) < len(todo):
        missing = [part.name for part in todo[len(ended) :]]
        told = [f"red: {', '.join(red)}" if red else "", f"not run: {', '.join(missing)}" if missing else ""]
        print(f"posguard: {'; '.join(filter(None, told))} (POSGUARD_SEED={seed} repeats it)", file=sys.stderr)
        return 1
    print(f"reliability: green in {clock(began)} (POSGUARD_SEED={seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
