"""The patterns that say what the bot's log means: read from a data file, checked, compiled for bytes.

posguard's own stand in patterns.toml beside this module; a user's file adds to them and replaces those of the same name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from posguard.errors import LogError
from posguard.model.log_event import Category

SHIPPED = Path(__file__).with_name("patterns.toml")
SHORTEST = 4

_NUMBER = r"-?\d{1,18}(?:\.\d{1,18})?"
_MARKET = r"[A-Z0-9\x80-\xff]{2,30}(?:[/_-][A-Z0-9]{2,10}(?::[A-Z0-9]{2,10})?)?"
_FORMS = {
    "symbol": _MARKET,
    "exchange": r"[A-Za-z][A-Za-z0-9_]{1,30}",
    "side": r"long|short|buy|sell|LONG|SHORT|BUY|SELL",
    "status": r"[a-z][a-z_]{1,30}",
    "position_id": r"\d{1,18}",
    "order_id": r"[0-9a-f][0-9A-Za-z-]{1,63}",
    "quantity": _NUMBER,
    "price": _NUMBER,
    "latency_ms": _NUMBER,
}
# What stands before a value that is looked for in the rest of the line, and its form there.
_ANYWHERE = {
    "symbol": r"(?<![A-Za-z0-9])(?P<symbol>[A-Z0-9\x80-\xff]{1,20}(?:USDT|USDC|/USDT:USDT|/USDC:USDC))(?![A-Za-z0-9])",
    "exchange": r"\b(?P<exchange>[Bb]inance|[Bb]ybit)\b",
    "side": r"\b(?P<side>long|short|buy|sell|LONG|SHORT|BUY|SELL)\b",
    "status": r"\bstatus[=: ]+'?(?P<status>[a-z_]{2,30})",
    "position_id": r"(?:\b(?:position_)?(?:id|ID)[=: ]+|#)(?P<position_id>\d{1,18})\b",
    "order_id": r"\border(?:_id| id| ID)?[=: ]+(?P<order_id>[0-9a-f][0-9A-Za-z-]{1,63})\b",
    "quantity": r"\b(?:quantity|qty|amount|size)[=: ]+(?P<quantity>" + _NUMBER + r")\b",
    "price": r"(?:@ ?|\b(?:at|to|price)[=: ]+\$?)(?P<price>" + _NUMBER + r")\b",
    "latency_ms": r"(?P<latency_ms>" + _NUMBER + r") ?ms\b",
}
_SHORT = re.compile(r"(?<!\?P)<(\??)([a-z_0-9]+)>")
# A `$` that stands for an end, among what is escaped and sets; a message ends where its line does, in the middle of a block.
_DOLLAR = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)
_LINE_END = r"(?![^\n\r])"
_WORDS = {"name", "kind", "category", "literal", "level", "regex", "lines", "body", "example", "says"}
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,60}\Z")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One shape of message: the literal (or level) that finds it, the text of the expression that proves it and takes its values.

    `spans` lets the expression see all lines of the record; `body` is what may stand before the literal on a line of its own
    below the header, where a logged exception says it.
    """

    name: str
    kind: str
    category: Category
    text: bytes
    literal: bytes = b""
    level: bytes = b""
    spans: bool = False
    body: re.Pattern[bytes] | None = None
    example: str = ""
    says: dict[str, str] = field(default_factory=dict)
    origin: str = ""

    @property
    def regex(self) -> re.Pattern[bytes]:
        """The expression, compiled when it is first asked for."""
        return _expression(self.text)

    @property
    def places(self) -> Mapping[str, int]:
        """The number of each named group, in order. posguard's own patterns need no compiling for it."""
        return _places(self.text) if self.origin == _OWN else self.regex.groupindex


_OWN = "posguard"
# What is escaped, a set, and where a group begins that catches something.
_CATCHES = re.compile(rb"(?s:\\.)|\[\^?\]?(?:(?s:\\.)|[^\]\\])*\]|\((?:\?P<(\w+)>|(?!\?))")


@cache
def _expression(text: bytes) -> re.Pattern[bytes]:
    return re.compile(text)


@cache
def _places(text: bytes) -> Mapping[str, int]:
    groups = [found[1] for found in _CATCHES.finditer(text) if found[0].startswith(b"(")]
    return {name.decode(): number for number, name in enumerate(groups, 1) if name}


def load_patterns(extra: str | Path | None = None) -> tuple[Pattern, ...]:
    """The shipped patterns, and those of a user's file before them. Raises LogError that names the pattern and the reason."""
    shipped = _shipped()
    if extra is None or not str(extra):
        return shipped
    own = read_patterns(Path(extra))
    replaced = {pattern.name: pattern for pattern in own}
    kept = tuple(replaced.pop(pattern.name, pattern) for pattern in shipped)
    return (*replaced.values(), *kept)


@cache
def _shipped() -> tuple[Pattern, ...]:
    return read_patterns(SHIPPED)


def read_patterns(path: Path) -> tuple[Pattern, ...]:
    """The patterns of one file, in its order. Raises LogError that names the pattern and the reason."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LogError(
            f"The patterns in {path} cannot be read: {error.strerror}. Nothing was done."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LogError(f"{path} is no TOML: {error}. Nothing was done.") from None
    entries = told.get("pattern")
    if (
        not isinstance(entries, list)
        or not all(isinstance(one, dict) for one in entries)
        or set(told) != {"pattern"}
    ):
        raise LogError(
            f"{path} holds no [[pattern]] tables, or something else besides. Nothing was done.", hint=_HINT
        )
    names: set[str] = set()
    found = []
    for number, entry in enumerate(entries, 1):
        pattern = _pattern(entry, str(path), str(entry.get("name") or f"number {number}"))
        if pattern.name in names:
            raise _wrong(str(path), pattern.name, "the name is there twice")
        names.add(pattern.name)
        found.append(pattern)
    return tuple(found)


_HINT = "docs/logs.md shows one."


def _wrong(path: str, name: str, why: str) -> LogError:
    return LogError(f"The pattern {name} in {path} cannot be used: {why}. Nothing was done.", hint=_HINT)


def _pattern(entry: dict[str, Any], path: str, name: str) -> Pattern:
    says = entry.get("says", {})
    for key, value in entry.items():
        if key not in _WORDS:
            raise _wrong(path, name, f"it has no field '{key}'")
        if key != "says" and not isinstance(value, str):
            raise _wrong(path, name, f"'{key}' is no text")
    if not isinstance(says, dict) or not all(isinstance(value, str) for value in says.values()):
        raise _wrong(path, name, "'says' is no table of texts")
    for key in ("name", "kind", "category", "regex"):
        if not entry.get(key):
            raise _wrong(path, name, f"'{key}' is missing")
    for key in ("name", "kind"):
        if not _WORD.match(entry[key]):
            raise _wrong(path, name, f"'{key}' is no plain word")
    if entry["category"] not in set(Category):
        raise _wrong(
            path, name, f"the category is '{entry['category']}', which is none of {', '.join(Category)}"
        )
    if entry.get("lines", "first") not in {"first", "all"}:
        raise _wrong(path, name, "'lines' is neither 'first' nor 'all'")
    literal = entry.get("literal", "").encode()
    level = entry.get("level", "").encode()
    if bool(literal) == bool(level):
        raise _wrong(path, name, "one of 'literal' and 'level' is wanted")
    if len(literal or level) < SHORTEST or b"\n" in literal:
        raise _wrong(path, name, f"the literal is shorter than {SHORTEST} bytes or holds a line end")
    return Pattern(
        name=entry["name"],
        kind=entry["kind"],
        category=Category(entry["category"]),
        text=_checked(path, name, entry["regex"]),
        literal=literal,
        level=level,
        spans=entry.get("lines") == "all",
        body=_tried(path, name, _spelled(path, name, entry["body"])) if entry.get("body") else None,
        example=entry.get("example", ""),
        says=dict(says),
        origin=_OWN if path == str(SHIPPED) else path,
    )


def _spelled(path: str, name: str, text: str) -> bytes:
    """An expression with its values' usual forms spelled out, `$` the end of a line, and no `^` at its beginning, where it says nothing."""

    def spelled(match: re.Match[str]) -> str:
        anywhere, word = match.groups()
        if word not in _FORMS:
            raise _wrong(path, name, f"<{word}> is none of {', '.join(_FORMS)}")
        if anywhere:
            return rf"(?=(?:[^\n]*?{_ANYWHERE[word]})?)"
        return f"(?P<{word}>{_FORMS[word]})"

    ended = _DOLLAR.sub(lambda found: _LINE_END if found[0] == "$" else found[0], text.removeprefix("^"))
    return _SHORT.sub(spelled, ended).encode()


def _checked(path: str, name: str, text: str) -> bytes:
    """The whole text of an expression. posguard's own need not be tried again each time."""
    spelled = _spelled(path, name, text)
    if path != str(SHIPPED):
        _tried(path, name, spelled)
    return spelled


def _tried(path: str, name: str, text: bytes) -> re.Pattern[bytes]:
    try:
        return _expression(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise _wrong(path, name, f"its expression is wrong: {error}") from None
