"""The report: fifteen sections in Markdown and HTML, nothing in it but what was found, and no text that becomes markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from posguard.audit.build import build, document
from posguard.audit.notes import Notes
from posguard.audit.save import save
from posguard.model.audit import BrokenLife, ErrorGroup, EventCount, Gap
from posguard.model.quality import Outcome
from posguard.postgres.audit import LoadedLog, RowFacts
from posguard.report.document import Numbers, from_plain, to_plain
from posguard.report.documents import document_page
from posguard.report.markdown import inline, markdown, paragraph
from posguard.report.render import Page, file_page
from tests.fixtures.audited import facts, hours
from tests.fixtures.known import AT, result, stored_finding, stored_run, verdict

NASTY = (
    "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}|[x](javascript:alert(1))`<b>`\n# h"
)


def hostile():
    """Every text that somebody else can write, hostile at once."""
    finding = stored_finding(
        symbol=NASTY,
        exchange=NASTY,
        account=NASTY,
        title=NASTY,
        evidence=(NASTY,),
        repair=NASTY,
        reason=NASTY,
    )
    bad = result(
        outcome=Outcome.VIOLATION, title=NASTY, message=NASTY, query=NASTY, failing=1, failing_keys=(NASTY,)
    )
    rows = RowFacts(
        hours=hours(opened=50, rolled_back=10, closed=1, broken_off=1, open_at_end=1, events=5),
        events=(EventCount(NASTY, 1, AT, AT, (1,)),),
        errors=(ErrorGroup("events", NASTY, 1, AT, AT, kind=NASTY, symbols=(NASTY,), exchanges=(NASTY,)),),
        lives=(BrokenLife(1, NASTY, NASTY, AT, NASTY),),
        missing={"error_groups": NASTY},
    )
    run = stored_run(venues=[verdict(reasons=(NASTY,))], notes=(NASTY,))
    notes = Notes(NASTY, {hours()[0].start: NASTY})
    gaps = (Gap(NASTY, NASTY, NASTY),)
    told = facts(
        database=NASTY,
        findings=(finding,),
        results=(bad,),
        rows=rows,
        run=run,
        runs=(run,),
        gaps=gaps,
        demo=True,
    )
    return document(build(told, notes))


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.hrefs = getattr(self, "hrefs", []) + [v for n, v in attrs if n in {"href", "src"}]

    def handle_data(self, data):
        self.text.append(data)


def test_no_text_becomes_markup_in_html():
    for page in (file_page(AT), Page(at=AT, base="/posguard")):
        html = document_page(hostile(), page, number=3)
        seen = Tags()
        seen.feed(html)
        assert not seen.tags & {
            "script",
            "img",
            "b" if page.inline_style else "iframe",
            "iframe",
            "object",
        } - {"b"}
        assert not {name for name in seen.attributes if name.startswith("on")} | (seen.attributes & {"style"})
        assert all(link.startswith(("#", "/posguard")) for link in seen.hrefs)
        assert "<script" not in html
        assert "<img" not in html
        assert "49" not in re.findall(r"7\*7|\b49\b", html)
        assert "alert(1)" in "".join(seen.text)


def test_no_text_becomes_markup_in_markdown():
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown(hostile()))
    seen = Tags()
    seen.feed(html)
    assert not seen.tags & {"script", "img", "b"}
    assert all(link.startswith("#") for link in seen.hrefs)
    assert "alert(1)" in "".join(seen.text)
    assert len(re.findall(r"<h1>", html)) == 1


def test_a_line_of_markdown_stays_a_line_of_its_kind():
    assert inline("a_b `x_y` 1 < 2 | 3") == "a_b `x_y` 1 \\< 2 \\| 3"
    assert paragraph("# no heading") == "\\# no heading"
    assert paragraph("1. no list") == "1\\. no list"
    assert paragraph("- no list") == "\\- no list"


def test_fifteen_sections_and_an_appendix_in_both_with_every_issue(tmp_path):
    made = build(facts(findings=(stored_finding(1), stored_finding(2, symbol="ARBUSDT"))))
    saved = save(document(made), tmp_path / "deep")
    text = saved.markdown.read_text(encoding="utf-8")
    assert re.findall(r"^## (\d+)\. ", text, re.MULTILINE) == [str(n) for n in range(1, 16)]
    assert "\n## Appendix\n" in text
    html = saved.html.read_text(encoding="utf-8")
    assert html.count('<section class="part"') == 16
    assert 'id="issue-1"' in html
    assert "posguard cleanup orphaned-db --symbol APTUSDT --exchange binance" in html
    assert "Content-Security-Policy" in html


def test_a_stored_document_is_the_same_document():
    made = hostile()
    assert from_plain(json.loads(json.dumps(to_plain(made)))) == made


def test_what_nobody_knows_is_a_dash_and_never_zero():
    unknown = facts(
        rows=RowFacts(hours=hours(), missing={"positions_by_hour": "no column"}), run=None, findings=None
    )
    made = document(build(unknown))
    text = markdown(made)
    assert "| opened | – |" in text
    assert "| positions that no live stop protects | – |" in text
    assert "Profit and loss has no source" in text
    assert "Nobody knows what was opened and closed." in text
    assert "Not known: without the bot's log no race can be seen." in text


def numbers_of(told):
    """The tiles of the summary: label → value."""
    (summary, *_) = document(build(told, Notes())).sections
    tiles = next(block for block in summary.blocks if isinstance(block, Numbers))
    return {label: value for label, value, _ in tiles.numbers}


@pytest.mark.parametrize(
    ("loaded", "gaps", "tile", "said"),
    [
        (True, (), ("races", "0"), "No race."),
        (
            True,
            (Gap("the log after 19:00", "x", of_log=True),),
            ("races, in what was read of the log", "0"),
            "nobody knows",
        ),
        (False, (Gap("no log of the bot", "x", of_log=True),), ("races", "–"), "Not known"),
    ],
)
def test_no_race_is_said_only_where_the_whole_log_was_read(loaded, gaps, tile, said):
    log = (LoadedLog("bot", 5, AT, AT),) if loaded else ()
    told = facts(log=None, loaded=log, gaps=gaps)
    assert numbers_of(told)[tile[0]] == tile[1]
    section = markdown(document(build(told, Notes()))).split("## 7. Races")[1].split("## 8.")[0]
    assert said in section
