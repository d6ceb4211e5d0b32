"""The pages as HTML: nothing unescaped, no script, nothing from elsewhere, and one sheet that the policy allows."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from posguard.errors import SchemaError
from posguard.model.finding import EventKind, FindingEvent, FindingState, Kind, Severity
from posguard.model.log_statistics import Hole, Latency, Statistics
from posguard.model.plan import Change, LeftOut, LineState, PlanState
from posguard.model.quality import Outcome
from posguard.model.race import Actor, Confidence, Create, Mark, Moment, Race, Scenario
from posguard.model.scope import Scope
from posguard.postgres.planlists import PlanSummary
from posguard.report import render
from posguard.report.read import KnownFinding, KnownPlan, KnownRun
from posguard.report.render import Asked, Page
from posguard.report.view import Known
from tests.fixtures.known import AT, known, result, stored_finding, stored_run, verdict
from tests.fixtures.plans import key, order_line, row_line, stored_plan

NASTY = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}"
PAGE = Page(at=AT, base="/posguard")
LOST = (f"positions: {NASTY}",)


def hostile():
    """Every text that somebody else can write, hostile at once."""
    finding = stored_finding(
        symbol=NASTY,
        exchange=NASTY,
        account=NASTY,
        title=NASTY,
        database=({"id": NASTY, NASTY: NASTY},),
        venue=({"order_id": NASTY},),
        differing=(NASTY,),
        evidence=(NASTY,),
        repair=NASTY,
        reason=NASTY,
        state=FindingState.ACKNOWLEDGED,
    )
    bad = result(
        outcome=Outcome.VIOLATION,
        title=NASTY,
        owner=NASTY,
        message=NASTY,
        query=NASTY,
        failing=1,
        failing_keys=(NASTY,),
    )
    run = stored_run(venues=[verdict(reasons=LOST)], notes=(NASTY,), external_id=NASTY, world=NASTY)
    return known(run, [finding], results=(bad,), results_of=100), finding, run, bad


ACTION = {
    "at": AT,
    "event": NASTY,
    "actor": NASTY,
    "client_order_id": NASTY,
    "row_id": 1,
    "detail": {"reason": NASTY},
}


def hostile_plan():
    """A plan that ended badly, every text of it hostile."""
    about = {"why": NASTY, "cost": NASTY, "evidence": (NASTY,), "fingerprint": NASTY, "key": key(NASTY)}
    change = Change(NASTY, NASTY, NASTY)
    return stored_plan(
        row_line(**about, changes=(change,)),
        order_line(**about, changes=(change,), fallback=(change,)),
        state=PlanState.APPLYING,
        ends=((LineState.FAILED, NASTY, None), (LineState.UNRESOLVED, NASTY, None)),
        created_by=NASTY,
        left_out=(LeftOut(key(NASTY), NASTY, NASTY),),
        inconclusive=(NASTY,),
        notes=(NASTY,),
        worlds={NASTY: NASTY},
        backup=NASTY,
    )


def listed(**more):
    """A plan in a list."""
    stored = hostile_plan()
    plan = stored.plan
    values = {
        "id": stored.id,
        "code": stored.code,
        "mode": plan.options.mode,
        "options": replace(plan.options, scope=Scope(NASTY, NASTY)),
        "worlds": plan.worlds,
        "state": stored.state,
        "source": NASTY,
        "created_at": plan.created_at,
        "created_by": NASTY,
        "expires_at": plan.expires_at,
        "started_at": stored.started_at,
        "started_by": NASTY,
        "finished_at": None,
        "backup": NASTY,
        "backup_checksum": NASTY,
        "lines": 2,
        "done": 0,
        "irreversible": 1,
        "trouble": 2,
    }
    return PlanSummary(**(values | more))


def hostile_race():
    """A race whose lines hold what somebody could write into a log."""
    create = Create(AT, AT, Actor.SIGNAL, 7, NASTY, NASTY, NASTY, NASTY, 1, (NASTY,))
    later = replace(create, at=AT + timedelta(milliseconds=34), position_id=None)
    moment = Moment(AT, Actor.SIGNAL, Mark.CREATE, NASTY, 7, NASTY, NASTY, 1, (NASTY,))
    return Race(
        AT + timedelta(seconds=1), NASTY, NASTY, NASTY, "Europe/Berlin", True, Scenario.B, Confidence.HIGH, NASTY,
        (create, later), (moment,), (1,),
    )  # fmt: skip


def hostile_numbers():
    """The numbers of a log whose names are hostile."""
    counted = {NASTY: 3}
    return Statistics(
        1, 2, 3, 4, 5, 6, counted, counted, {AT: 1}, 0.5, 12.0, (0.3, 66.9), counted, {NASTY: Latency(1, 2.0, 3.0, 4.0, 5.0)},
        counted, counted, (Hole(NASTY, AT, AT + timedelta(hours=1)),), AT, AT, timedelta(hours=2),
    )  # fmt: skip


def pages():
    what, finding, run, bad = hostile()
    event = FindingEvent(1, AT, EventKind.CHANGED, 100, NASTY, NASTY)
    asked = Asked(symbol=NASTY, kind=(NASTY,))
    return {
        "overview": render.overview(what, PAGE),
        "file": render.overview(what, render.file_page(AT)),
        "list": render.finding_list(what, [finding], asked, PAGE),
        "finding": render.one_finding(what, KnownFinding(finding, (event,)), PAGE),
        "race": render.one_finding(what, KnownFinding(finding, (event,), (), hostile_race()), PAGE),
        "races": render.race_list(what, [(7, hostile_race())], PAGE),
        "log": render.log_report([hostile_race()], hostile_numbers(), render.file_page(AT), damage=(NASTY,)),
        "runs": render.run_list(what, [run], PAGE),
        "run": render.one_run(what, KnownRun(run, ((event, finding),), (bad,)), PAGE),
        "plans": render.plan_list(what, [listed()], PAGE, backups=[listed()]),
        "plan": render.one_plan(what, KnownPlan(hostile_plan(), (ACTION,), {NASTY: 4}), PAGE),
        "problem": render.problem(SchemaError(NASTY, hint=NASTY), PAGE),
        "absent": render.overview(Known(AT), PAGE),
    }


class Elements(HTMLParser):
    """What a browser would make of a text: the elements with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("name", list(pages()))
def test_nothing_that_others_wrote_becomes_an_element(name):
    html = pages()[name]
    tags = {tag for tag, _ in Elements(html).found}
    assert tags.isdisjoint({"script", "img", "iframe", "object", "base"})
    if name != "absent":
        assert "&lt;script&gt;" in html
        assert "{{ 7*7 }}" in html


@pytest.mark.parametrize("name", list(pages()))
def test_no_page_needs_the_network_a_script_or_a_style_attribute(name):
    for tag, attributes in Elements(pages()[name]).found:
        assert "style" not in attributes, tag
        assert not [a for a in attributes if a.startswith("on")], tag
        for target in ("href", "src", "action"):
            assert attributes.get(target, "/").startswith(("/posguard/", "/", "#")), attributes
            assert not attributes.get(target, "/").startswith("//"), attributes


def test_the_file_carries_its_sheet_and_a_policy_that_allows_that_sheet_alone():
    html = render.overview(known(findings=[stored_finding()]), render.file_page(AT))
    sheet = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert f"style-src &#39;sha256-{digest}&#39;" in html
    assert "default-src &#39;none&#39;" in html
    assert not re.search(r"(?:href|src)=\"[^#]", html)


def test_links_stay_under_the_base():
    html = render.overview(known(findings=[stored_finding()]), PAGE)
    targets = set(re.findall(r"(?:href|action)=\"([^\"]+)\"", html))
    assert "/posguard/findings/1" in targets
    assert all(target.startswith(("/posguard/", "#")) for target in targets)


def test_inconclusive_is_grey_and_named_and_never_clear():
    run = stored_run(venues=[verdict(reasons=("HTTP 524",)), verdict("bybit")])
    html = render.overview(known(run, [stored_finding(last_run=99)]), PAGE)
    assert html.count("not judged in the last run") == 2  # at the top and in the list
    assert 'class="hero inconclusive"' in html
    assert "INCONCLUSIVE" in html
    assert 'class="hero clear"' not in html
    assert "binance: HTTP 524" in html
    assert "What to do" in html


def test_world_and_age_stand_on_every_page_and_demo_data_says_so():
    demo = known(demo=True, findings=[stored_finding()])
    for html in (
        render.overview(demo, PAGE),
        render.finding_list(demo, [], Asked(), PAGE),
        render.run_list(demo, [], PAGE),
        render.one_finding(demo, KnownFinding(stored_finding(), ()), PAGE),
    ):
        assert "DEMO DATA" in html
        assert "binance <b>testnet</b>" in html
        assert "data <b>7 min old</b>" in html
    assert "DEMO DATA" not in render.overview(known(), PAGE)


def test_a_command_that_is_not_built_is_marked_and_a_missing_one_says_so():
    built = stored_finding(1, repair_built=True)
    unbuilt = stored_finding(2, repair_built=False)
    none = stored_finding(3, Kind.UNKNOWN_STATUS, Severity.WARNING, repair="")
    html = {f.id: render.one_finding(known(), KnownFinding(f, ()), PAGE) for f in (built, unbuilt, none)}
    assert "not built yet" not in html[1]
    assert "not built yet" in html[2]
    assert "No automatic repair" in html[3]
    assert "runbook.md#unknown-status" in html[3]


def test_of_several_commands_each_stands_alone_and_what_takes_a_word_says_so():
    where = "--symbol APTUSDT --exchange binance"
    commands = {
        1: f"posguard cleanup orphaned-ex {where} --action close\nposguard cleanup orphaned-ex {where} --action adopt",
        2: f"posguard cleanup orphaned-db {where} --accept-absence",
        3: f"posguard cleanup incomplete {where} --age 1m",
    }
    html = {
        n: render.one_finding(known(), KnownFinding(stored_finding(n, repair=repair), ()), PAGE)
        for n, repair in commands.items()
    }
    for command in commands[1].splitlines():
        assert f'<pre tabindex="0"><code>{command}</code></pre>' in html[1]
    assert "one of these" in html[1]
    assert "known whose the position is" in html[1]
    assert "action <code>close or adopt</code>" in html[1]
    assert "Nothing proves that the position is gone" in html[2]
    assert "on the command line alone" in html[2]
    assert "trigger the DAG" not in html[2]
    assert "mode <code>incomplete</code>, least age in hours <code>0.01</code>" in html[3]
    assert "one of these" not in html[3]


def test_what_is_not_asked_for_is_refused_quietly():
    asked = Asked(state="nonsense", severity="nonsense", kind=("nonsense", "zombie_order"))
    assert asked.severities == ()
    assert asked.kinds == (Kind.ZOMBIE_ORDER,)
    assert FindingState.RESOLVED not in asked.states
    assert Asked(state="any").states == ()


def test_a_finding_leads_to_its_plans_and_a_plan_to_its_findings():
    stored = stored_finding(4)
    html = render.one_finding(known(), KnownFinding(stored, (), (listed(id=12),)), PAGE)
    assert 'href="/posguard/plans/12"' in html
    assert "mode <code>orphaned-db</code>, exchange <code>binance</code>, symbol <code>APTUSDT</code>" in html
    assert "No plan is about this finding yet" in render.one_finding(known(), KnownFinding(stored, ()), PAGE)
    found = KnownPlan(stored_plan(row_line()), (), {row_line().fingerprint: 4})
    assert 'href="/posguard/findings/4"' in render.one_plan(known(), found, PAGE)


def test_a_production_plan_says_how_production_is_named():
    html = render.one_plan(known(), KnownPlan(stored_plan(row_line(), world="production"), (), {}), PAGE)
    assert "production <code>0123456789abcdef</code>" in html
    assert "--production 0123456789abcdef" in html


def test_an_expired_plan_offers_no_code():
    late = Page(at=AT + timedelta(hours=1), base="/posguard")
    stored = stored_plan(row_line())
    assert stored.code in render.one_plan(known(), KnownPlan(stored, (), {}), PAGE)
    assert stored.code not in render.one_plan(known(), KnownPlan(stored, (), {}), late)


def test_a_plan_on_a_person_s_word_is_for_the_command_line_alone():
    stored = stored_plan(row_line(accepts_absence=True))
    html = render.one_plan(known(), KnownPlan(stored, (), {}), PAGE)
    assert f"posguard cleanup --confirm {stored.code} --rows 1" in html
    assert "on the command line alone" in html
    assert "Trigger the DAG" not in html


def test_an_analysis_that_is_not_conclusive_is_never_called_clear():
    for races, unknown, hero in (
        ((), (), "clear"),
        ((), (NASTY,), "inconclusive"),
        ((hostile_race(),), (NASTY,), "critical"),
    ):
        text = render.log_report(races, hostile_numbers(), render.file_page(AT), unknown=unknown)
        assert f'class="hero {hero}"' in text
        assert ("There may be more" in text) is bool(unknown)


def test_alerts_that_reached_nobody_are_said_on_the_first_page_and_others_are_not():
    said = render.overview(replace(known(), unsent=2, unsent_since=AT), PAGE)
    assert "2 messages of alerts reached nobody yet" in said
    assert "<code>posguard alerts list</code>" in said
    assert "reached nobody" not in render.overview(known(), PAGE)
