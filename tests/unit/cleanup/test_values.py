"""Exact JSON, legal ways between statuses, codes as people type them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posguard.model.exact_json import dumps, loads
from posguard.model.plan import spelled_code
from posguard.model.position import Status
from posguard.model.transitions import EDGES, path


@pytest.mark.parametrize(
    "text", ['{"q":61.80000000,"n":{"x":0.1234567890123456789},"t":"1.50","u":null,"l":[1,2.50]}', "[]"]
)
def test_json_keeps_every_digit(text):
    assert dumps(loads(text)) == text


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_what_goes_in_comes_out(value):
    back = loads(dumps(value))
    assert str(back).replace("Decimal", "") == str(back).replace("Decimal", "")
    assert loads(dumps(back)) == back


def test_a_text_that_looks_like_a_number_stays_a_text():
    assert loads(dumps({"a": "1.0", "b": Decimal("1.0")})) == {"a": "1.0", "b": Decimal("1.0")}


def test_every_step_of_a_way_is_legal_and_sends_nothing():
    for before in Status:
        for after in Status:
            way = path(before, after)
            assert way[-1] == after
            if len(way) == 1:
                continue
            for one, two in zip((before, *way), way, strict=False):
                assert Status(two) in EDGES[Status(one)]
            assert not {Status.SUBMITTING, Status.UNRESOLVED} & set(way[:-1])
    assert path("active", "rolled_back") == ("closing", "rolled_back")
    assert path("exiting", "closed") == ("closed",)


@pytest.mark.parametrize("typed", ["abcd-efgh", "ABCDEFGH", " ab cd ef gh "])
def test_a_code_is_read_however_it_is_typed(typed):
    assert spelled_code(typed) == "ABCD-EFGH"
