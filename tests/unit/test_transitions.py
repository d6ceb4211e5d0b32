"""The legal changes of status: complete, closed at the end, and every status reachable and leavable."""

from __future__ import annotations

import itertools

import pytest

from posguard.model.position import INTERMEDIATE, TERMINAL, Status, is_open
from posguard.model.transitions import BIRTHS, EDGES, may_become


def reachable(start):
    seen, ahead = set(start), list(start)
    while ahead:
        fresh = EDGES[ahead.pop()] - seen
        seen |= fresh
        ahead += fresh
    return seen


def test_every_status_has_its_edges_and_none_leads_outside():
    assert set(EDGES) == set(Status)
    assert set(Status) == INTERMEDIATE | TERMINAL | {Status.ACTIVE}
    assert not INTERMEDIATE & TERMINAL


def test_a_terminal_status_is_never_left():
    assert all(not EDGES[status] for status in TERMINAL)


def test_every_status_can_be_reached_from_a_birth_and_can_end():
    assert reachable(BIRTHS) == set(Status)
    for status in Status:
        assert reachable({status}) & TERMINAL, status


def test_the_way_of_a_position_that_goes_well_is_legal():
    way = ["pending_entry", "submitting", "entry_placed", "pending_sl", "active", "closing", "closed"]
    steps = [None, *map(Status, way)]
    assert all(may_become(before, after) for before, after in itertools.pairwise(steps))


def test_nothing_that_was_sent_is_sent_again():
    assert {status for status in Status if Status.SUBMITTING in EDGES[status]} == {Status.PENDING_ENTRY}
    assert Status.PENDING_ENTRY not in reachable({Status.SUBMITTING})


def test_what_was_protected_never_counts_as_never_opened():
    for status in (Status.PENDING_SL, Status.ACTIVE, Status.CLOSING):
        assert Status.FAILED not in EDGES[status]


@pytest.mark.parametrize("status", Status)
def test_staying_is_legal_and_birth_is_of_open_rows_only(status):
    assert may_become(status, status)
    assert not may_become(None, status) or is_open(status)
