"""Reports of sections as HTML, and the list of those that are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.report.render import html_of
from posguard.report.view import first_screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.postgres.audits import StoredAudit
    from posguard.report.document import Document
    from posguard.report.render import Page
    from posguard.report.view import Known


def document_page(document: Document, page: Page, *, number: int | None = None) -> str:
    """A report of sections, as the audit makes it; `number` is its place among those that are stored."""
    return html_of("document.html", page=page, screen=None, document=document, number=number)


def audit_list(known: Known, shown: Sequence[StoredAudit], page: Page, *, before: int | None = None) -> str:
    """The stored audits, the newest window first."""
    older = shown[-1].id if len(shown) == page.limit else None
    return html_of(
        "audits.html",
        page=page,
        screen=first_screen(known),
        audits=shown,
        older=older,
        asked_before=before is not None,
    )
