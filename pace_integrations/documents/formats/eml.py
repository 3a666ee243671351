"""Reads messages: headers, the text of every part, messages and texts that are attached."""

from __future__ import annotations

import base64
import email
import email.policy
import itertools
import quopri
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage, Message

from pace_integrations.documents.formats.attached import AttachedFiles
from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.html import decode_html, parse_tree
from pace_integrations.documents.formats.html_walk import HtmlText, read_element
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


def _read_text(part: EmailMessage) -> tuple[str, Counter[str], bool]:
    """Return the text of a part, what was left out of it, and if its encoding is a guess."""
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset()
    if part.get_content_type() == "text/html":
        text, problem = decode_html(data)
        text = text or data.decode("latin-1")
        found = read_element(parse_tree(text)) if text.strip() else HtmlText()
        return found.writer.text(), found.left_out, problem is not None
    try:
        return clean_characters(data.decode(charset or "utf-8")), Counter(), False
    except (LookupError, UnicodeDecodeError):
        text = decode_html(data).text or data.decode("latin-1")
        return clean_characters(text), Counter(), True


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
    return "\n".join(_read_text(p)[0] for p in texts if isinstance(p, EmailMessage))


def _unwrap(part: EmailMessage, inner: EmailMessage) -> EmailMessage:
    """Return an attached message; some programs encode it as no message may be."""
    coding, named = _header(part, "Content-Transfer-Encoding").lower(), bool(inner.keys())
    try:
        source = inner.as_bytes().lstrip()
        if coding == "base64" and not named:
            source = base64.b64decode(source)
        elif coding == "quoted-printable" and "Content-Transfer-Encoding" not in inner:
            source = quopri.decodestring(source)
        else:
            return inner
    except (ValueError, LookupError):
        return inner
    found = email.message_from_bytes(source, policy=email.policy.default)
    return found if isinstance(found, EmailMessage) and found.keys() else inner


def _is_file(part: Message) -> bool:
    return bool(part.get_filename()) and part.get_content_disposition() == "attachment"


@dataclass(slots=True)
class _Walk:
    """One walk over a message and those in it.

    Attributes:
        files: Names and bytes of the files that are attached.
        left_out: What was met and not read, with its numbers.
        read_too: What was read and may be wrong.
    """

    files: list[tuple[str, bytes]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    read_too: Counter[str] = field(default_factory=Counter)

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
                    inner = _unwrap(part, inner)
                    subject = _header(inner, "Subject") or "attached message"
                    yield from self.message(inner, f"Attached: {subject}")
        elif kind == "multipart/alternative":
            chosen = list(_choose_alternatives(part))
            for alternative in chosen:
                yield from self._part(alternative)
            for other in part.iter_parts():
                if other not in chosen:
                    self._take_enclosed(other)
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
            text, left_out, guessed = _read_text(part)
            self.left_out.update(left_out)
            self.read_too["texts in a guessed encoding"] += guessed
            yield Block(f"{text}\n\n")
        elif kind in _ENCRYPTED:
            self.left_out["encrypted parts"] += 1
        else:
            self._take_file(part)

    def _take_enclosed(self, alternative: Message) -> None:
        """Keep the files of an alternative whose text is not read."""
        for part in alternative.walk():
            if not part.is_multipart() and part.get_content_maintype() != "text":
                self._take_file(part)

    def _take_file(self, part: Message) -> None:
        media = part.get_content_maintype() in ("image", "audio", "video")
        payload = None if media else part.get_payload(decode=True)
        name = part.get_filename() or part.get_content_type()
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
    left_out = (f"{what}, not read: {n}" for what, n in walk.left_out.items() if n)
    read_too = (f"{what}, read: {n}" for what, n in walk.read_too.items() if n)
    warnings = (*left_out, *read_too, *attached.warnings())
    locked = walk.left_out["encrypted parts"] > 0
    if not attached.index:
        status: Status = "encrypted" if locked else "empty"
        return ParseResult(status, 1, warnings=warnings, remedy=_EMPTY)
    first = messages[0]
    metadata = {key: _header(first, name) for key, name in (("author", "From"), ("date", "Date"))}
    metadata = {key: value[:_LONGEST] for key, value in metadata.items() if value}
    title = (subjects[0][:_LONGEST] or None) if len(messages) == 1 else None
    if locked:
        return ParseResult("partial", attached.index, title, metadata, warnings, _LOCKED)
    return ParseResult("ok", attached.index, title, metadata, warnings)
