"""The shipped patterns, each with its own example, and what is said about a wrong one."""

from __future__ import annotations

import pytest

from posguard.errors import LogError
from posguard.logs.finder import SET, Finder
from posguard.logs.patterns import load_patterns
from posguard.logs.reader import Block
from posguard.logs.scan import Scanner, Want
from posguard.logs.zones import zone_of
from posguard.model.log_event import LogKind

PATTERNS = load_patterns()
FINDER = Finder(PATTERNS)


def scan(text: str, finder: Finder = FINDER):
    data = bytearray(text.encode())
    return Scanner(Want(finder, zone_of("UTC"))).scan(Block(data, len(data), 0)).events


@pytest.mark.parametrize(
    "header",
    ["2025-10-22 22:50:45,914 - core.x - {} - ", "2025-10-22 22:50:45.914 | {:<8} | core.x:run:3 - "],
)
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_each_example_is_known_by_its_own_pattern(pattern, header):
    level = pattern.level.decode() or "INFO"
    (event,) = scan(header.format(level) + pattern.example + "\n" + header.format("INFO") + "a line after\n")
    found = PATTERNS[event[2]]
    values = {name: event[4][event[3] + index - 1] for name, index in found.regex.groupindex.items()}
    assert found.name == pattern.name
    assert {name: value.decode() for name, value in values.items() if value is not None} == pattern.says


def test_every_kind_is_one_that_the_analysis_knows():
    assert {pattern.kind for pattern in PATTERNS} == set(LogKind)


def test_the_shipped_literals_fit_one_vectorised_set():
    assert len(FINDER.lanes) <= SET


GOOD = {
    "name": "maker",
    "kind": "maker_timeout",
    "category": "performance",
    "literal": "Maker order timed out",
    "regex": r"Maker order timed out for <symbol> after <latency_ms> ms(?:, try (?P<attempt>\\d+))?",
}


def write(path, **changes) -> str:
    fields = {key: value for key, value in (GOOD | changes).items() if value is not None}
    path.write_text("[[pattern]]\n" + "".join(f'{key} = "{value}"\n' for key, value in fields.items()))
    return str(path)


def test_a_pattern_of_ones_own_comes_before_the_shipped_ones(tmp_path):
    patterns = load_patterns(write(tmp_path / "own.toml"))
    (event,) = scan(
        "2025-10-22 22:50:45,914 - m - INFO - Maker order timed out for APTUSDT after 50 ms, try 2\n",
        Finder(patterns),
    )
    names = patterns[event[2]].regex.groupindex
    said = {name: event[4][event[3] + index - 1] for name, index in names.items()}
    assert patterns[event[2]].kind == "maker_timeout"
    assert said == {"symbol": b"APTUSDT", "latency_ms": b"50", "attempt": b"2"}
    assert len(patterns) == len(PATTERNS) + 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\nTraceback (most recent call last):\n"])
def test_a_dollar_is_the_end_of_the_line_wherever_the_record_stands(end, tmp_path):
    own = write(tmp_path / "own.toml", literal="Maker gone", regex="^Maker gone: (?P<why>[a-z$]+)$")
    patterns = load_patterns(own)
    header = "2025-10-22 22:50:45,914 - m - INFO - "
    text = f"{header}Maker gone: tired${end}{header}Maker gone: tired of it{end}{header}New order placed: 77{end}"
    gone, order = scan(text, Finder(patterns))
    assert gone[4][gone[3] + patterns[gone[2]].regex.groupindex["why"] - 1] == b"tired$"
    assert order[4][order[3] + patterns[order[2]].regex.groupindex["order_id"] - 1] == b"77"


def test_a_pattern_of_a_shipped_name_replaces_it_in_its_place(tmp_path):
    patterns = load_patterns(write(tmp_path / "own.toml", name="created"))
    assert [pattern.name for pattern in patterns] == [pattern.name for pattern in PATTERNS]
    assert next(pattern for pattern in patterns if pattern.name == "created").kind == "maker_timeout"


@pytest.mark.parametrize(
    "literal",
    [
        "Created position",
        "position #",
        "#",
        " for APTUSDT",
        "d position #2548 for A",
        "Created position #2548 for",
    ],
)
def test_a_literal_that_overlaps_a_shipped_one_is_found_all_the_same(literal, tmp_path):
    if len(literal) < 4:
        literal = "ition #25"
    path = write(tmp_path / "own.toml", literal=literal, regex="Created position #2548 for APTUSDT")
    patterns = load_patterns(path)
    (event,) = scan(
        "2025-10-22 22:50:45,914 - m - INFO - Created position #2548 for APTUSDT\n", Finder(patterns)
    )
    assert patterns[event[2]].name == "maker"


def test_every_pattern_compiles_and_its_groups_are_counted_as_the_compiler_does():
    for pattern in PATTERNS:
        assert pattern.origin == "posguard"
        assert dict(pattern.places) == dict(pattern.regex.groupindex)


def test_many_patterns_are_searched_for_in_several_sets(tmp_path):
    tables = "".join(
        f'[[pattern]]\nname = "p{n}"\nkind = "k"\ncategory = "api"\nliteral = "Shape {n}."\nregex = "Shape {n}\\\\. <symbol>"\n'
        for n in range(90)
    )
    (tmp_path / "own.toml").write_text(tables)
    patterns = load_patterns(tmp_path / "own.toml")
    finder = Finder(patterns)
    text = "".join(f"2025-10-22 22:50:45,914 - m - INFO - Shape {n}. APTUSDT\n" for n in range(90))
    assert [patterns[event[2]].name for event in scan(text, finder)] == [f"p{n}" for n in range(90)]
    assert scan("2025-10-22 22:50:45,914 - m - INFO - Created position #7\n", finder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": None}, "'kind' is missing"),
        ({"kind": "two words"}, "'kind' is no plain word"),
        ({"category": "cooking"}, "the category is 'cooking'"),
        ({"literal": None}, "one of 'literal' and 'level' is wanted"),
        ({"literal": "abc"}, "shorter than 4 bytes"),
        ({"regex": "Maker (order"}, "its expression is wrong"),
        ({"regex": "Maker <colour>"}, "<colour> is none of symbol"),
        ({"color": "red"}, "it has no field 'color'"),
        ({"lines": "some"}, "'lines' is neither"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_the_patterns_name(changes, said, tmp_path):
    path = write(tmp_path / "own.toml", **changes)
    with pytest.raises(LogError) as error:
        load_patterns(path)
    assert said in str(error.value)
    assert "maker" in str(error.value)
    assert path in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"), [("[[pattern", "is no TOML"), ("", "holds no [[pattern]]"), ("a = 1", "holds no")]
)
def test_a_file_that_is_none_is_said(text, said, tmp_path):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(LogError) as error:
        load_patterns(tmp_path / "own.toml")
    assert said in str(error.value)


def test_a_name_there_twice_is_said(tmp_path):
    path = tmp_path / "own.toml"
    write(path)
    path.write_text(path.read_text() * 2)
    with pytest.raises(LogError, match="there twice"):
        load_patterns(path)
