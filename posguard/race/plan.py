"""What a reproduction is about to do: the plan that a dry run shows and a confirmed run carries out."""

from __future__ import annotations

from dataclasses import dataclass

from posguard.race.scenarios import RACES, Scenario

_SETTLEMENT = 3.0
# Clients in processes of their own reach the venue over HTTP or not at all.
_WIRED = frozenset({Scenario.PROCESSES})


@dataclass(frozen=True, slots=True)
class Plan:
    """Scenario, core, how often, and how fast time runs.

    threads: symbols that race at once. window: seconds that stand for the bot's 3 s of settlement. duration: seconds after
    which no further batch begins; None for no end but `runs`. http: ccxt over HTTP instead of the book in this process.
    """

    scenario: Scenario = Scenario.B
    core: str = "defective"
    runs: int = 100
    threads: int = 10
    duration: float | None = None
    seed: int = 0
    window: float = 0.03
    http: bool = False
    exchange: str = "binance"

    @property
    def pace(self) -> float:
        """The share of the bot's real waits."""
        return self.window / _SETTLEMENT

    @property
    def over_http(self) -> bool:
        """Whether the venue is reached over HTTP."""
        return self.http or self.scenario in _WIRED

    @property
    def processes(self) -> bool:
        """Whether the two signals come from two processes."""
        return self.scenario is Scenario.PROCESSES

    @property
    def actors(self) -> str:
        """Who acts at the same time."""
        return RACES[self.scenario].told
