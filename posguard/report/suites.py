"""Suite results as people read them, what needs eyes first. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.model.quality import Outcome
from posguard.report.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from posguard.model.quality import ExpectationResult

_EYES_FIRST = (Outcome.VIOLATION, Outcome.ERROR, Outcome.PASS, Outcome.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True)
class Suite:
    """The results of one suite, what needs eyes first; `strips` maps an expectation to its last results, oldest first."""

    name: str
    summary: str
    results: tuple[ExpectationResult, ...]
    strips: Mapping[str, tuple[Outcome, ...]]

    @property
    def loud(self) -> tuple[ExpectationResult, ...]:
        """Violations and errors."""
        return tuple(r for r in self.results if r.result in {Outcome.VIOLATION, Outcome.ERROR})

    @property
    def quiet(self) -> tuple[ExpectationResult, ...]:
        """What passed or does not apply."""
        return tuple(r for r in self.results if r.result not in {Outcome.VIOLATION, Outcome.ERROR})

    @property
    def quiet_summary(self) -> str:
        """What the quiet ones amount to: `5 passed, 1 not applicable`."""
        return outcomes_text(self.quiet)


def suites(
    results: Iterable[ExpectationResult], strips: Mapping[tuple[str, str], tuple[Outcome, ...]] | None = None
) -> tuple[Suite, ...]:
    """The results by suite, in the order of their names."""
    grouped: dict[str, list[ExpectationResult]] = {}
    for result in results:
        grouped.setdefault(result.suite, []).append(result)
    past = strips or {}
    return tuple(
        Suite(
            name=name,
            summary=outcomes_text(grouped[name]),
            results=tuple(
                sorted(
                    grouped[name], key=lambda r: (_EYES_FIRST.index(r.result), r.severity.rank, r.expectation)
                )
            ),
            strips={r.expectation: past.get((name, r.expectation), ()) for r in grouped[name]},
        )
        for name in sorted(grouped)
    )


def outcomes_text(results: Iterable[ExpectationResult]) -> str:
    """`2 violations, 1 error, 12 passed`: each kind of outcome for itself."""
    number = Counter(result.result for result in results)
    parts = [
        (number[Outcome.VIOLATION], plural(number[Outcome.VIOLATION], "violation")),
        (number[Outcome.ERROR], plural(number[Outcome.ERROR], "error")),
        (number[Outcome.PASS], f"{number[Outcome.PASS]} passed"),
        (number[Outcome.NOT_APPLICABLE], f"{number[Outcome.NOT_APPLICABLE]} not applicable"),
    ]
    return ", ".join(text for count, text in parts if count)
