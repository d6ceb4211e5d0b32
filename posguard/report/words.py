"""Small words that several parts of the report use."""

from __future__ import annotations


def plural(number: int, word: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def times(number: float) -> str:
    """`never`, `once`, `3 times`."""
    return {0: "never", 1: "once"}.get(int(number), f"{number:g} times")
