"""Sections 7 to 9 of the report: races, errors, latency. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.audit.parts import about, grid_or, moment, number
from posguard.audit.tables import tables
from posguard.model.audit import Area
from posguard.report.document import Heading, Section, Text
from posguard.report.lanes import spell_gap
from posguard.settings import redact

if TYPE_CHECKING:
    from posguard.audit.build import Audit
    from posguard.report.document import Block

_ERRORS = 30


def races(audit: Audit) -> Section:
    """Section 7."""
    facts = audit.facts
    rows = [
        (
            moment(known.race.at),
            known.race.symbol or "–",
            known.race.exchange or "–",
            "duplicate-key error" if known.race.surfaced else "double create, no error",
            str(known.race.scenario),
            str(known.race.confidence),
            ", ".join(f"#{row}" for row in known.race.row_ids) or "–",
            spell_gap(known.race.window) if known.race.window is not None else "–",
        )
        for known in facts.races
    ]
    if facts.log_whole:
        empty = "No race."
    elif facts.log_read:
        empty = "No race in the part of the log that was read. For the rest nobody knows; section 2 says which part."
    else:
        empty = "Not known: without the bot's log no race can be seen."
    columns = ("When", "Symbol", "Exchange", "What", "Scenario", "Confidence", "Rows", "Apart")
    return Section(
        7,
        "Races",
        "races",
        (
            grid_or(rows, columns, empty),
            *tables(facts, "races", "duplicate_key_errors", "simultaneous"),
            about(audit, Area.RACES),
        ),
    )


def errors(audit: Audit) -> Section:
    """Section 8."""
    facts = audit.facts
    of_events = [
        (
            redact(one.sample),
            one.kind,
            str(one.count),
            ", ".join(one.exchanges) or "–",
            moment(one.first),
            moment(one.last),
        )
        for one in facts.rows.errors[:_ERRORS]
    ]
    columns = ("What it says", "Kind", "Times", "Exchange", "First", "Last")
    events_empty = (
        "Not known: the events cannot be read." if "error_groups" in facts.rows.missing else "None."
    )
    blocks: list[Block] = [
        Heading("In the bot's events"),
        grid_or(of_events, columns, events_empty, numeric=(2,)),
        Heading("In its log"),
    ]
    if facts.log is None:
        blocks.append(Text("No log was read.", "dim"))
    else:
        told = [
            (
                redact(one.sample),
                one.kind,
                str(one.count),
                one.location or "–",
                moment(one.first),
                moment(one.last),
            )
            for one in facts.log.errors[:_ERRORS]
        ]
        blocks.append(
            grid_or(
                told,
                ("What it says", "Kind", "Times", "Where in the code", "First", "Last"),
                "None.",
                numeric=(2,),
            )
        )
    blocks += tables(facts, "errors")
    blocks.append(about(audit, Area.ERRORS, Area.DATA))
    return Section(8, "Errors", "errors", tuple(blocks))


def latency(audit: Audit) -> Section:
    """Section 9."""
    log = audit.facts.log
    blocks: list[Block] = []
    if log is not None:
        rows = [
            (name, str(one.count), *(number(value) for value in (one.p50, one.p95, one.p99, one.worst)))
            for name, one in log.statistics.latency.items()
        ]
        blocks.append(
            grid_or(
                rows,
                ("By the log, in milliseconds", "Count", "P50", "P95", "P99", "Longest"),
                "The log names no latency.",
                numeric=(1, 2, 3, 4, 5),
            )
        )
    else:
        blocks.append(Text("No log was read, so it tells of no latency.", "dim"))
    blocks += tables(audit.facts, "latency")
    blocks.append(Heading("The database"))
    if audit.facts.present:
        blocks += tables(audit.facts, "database", "tables", "statements", "locks", "indexes")
    else:
        blocks.append(Text("What it does now says nothing of a window that is past.", "dim"))
    blocks.append(about(audit, Area.PERFORMANCE))
    return Section(9, "Latency and throughput", "latency", tuple(blocks))
