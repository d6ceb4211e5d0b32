"""A message in its three forms: nothing hostile becomes a mention, a link or a header; what is left out is said."""

from __future__ import annotations

from dataclasses import replace

from posguard.alert_route import AlertRoute
from posguard.alerts import wording
from posguard.alerts.channels import written
from posguard.model.alert import AlertEvent
from posguard.model.finding import Severity
from posguard.postgres.alerts import Message
from tests.unit.alerts.test_routing import AT, RESOLVED, alert

KEY = "0" * 32
MAIL = AlertRoute(
    name="mail",
    kind="email",
    url="smtp://mx.example",
    sender="posguard@desk.example",
    to=("ann@desk.example",),
)


def message(subject="posguard: 2 critical"):
    return Message(1, KEY, "desk", subject, Severity.CRITICAL, 2, AT, None, 1, AT, "")


HOSTILE = replace(
    alert(), text="<!channel> <https://evil.example|click> @here *b* `c` & \r\nBcc: eve@evil.example"
)


def test_hostile_text_is_plain_text_in_slack():
    text = wording.slack(message(), [HOSTILE])["text"]
    assert "<" not in text
    assert ">" not in text
    assert "&lt;!channel&gt;" in text


def test_a_mail_has_one_subject_line_and_no_header_of_somebody_elses():
    mail = written(MAIL, message("posguard: x\r\nBcc: eve@evil.example"), [HOSTILE])
    assert mail["Bcc"] is None
    assert mail["Subject"] == "posguard: x Bcc: eve@evil.example"
    assert mail["Message-ID"] == f"<{KEY}@desk.example>"
    assert mail["X-Posguard-Key"] == KEY
    assert mail["To"] == "ann@desk.example"
    assert "<!channel>" in mail.get_content()


def test_each_form_names_what_to_look_at_and_how_to_know_it_again():
    told = [alert(1, position_id=7), alert(2, event=RESOLVED)]
    for text in (wording.text(message(), told), wording.slack(message(), told)["text"]):
        assert "docs/runbook.md#orphaned-db" in text
        assert "posguard findings list" in text
        assert KEY in text
        assert text.index("CRITICAL") < text.index("RESOLVED")
    assert "[row 7]" in wording.text(message(), told)


def test_what_is_not_written_out_is_counted():
    told = [alert(n) for n in range(1, 501)]
    assert "- … and 495 more\n" in wording.text(message(), told)
    document = wording.document(message(), told)
    assert (len(document["alerts"]), document["left_out"]) == (200, 300)
    assert document["counts"] == {"critical": 500}
    assert document["key"] == KEY


def test_a_late_message_does_not_hide_what_came_after_it():
    late = replace(alert(event=RESOLVED), later=AlertEvent.RAISED)
    assert "(LATE: it was raised again since)" in wording.text(message(), [late])
    assert (
        "(LATE: it was resolved since)"
        in wording.slack(message(), [replace(alert(), later=RESOLVED)])["text"]
    )
    assert wording.document(message(), [late])["alerts"][0]["since_then"] == "raised"


def test_a_storm_of_one_kind_hides_no_other():
    told = [alert(n) for n in range(1, 501)] + [alert(501, kind="run_inconclusive"), alert(502, "warning")]
    for text in (wording.text(message(), told), wording.slack(message(), told)["text"]):
        assert "orphaned_db, 500 of them (docs/runbook.md#orphaned-db)" in text
        assert "text 501" in text
        assert "text 502" in text
        assert len(text.splitlines()) < 20
