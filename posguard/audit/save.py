"""The report as files: Markdown, and HTML that needs nothing beside itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.report.documents import document_page
from posguard.report.markdown import markdown
from posguard.report.render import file_page

if TYPE_CHECKING:
    from pathlib import Path

    from posguard.report.document import Document


@dataclass(frozen=True, slots=True)
class Saved:
    """Where the files of a report are."""

    html: Path
    markdown: Path


def save(document: Document, folder: Path) -> Saved:
    """Writes audit.html and audit.md into a folder; whoever reads one sees the old file or the new one, never half.

    Raises OSError where they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = document_page(document, file_page(document.built_at))
    return Saved(_write(folder / "audit.html", page), _write(folder / "audit.md", markdown(document)))


def _write(path: Path, text: str) -> Path:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    return part.replace(path).resolve()
