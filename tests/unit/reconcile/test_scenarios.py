"""Every line of docs/scenarios.md, as it stands on the page."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from posguard.model.finding import RECONCILED_KINDS
from posguard.reconcile.compare import compare
from tests.unit.reconcile.scenario import lines, situation

LINES = lines()
_QUOTED = re.compile(r'(skipped|inconclusive|says|kept) "(.+)"')


@pytest.mark.parametrize("line", LINES, ids=str)
def test_line(line):
    found = compare(situation(line))
    told = [part.strip() for part in re.split(r';(?=(?:[^"]*"[^"]*")*[^"]*$)', line.found)]
    wanted = Counter(part for part in told if not _QUOTED.fullmatch(part) and part != "nothing")
    seen = Counter(f"{f.kind} {f.severity} {f.proof} {_subject(f)}".strip() for f in found.findings)
    assert seen == wanted
    skipped = " / ".join(part.reason for part in found.skipped)
    reasons = " / ".join(reason for v in found.verdicts for reason in v.reasons)
    notes = " / ".join(note for note in found.notes if "not every snapshot shows" in note)
    assert bool(notes) is ("kept" in line.found)
    assert not notes or found.inconclusive_keys
    texts = " / ".join(text for f in found.findings for text in (f.title, *f.evidence))
    for what, text in (_QUOTED.fullmatch(part).groups() for part in told if _QUOTED.fullmatch(part)):
        assert text in {"skipped": skipped, "inconclusive": reasons, "says": texts, "kept": notes}[what]
    if "inconclusive" not in line.found:
        assert not reasons
    if "skipped" not in line.found and "inconclusive" not in line.found and "unresolved" not in line.found:
        assert not skipped
    assert found.rows_read == found.rows_compared + sum(len(part.row_ids) for part in found.skipped)


def _subject(finding):
    return f"#{finding.subject}" if finding.subject.isdecimal() else finding.subject


def test_the_page_has_a_line_for_every_kind():
    told = {word for line in LINES for word in line.found.split()}
    assert {kind.value for kind in RECONCILED_KINDS} <= told
    assert len(LINES) > 120
