"""Messages: alternatives that differ, and reports of delivery."""

from __future__ import annotations

from pathlib import Path

import pytest

from pace_integrations.documents.ingest import read_file


@pytest.fixture
def read(tmp_path: Path):
    def read_text(text: str) -> str:
        (tmp_path / "a.eml").write_text(text)
        document, _ = read_file(tmp_path / "a.eml")
        return "\n".join(page.text for page in document.pages)

    return read_text


MAIL = (
    "From: a@x.org\nSubject: Rates\nMIME-Version: 1.0\nContent-Type: multipart/{}; boundary=B\n\n"
)


def mail_of(kind: str, *parts: str) -> str:
    return MAIL.format(kind) + "".join(f"--B\n{part}\n" for part in parts) + "--B--\n"


def test_of_alternatives_in_a_message_nothing_is_dropped(read):
    plain = "Content-Type: text/plain\n\nOur rates of May are below: see https://x.org/r?id=5 too."
    table = "<p>Our rates of May are below: see <a href='https://x.org'>here</a> too.</p>{}"
    page = "Content-Type: text/html\n\n" + table
    text = read(mail_of("alternative", plain, page.format("")))
    assert text.count("Our rates of May") == 1
    assert "id=5" in text
    costs = "<table><tr><td>Berth<td>340<tr><td>Power<td>55</table>"
    text = read(mail_of("alternative", plain, page.format(costs)))
    assert text.count("Our rates of May") == 1
    assert "Berth | 340" in text
    other = "Content-Type: text/html\n\n<p>Wholly other words stand here.</p>"
    text = read(mail_of("alternative", plain, other))
    assert "Our rates of May" in text
    assert "Wholly other words" in text


def test_a_report_of_delivery_is_read(read):
    status = (
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.x.org\n\n"
        "Final-Recipient: rfc822; b@y.org\nStatus: 5.1.1\n"
    )
    text = read(mail_of("report", "Content-Type: text/plain\n\nIt failed.", status))
    assert "It failed." in text
    assert "Final-Recipient: rfc822; b@y.org\nStatus: 5.1.1" in text
