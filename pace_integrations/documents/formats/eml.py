"""Reads messages: headers, the text of every part, messages and texts that are attached."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage

from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.html import decode_html, parse_tree
from pace_integrations.documents.formats.html_walk import read_element
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, split_sections
from pace_integrations.documents.types import LimitExceededError, ParseResult

_HEADERS = ("From", "To", "Cc", "Bcc", "Date", "Subject")
_MAX_NAMES = 8
_LONGEST = 200
_EMPTY = "The message has no text."


def _header(message: EmailMessage, name: str) -> str:
    try:
        value = str(message.get(name) or "")
    except Exception:  # headers of damaged messages raise anything
        value = ""
    return " ".join(clean_characters(value).split())


def _part_text(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset()
    if part.get_content_type() == "text/html":
        text = decode_html(data).text or data.decode("latin-1")
        return read_element(parse_tree(text)).writer.text() if text.strip() else ""
    try:
        return clean_characters(data.decode(charset or "utf-8"))
    except (LookupError, UnicodeDecodeError):
        return clean_characters(decode_html(data).text or data.decode("latin-1"))


def _choose_alternative(part: EmailMessage) -> EmailMessage | None:
    """Return the plain text of alternatives that say the same, or else the last one."""
    parts = [p for p in part.iter_parts() if isinstance(p, EmailMessage)]
    plain = [p for p in parts if p.get_content_type() == "text/plain" and _part_text(p).strip()]
    return plain[0] if plain else parts[-1] if parts else None


def _walk_parts(message: EmailMessage, title: str, left_out: list[str]) -> Iterator[Block]:
    """Yield the headers and the texts of a message and of those in it."""
    lines = [f"{name}: {_header(message, name)}" for name in _HEADERS if _header(message, name)]
    if lines:
        yield Block("\n".join(lines) + "\n\n", 1, title)
    yield from _walk_body(message, left_out, top=True)


def _walk_body(part: EmailMessage, left_out: list[str], *, top: bool) -> Iterator[Block]:
    kind = part.get_content_type()
    if kind == "message/rfc822":
        for inner in part.iter_parts():
            if isinstance(inner, EmailMessage):
                subject = _header(inner, "Subject") or "attached message"
                yield from _walk_parts(inner, f"Attached: {subject}", left_out)
    elif kind == "multipart/alternative":
        chosen = _choose_alternative(part)
        if chosen is not None:
            yield from _walk_body(chosen, left_out, top=top)
    elif part.is_multipart():
        for inner in part.iter_parts():
            if isinstance(inner, EmailMessage):
                yield from _walk_body(inner, left_out, top=False)
    elif kind.startswith("text/"):
        name = part.get_filename()
        text = _part_text(part)
        if name and part.get_content_disposition() == "attachment":
            yield Block(f"[Attached file {name}]\n{text}\n\n", 2, f"Attached: {name}")
        else:
            yield Block(f"{text}\n\n")
    else:
        left_out.append(" ".join((part.get_filename() or kind).split()))


def parse_eml(data: bytes, job: ParseJob) -> ParseResult:
    """Read a message with all texts in it; what else is attached is named."""
    if len(data) > job.options.limits.expanded:
        raise LimitExceededError("the message is larger than the limit of expanded bytes")
    if job.suffix == ".emlx":  # Apple's: its length first
        data = re.sub(rb"\A\d+\s*\n", b"", data)
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    subject, left_out, count = _header(message, "Subject"), list[str](), 0
    for page in split_sections(_walk_parts(message, "Message", left_out)):
        job.emit(replace(page))
        count = page.index
    metadata = {key: _header(message, name) for key, name in (("author", "From"), ("date", "Date"))}
    metadata = {key: value[:_LONGEST] for key, value in metadata.items() if value}
    warnings: tuple[str, ...] = ()
    if left_out:
        more = f" and {len(left_out) - _MAX_NAMES} more" if len(left_out) > _MAX_NAMES else ""
        warnings = (f"attached files were not read: {', '.join(left_out[:_MAX_NAMES])}{more}",)
    if not count:
        return ParseResult("empty", 1, warnings=warnings, remedy=_EMPTY)
    return ParseResult("ok", count, subject[:_LONGEST] or None, metadata, warnings)
