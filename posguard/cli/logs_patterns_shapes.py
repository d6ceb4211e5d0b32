"""The JSON of `posguard logs patterns`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from posguard.cli.shapes import Shape

if TYPE_CHECKING:
    from posguard.logs.patterns import Pattern
    from posguard.logs.trying import Tried


class PatternShape(Shape):
    """One pattern."""

    name: str = Field(description="its name")
    kind: str = Field(description="the kind of event that it finds")
    category: str = Field(description="the part of the bot that the event speaks of")
    literal: str = Field(description="the text that is searched for; empty where a level is")
    level: str = Field(description="the level whose records it takes where no other pattern does")
    origin: str = Field(description="the file that it stands in")

    @classmethod
    def of(cls, pattern: Pattern) -> PatternShape:
        """The shape of a pattern."""
        return cls(
            name=pattern.name,
            kind=pattern.kind,
            category=pattern.category,
            literal=pattern.literal.decode("utf-8", "replace"),
            level=pattern.level.decode(),
            origin=pattern.origin,
        )


class PatternList(Shape):
    """`posguard logs patterns`."""

    patterns: tuple[PatternShape, ...] = Field(description="the patterns in use, in the order that counts")


class TriedShape(Shape):
    """One pattern that was tried."""

    pattern: PatternShape = Field(description="the pattern")
    wrong: str = Field(description="what is wrong with its example; empty where nothing is")
    hits: int = Field(description="events that it would find in the logs that were named")
    shown: tuple[str, ...] = Field(description="the messages of the first of them")

    @classmethod
    def of(cls, tried: Tried) -> TriedShape:
        """The shape of a trial."""
        return cls(
            pattern=PatternShape.of(tried.pattern),
            wrong=tried.wrong,
            hits=tried.hits,
            shown=tuple(event.message for event in tried.shown),
        )


class PatternCheck(Shape):
    """`posguard logs patterns --check`."""

    usable: bool = Field(description="whether every example is hit by its own pattern")
    patterns: tuple[TriedShape, ...] = Field(description="the file's patterns")
