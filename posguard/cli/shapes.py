"""The JSON of every command: one model per command, Decimals and times as strings. docs/json.md is made from these."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from posguard.cli.options import Target


class Shape(BaseModel):
    """What all outputs have in common: nothing is left out, nothing unknown gets in."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SchemaStanding(Shape):
    """`posguard db check --json`."""

    target: Target = Field(description="whose schema")
    current: str | None = Field(description="the version in the database; null: not there")
    newest: str = Field(description="the newest version this program knows")
    up_to_date: bool = Field(description="whether nothing is left to upgrade")


class SchemaChange(Shape):
    """`posguard db upgrade --json` and `posguard db downgrade --json`."""

    target: Target = Field(description="whose schema")
    before: str | None = Field(description="the version before; null: not there")
    after: str | None = Field(description="the version now")
    database: str | None = Field(default=None, description="the database's name (downgrade)")
    rows: dict[str, int] = Field(
        default_factory=dict, description="rows by table that a downgrade takes away"
    )
    confirm: str | None = Field(
        default=None, description="what --confirm has to say; null where nothing waits for it"
    )
