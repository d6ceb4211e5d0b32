"""Where a log says something: all literals searched for at once, and for each of them one expression that proves a hit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from posguard.logs.headers import DASHED, EITHER, FOLLOWED, HEADER_GROUPS
from posguard.logs.patterns import SHORTEST, Pattern

# The search for literals is vectorised up to this many in a set; beyond it falls to a quarter of its speed.
SET = 64

Hits = Sequence[tuple[int, int, int]]
Search = Callable[[bytearray, int], Hits]
Match = Callable[[bytearray, int, int], re.Match[bytes] | None]
# A pattern, and the index of its first value in the groups of a match.
Place = tuple[int, int]

_GROUP = re.compile(r"\(\?P(<|=)([A-Za-z_]\w*)")
# What can match a line end.
_WITHIN = re.compile(rb"\[\^\\n[^\]]*\]")
_MAY_CROSS = re.compile(rb"\\[sWDnr]|\[\^|\(\?[aiLmsux-]|\n")
# What refers to a group by its number cannot be moved into a larger expression.
_NUMBERED = re.compile(r"\\[1-9]|\(\?\(")


@dataclass(frozen=True, slots=True)
class Lane:
    """One literal: the patterns that a hit of it may mean, in the order that counts, or the level that it names.

    `leads` says that the literal begins the message in all of them, `one_line` that none can match a line end, `alone` that each is
    decided by its record's first line.
    """

    literal: bytes
    candidates: tuple[int, ...]
    level: int
    body: bool
    leads: bool
    one_line: bool
    alone: bool


# The short way for a lane, in turn: the proof by the first header format; whether the literal leads; whether one line is all that
# can match; of a pattern alone its place; else the place of each mark; the proof by either format. A proof is an expression that
# tries all the lane's patterns on a whole first line, from its header on. Its groups are the header's, the message, and those of
# each pattern in turn, after an empty one that marks the pattern where there are several. A match includes the line end where a
# header follows it. Without a short way there is no proof. It is a plain tuple because it is taken apart at every hit.
Quick = tuple[Match | None, bool, bool, Place | None, Mapping[int, Place], Match | None]
NO_WAY: Quick = (None, False, False, None, {}, None)


class Finder:
    """The literals of a set of patterns, searched for at the speed of memory."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self.patterns = tuple(patterns)
        self._heads = [(n, p.literal, p.literal[:2], p.literal[:1]) for n, p in enumerate(self.patterns)]
        words = {p.literal or p.level for p in self.patterns}
        parts = -(-len(words) // SET)
        sets = [_in_order(sorted(words, key=_low)[part::parts]) for part in range(parts)]
        self.lanes = tuple(self._lane(word) for chosen in sets for word in chosen)
        starts = [sum(len(chosen) for chosen in sets[:part]) for part in range(parts)]
        self._sets = [(start, _search(chosen)) for start, chosen in zip(starts, sets, strict=True)]
        self._quick: list[Quick | None] = [None] * len(self.lanes)

    def __reduce__(self) -> tuple[type[Finder], tuple[tuple[Pattern, ...]]]:
        """Another process makes its own automaton."""
        return Finder, (self.patterns,)

    def find(self, buffer: bytearray, end: int) -> Hits:
        """(lane, start, end) of the hits in `buffer[:end]`, by place; of overlapping literals of a set the leftmost, longest."""
        if len(self._sets) == 1:
            return self._sets[0][1](buffer, end)
        hits = [
            (first + word, at, to) for first, search in self._sets for word, at, to in search(buffer, end)
        ]
        return sorted(hits, key=lambda hit: hit[1])

    def quick(self, lane: int) -> Quick:
        """The short way for a lane. Its expressions are compiled when the first hit asks for them: most logs have few kinds."""
        known = self._quick[lane]
        if known is None:
            meant = self.lanes[lane]
            known = _quick(meant, self.patterns) if meant.alone else NO_WAY
            self._quick[lane] = known
        return known

    def _lane(self, word: bytes) -> Lane:
        # Nearly all literals have nothing in common that would let one hide the other.
        last = word[-1:]
        near = (n for n, other, two, one in self._heads if two in word or one == last or word in other)
        numbers = tuple(n for n in near if _may_mean(word, self.patterns[n]))
        meant = [self.patterns[n] for n in numbers]
        level = next((n for n, p in enumerate(self.patterns) if p.level == word), -1)
        body = any(p.body for p in meant)
        alone = bool(meant) and level < 0 and not body and not any(p.spans for p in meant)
        leads = bool(meant) and all(
            constant(p.text).startswith(p.literal) and word.startswith(p.literal) for p in meant
        )
        one_line = not any(_MAY_CROSS.search(_WITHIN.sub(b"", p.text)) for p in meant)
        return Lane(word, numbers, level, body, leads, one_line, alone)


def _low(word: bytes) -> bytes:
    return bytes(byte & 15 for byte in word[:SHORTEST])


def _in_order(words: Sequence[bytes]) -> list[bytes]:
    """The order in which the search is quickest: the vectorised one deals its words to 16 piles (8 for up to 32 words) by number,
    and looks closer wherever the first bytes could be those of a pile, so that words that begin alike belong in one pile. A word
    that another begins with goes after it, since the first in order wins.
    """
    piles = 16 if len(words) > 32 else 8
    alike, each = sorted(words, key=lambda word: (_low(word), -len(word), word)), -(-len(words) // piles)
    dealt = [alike[pile * each : (pile + 1) * each] for pile in range(piles)]
    ordered = [pile[row] for row in range(each) for pile in dealt if row < len(pile)]
    for place in range(len(ordered)):
        for later in range(place + 1, len(ordered)):
            if ordered[later].startswith(ordered[place]):
                ordered[place], ordered[later] = ordered[later], ordered[place]
    return ordered


def _may_mean(hit: bytes, pattern: Pattern) -> bool:
    """Whether a hit of this literal may hide one of the pattern, so that the pattern has to be tried too.

    A literal that the hit covers in part is not reported by itself. Where the message's beginning is known for certain, as in most
    patterns, it has to agree with the hit; a longer literal is reported instead of its own beginning.
    """
    other = pattern.literal
    if not other or other == hit or hit.startswith(other):
        return bool(other)
    # Words that share one letter do not run together.
    least = 2 if other[:1].isalnum() else 1
    ends = [len(hit) - size for size in range(least, min(len(hit), len(other))) if hit.endswith(other[:size])]
    inner = [hit.find(other)] if other in hit else []
    known = constant(pattern.text)
    place = known.find(other)
    if place < 0 or not hit[:1].isalnum():
        return bool(ends or inner) or hit in other
    return any(place >= shift and _agree(known[place - shift :], hit) for shift in (*ends, *inner))


def _agree(one: bytes, other: bytes) -> bool:
    size = min(len(one), len(other))
    return one[:size] == other[:size]


@cache
def constant(text: bytes) -> bytes:
    """The words that every message of an expression begins with, as far as they are plain to see."""
    outer, inner = b"", re.sub(rb"\\.|\[[^\]]*\]", b"", text)
    while outer != inner:
        outer, inner = inner, re.sub(rb"\([^()]*\)", b"", inner)
    if b"|" in outer:
        return b""
    found = bytearray()
    at = 0
    while at < len(text):
        byte = text[at]
        if byte == 0x5C and at + 1 < len(text) and not text[at + 1 : at + 2].isalnum():
            at += 1
            byte = text[at]
        elif byte in b"\\.^$*+?{}[]()|":
            if byte in b"*+?{":
                del found[-1:]
            break
        found.append(byte)
        at += 1
    return bytes(found)


def _quick(lane: Lane, patterns: Sequence[Pattern]) -> Quick:
    texts: list[str] = []
    several = len(lane.candidates) > 1
    for number in lane.candidates:
        text = patterns[number].text.decode()
        if _NUMBERED.search(text):
            return NO_WAY
        texts.append((f"(?P<g{number}>)" if several else "") + _GROUP.sub(rf"(?P\1g{number}_\2", text))
    message = rb"((?:" + "|".join(texts).encode() + rb")[^\n]*+)" + FOLLOWED
    try:
        dashed, either = re.compile(DASHED + message), _Later(EITHER + message)
    except (re.error, OverflowError, RecursionError):
        return NO_WAY
    # The first index after the header's groups and the message.
    only = None if several else (lane.candidates[0], HEADER_GROUPS + 1)
    # A group's number is the index of what follows it.
    marks = {number: dashed.groupindex[f"g{number}"] for number in lane.candidates if several}
    places = {index - 1: (number, index) for number, index in marks.items()}
    return dashed.match, lane.leads, lane.one_line, only, places, either.match


class _Later:
    """An expression that is compiled when it is first asked for."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._match: Match | None = None

    def match(self, buffer: bytearray, start: int, end: int) -> re.Match[bytes] | None:
        if self._match is None:
            self._match = re.compile(self._text).match
        return self._match(buffer, start, end)


def _search(words: Sequence[bytes]) -> Search:
    try:
        from ahocorasick_rs import BytesAhoCorasick, MatchKind  # noqa: PLC0415 - a machine may lack its wheel
    except ModuleNotFoundError:
        return _plain_search(words)
    automaton = BytesAhoCorasick(list(words), matchkind=MatchKind.LeftmostFirst)

    def search(buffer: bytearray, end: int) -> Hits:
        with memoryview(buffer) as whole, whole[:end] as part:
            hits: list[tuple[int, int, int]] = automaton.find_matches_as_indexes(part)
            return hits

    return search


def _plain_search(words: Sequence[bytes]) -> Search:
    number = {word: index for index, word in enumerate(words)}
    expression = re.compile(b"|".join(re.escape(word) for word in words))

    def search(buffer: bytearray, end: int) -> Hits:
        return [(number[m.group()], m.start(), m.end()) for m in expression.finditer(buffer, 0, end)]

    return search
