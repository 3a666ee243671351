"""Reads messages: headers, the text of every part, messages and texts that are attached."""

from __future__ import annotations

import email
import email.policy
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage, Message

from pace_integrations.documents.formats.attached import AttachedFiles
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.html import decode_html, parse_tree
from pace_integrations.documents.formats.html_walk import read_element
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, split_sections
from pace_integrations.documents.types import LimitExceededError, ParseResult, Status

_HEADERS = ("From", "Reply-To", "To", "Cc", "Bcc", "Date", "Subject")
_SHARE = 0.1  # of a text's words that may be missing from another one that says the same
_PLAIN_WORD = re.compile(r"https?://\S+|(\w+)")
_ENCRYPTED = ("application/pgp-encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")
_FROM = re.compile(rb"^From \S+.*\d{4}.*$", re.MULTILINE)
_QUOTED_FROM = re.compile(rb"^>(?=>*From )", re.MULTILINE)
_LONGEST = 200
_EMPTY = "The message has no text."
_LOCKED = "Open the message in its own program, and save its text."


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


def _choose_alternatives(part: EmailMessage) -> Iterator[EmailMessage]:
    """Yield of alternatives those that say something of their own; and invitations.

    "Please see the HTML version" says nothing of what it stands for, and a plain text without the
    table of the other one not enough.
    """
    parts = [p for p in part.iter_parts() if isinstance(p, EmailMessage)]
    others = [p for p in parts if p.get_content_type() != "text/calendar"]
    texts = [(_text_of(p), p) for p in others]
    plain = [(text, p) for text, p in texts if p.get_content_type() == "text/plain"]
    if texts:
        rich, last = texts[-1]
        short = not plain or _says_more(rich, plain[0][0], fewest=3)
        if plain and (not short or _says_more(plain[0][0], rich, fewest=5)):
            yield plain[0][1]
        if short:
            yield last
    yield from (p for p in parts if p.get_content_type() == "text/calendar")


def _says_more(text: str, than: str, *, fewest: int) -> bool:
    """Tell whether a text has words that another one lacks, beside addresses of links."""
    words, others = (
        {word.casefold() for word in _PLAIN_WORD.findall(each) if word} for each in (text, than)
    )
    return len(words - others) > max(fewest, _SHARE * len(words))


def _text_of(part: EmailMessage) -> str:
    """Return the text of a part and of those in it."""
    texts = (p for p in part.walk() if p.get_content_maintype() == "text" and not _is_file(p))
    return "\n".join(_part_text(p) for p in texts if isinstance(p, EmailMessage))


def _is_file(part: Message) -> bool:
    return bool(part.get_filename()) and part.get_content_disposition() == "attachment"


@dataclass(slots=True)
class _Walk:
    """One walk over a message and those in it.

    Attributes:
        files: Names and bytes of the files that are attached.
        encrypted: Parts that only their addressee can open.
    """

    files: list[tuple[str, bytes]] = field(default_factory=list)
    encrypted: int = 0

    def message(self, message: EmailMessage, title: str) -> Iterator[Block]:
        """Yield the headers and the texts of a message and of those in it."""
        lines = [f"{name}: {_header(message, name)}" for name in _HEADERS if _header(message, name)]
        if lines:
            yield Block("\n".join(lines) + "\n\n", 1, title)
        yield from self._part(message)

    def _part(self, part: EmailMessage) -> Iterator[Block]:
        kind = part.get_content_type()
        if kind == "message/rfc822":
            for inner in part.iter_parts():
                if isinstance(inner, EmailMessage):
                    subject = _header(inner, "Subject") or "attached message"
                    yield from self.message(inner, f"Attached: {subject}")
        elif kind == "multipart/alternative":
            for chosen in _choose_alternatives(part):
                yield from self._part(chosen)
        elif kind == "message/delivery-status":
            reports = part.get_payload()
            for report in reports if isinstance(reports, list) else ():
                if isinstance(report, Message):
                    yield Block("\n".join(f"{k}: {v}" for k, v in report.items()) + "\n\n")
        elif part.is_multipart():
            for inner in part.iter_parts():
                if isinstance(inner, EmailMessage):
                    yield from self._part(inner)
        elif kind.startswith("text/") and not _is_file(part):
            yield Block(f"{_part_text(part)}\n\n")
        elif kind in _ENCRYPTED:
            self.encrypted += 1
        else:
            media = part.get_content_maintype() in ("image", "audio", "video")
            payload = None if media else part.get_payload(decode=True)
            name = part.get_filename() or kind
            self.files.append((name, payload if isinstance(payload, bytes) else b""))


def _split_mailbox(data: bytes) -> list[bytes]:
    """Return the messages of a mailbox (mbox), or the one that there is."""
    starts = [found.start() for found in _FROM.finditer(data)]
    if not starts or starts[0] != 0:
        return [data]
    bounds = itertools.pairwise([*starts, len(data)])
    return [_QUOTED_FROM.sub(b"", data[a:b].split(b"\n", 1)[-1]) for a, b in bounds]


def parse_eml(data: bytes, job: ParseJob) -> ParseResult:
    """Read a message with all texts in it; what else is attached is named."""
    if len(data) > job.options.limits.expanded:
        raise LimitExceededError("the message is larger than the limit of expanded bytes")
    if job.suffix == ".emlx":  # Apple's: its length first
        data = re.sub(rb"\A\d+\s*\n", b"", data)
    messages = [
        parsed
        for part in _split_mailbox(data)
        if isinstance(
            parsed := email.message_from_bytes(part, policy=email.policy.default), EmailMessage
        )
    ]
    walk, count = _Walk(), 0
    subjects = [_header(message, "Subject") for message in messages]
    titles = ["Message"] if len(messages) == 1 else [s or "Message" for s in subjects]
    blocks = (
        block
        for message, title in zip(messages, titles, strict=True)
        for block in walk.message(message, title)
    )
    for page in split_sections(blocks):
        job.emit(page)
        count = page.index
    attached = AttachedFiles(job, count)
    attached.read_all(walk.files)
    warnings = tuple(attached.warnings())
    if walk.encrypted:
        warnings = (f"encrypted parts, not read: {walk.encrypted}", *warnings)
    if not attached.index:
        status: Status = "encrypted" if walk.encrypted else "empty"
        return ParseResult(status, 1, warnings=warnings, remedy=_EMPTY)
    first = messages[0]
    metadata = {key: _header(first, name) for key, name in (("author", "From"), ("date", "Date"))}
    metadata = {key: value[:_LONGEST] for key, value in metadata.items() if value}
    title = (subjects[0][:_LONGEST] or None) if len(messages) == 1 else None
    if walk.encrypted:
        return ParseResult("partial", attached.index, title, metadata, warnings, _LOCKED)
    return ParseResult("ok", attached.index, title, metadata, warnings)
