"""The runbook's sections as the page shows them."""

from __future__ import annotations

import pytest

from posguard.model.finding import Kind
from posguard.report import runbook
from tests.fixtures.known import stored_finding


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_finding_has_its_section(kind):
    html = runbook.section(stored_finding(kind=kind).finding.runbook)
    assert html.startswith("<")
    assert len(html) > 200


def test_a_section_ends_where_the_next_begins_and_raw_html_stays_text(monkeypatch):
    text = "# Book\n\n## Side mismatch\n\nStop <script>alert(1)</script> *now*.\n\n### First\n\n`a`\n\n## Other\n\nNo.\n"
    monkeypatch.setattr(runbook, "_text", lambda: text)
    html = runbook.section("side-mismatch")
    assert "<em>now</em>" in html
    assert "&lt;script&gt;" in html
    assert "<code>a</code>" in html
    assert "No." not in html
    assert runbook.section("nothing-of-it") == ""
