"""Reads plain text and markup as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pace_integrations.documents.formats.encodings import decode_text
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.sectioning import Block, split_sections
from pace_integrations.documents.types import LimitExceededError, Page, ParseResult

_SAVE_AGAIN = "Save the file as UTF-8 text and read it again."
_NOT_TEXT = "The file is not text, or in an encoding that it does not declare; save it as UTF-8."
_EMPTY = "The file holds no text; check that it was saved or downloaded completely."
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_COLORS = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")
# Patterns take whole lines and leave trimming to code: what may match in two ways is tried in all.
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(
    r"^ {0,3}#{1,6}[ \t]+(?P<atx>.*)$|^ {0,3}(?P<setext>\S.*)\n {0,3}(?:=+|-{3,})[ \t]*$",
    re.MULTILINE,
)
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)^\1[ \t]*$\n?", re.MULTILINE | re.DOTALL)
_FRONT_TITLE = re.compile(r"^title[ \t]*[:=](.*)$", re.MULTILINE | re.IGNORECASE)
_MARKUP = re.compile(r"[*_`]{1,3}|!?\[([^\[\]]*)\]\([^()]*\)")
_LONGEST = 200
_MIN_HEADING, _MAX_HEADING = 2, 120

# Headings of other markups: the level is the place of the mark in the order given.
_RST_RULE = re.compile(r"([=\-~^\"'+*#.:`_])\1{2,}[ \t]*")
_BRACED = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]{0,200}\}){0,200}\}){0,400})\}"
_TEX = re.compile(
    r"^[ \t]*\\(part|chapter|(?:sub){0,2}section|paragraph)\*?(?:\[[^\[\]]{0,500}\])?" + _BRACED,
    re.M,
)
_TEX_LEVELS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph")
_TEX_TITLE = re.compile(r"\\title(?:\[[^\[\]]{0,500}\])?" + _BRACED)
_TEX_COMMAND = re.compile(r"\\(?:label|footnote|thanks)\{[^{}]*\}|\\[A-Za-z]+\*?\s?|\\\\|[{}~]")
# Listings, whose lines are no headings, and what ends one.
_LISTINGS = {
    ".tex": (re.compile(r"\s*\\begin\{(verbatim|lstlisting|minted|comment)\*?\}"), "\\end{{{}"),
    ".org": (re.compile(r"\s*#\+begin_(src|example|export|comment)\b", re.I), "#+end_{}"),
}
_ORG = re.compile(r"^(\*+)[ \t]+(.*)$", re.MULTILINE)
_ORG_TAGS = re.compile(r"[ \t]:[\w@:]+:\Z")
_ORG_TITLE = re.compile(r"^#\+title:[ \t]*(.+)$", re.MULTILINE | re.IGNORECASE)
_ADOC = re.compile(r"^(=+)[ \t]+(.+)$", re.MULTILINE)


def split_pages(text: str) -> tuple[tuple[Page, ...], int]:
    """Split a text into pages at form feeds.

    Args:
        text: Any text.

    Returns:
        The pages that carry text, without labels, and the number of all pages.
    """
    parts = clean_text(text).rstrip().split("\f")
    bodies = [part.strip("\n").rstrip() for part in parts]
    pages = tuple(Page(index, None, body) for index, body in enumerate(bodies, 1) if body.strip())
    return pages, len(bodies)


def clean_text(text: str) -> str:
    """Return a text with one kind of line end, and without what no reader sees."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Tokenizers refuse lone surrogates, which a str may hold.
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _CONTROLS.sub("", _COLORS.sub("", text))


def _front_title(text: str) -> str | None:
    front = _FRONT_MATTER.match(text)
    found = _FRONT_TITLE.search(front[2]) if front else None
    return found[1].strip().strip("\"' ")[:_LONGEST] or None if found else None


def _plain_heading(match: re.Match[str]) -> str:
    heading = match["setext"] if match["atx"] is None else match["atx"].rstrip(" \t").rstrip("#")
    return " ".join(_MARKUP.sub(r"\1", heading).split())[:_LONGEST]


def _blank_fences(text: str) -> str:
    """Return a Markdown text with spaces in the place of fenced code, so that places stay true."""
    lines = text.split("\n")
    fence, start = "", 0
    for i, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence, start = mark[1], i
        elif mark and mark[1].startswith(fence) and not line[mark.end() :].strip():
            lines[start : i + 1] = [" " * len(within) for within in lines[start : i + 1]]
            fence = ""
    return "\n".join(lines)


def markdown_title(text: str) -> str | None:
    """Return the title of a Markdown text: its front matter's, or its first heading, or None."""
    front = _front_title(text)
    if front is not None:
        return front
    body = _blank_fences(_FRONT_MATTER.sub("", text))
    for match in _HEADING.finditer(body):
        title = _plain_heading(match)
        if any(char.isalnum() for char in title):
            return title
    return None


def _find_markdown(text: str) -> Iterator[tuple[int, int, str]]:
    body = _blank_fences(text)
    front = _FRONT_MATTER.match(body)
    for match in _HEADING.finditer(body, front.end() if front else 0):
        level = len(match[0].lstrip()) - len(match[0].lstrip().lstrip("#"))
        if match["setext"] is not None:
            level = 1 if match[0].rstrip().endswith("=") else 2
        yield match.start(), level, _plain_heading(match)


def _find_rst(text: str) -> Iterator[tuple[int, int, str]]:
    levels: dict[tuple[str, bool], int] = {}
    lines, start = ["", "", *text.split("\n")], 0
    for above, title, rule in zip(lines, lines[1:], lines[2:], strict=False):
        mark = _RST_RULE.fullmatch(rule)
        words = title.strip()
        if mark is not None and words.strip(mark[1]) and len(words) >= _MIN_HEADING:
            over = above.rstrip() == rule.rstrip()
            under = not title[0].isspace() and len(rule.rstrip()) >= len(title.rstrip())
            if len(words) <= _MAX_HEADING and (over or under):
                before = len(title) + 1 + (len(above) + 1 if over else 0)
                level = levels.setdefault((mark[1], over), len(levels) + 1)
                yield start - before, level, words
        start += len(rule) + 1


def _find_tex(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _TEX.finditer(_blank_listings(text, ".tex")):
        yield match.start(), _TEX_LEVELS.index(match[1]) + 1, _plain_tex(match[2])


def _plain_tex(words: str) -> str:
    """Return a heading of LaTeX without commands."""
    return " ".join(_TEX_COMMAND.sub(lambda m: " " if m[0] in ("~", "\\\\") else "", words).split())


def _blank_listings(text: str, suffix: str) -> str:
    """Return a text with spaces in the place of its listings, so that places stay true."""
    begin, form = _LISTINGS[suffix]
    lines = text.split("\n")
    end, start = "", 0
    for i, line in enumerate(lines):
        mark = begin.match(line) if not end else None
        if mark is not None:
            end, start = form.format(mark[1]).casefold(), i
        elif end and end in line.casefold():
            lines[start : i + 1] = [" " * len(within) for within in lines[start : i + 1]]
            end = ""
    return "\n".join(lines)


def _find_marked(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int, str]]:
    for match in pattern.finditer(text):
        yield match.start(), len(match[1]), _ORG_TAGS.sub("", match[2].rstrip(" \t")).rstrip(" \t")


def _find_headings(text: str, suffix: str) -> list[tuple[int, int, str]]:
    """Return places, levels and words of the headings of a markup."""
    if suffix == ".rst":
        return list(_find_rst(text))
    if suffix in (".tex", ".ltx"):
        return list(_find_tex(text))
    if suffix == ".org":
        return list(_find_marked(_ORG, _blank_listings(text, ".org")))
    if suffix in (".adoc", ".typ"):
        return list(_find_marked(_ADOC, text))
    return list(_find_markdown(text)) if suffix in (".md", ".markdown") else []


def _find_title(text: str, suffix: str, headings: list[tuple[int, int, str]]) -> str | None:
    if suffix in (".md", ".markdown"):
        return markdown_title(text)
    named = {".tex": _TEX_TITLE, ".ltx": _TEX_TITLE, ".org": _ORG_TITLE}.get(suffix)
    found = named.search(text) if named is not None else None
    if found is not None:
        words = found[1] if suffix == ".org" else _plain_tex(found[1])
        return " ".join(words.split())[:_LONGEST]
    return headings[0][2][:_LONGEST] if headings and suffix != ".txt" else None


def _parse(data: bytes, job: ParseJob, suffix: str) -> ParseResult:
    if len(data) > job.options.limits.expanded:
        raise LimitExceededError("the text is larger than the limit of expanded bytes")
    text, problem = decode_text(data)
    warnings: tuple[str, ...] = () if problem is None else (problem,)
    if text is None:
        return ParseResult("corrupt", warnings=warnings, remedy=_NOT_TEXT)
    text = clean_text(text)
    headings = _find_headings(text, suffix)
    # The form feeds of printed pages are the author's own sections.
    if "\f" in text.rstrip():
        pages, count = split_pages(text)
    else:
        pages = tuple(split_sections(_make_blocks(text, headings), tables=bool(suffix)))
        count = max(1, len(pages))
    for page in pages[: job.options.limits.pages]:
        job.emit(page)
    if not pages:
        return ParseResult("empty", count, warnings=warnings, remedy=_EMPTY)
    title = _find_title(text, suffix, headings)
    if len(pages) > job.options.limits.pages:
        warnings += (f"sections not read, over the limit of {job.options.limits.pages}",)
        return ParseResult("partial", count, title, warnings=warnings, remedy=_SAVE_AGAIN)
    if problem is None:
        return ParseResult("ok", count, title)
    return ParseResult("partial", count, title, warnings=warnings, remedy=_SAVE_AGAIN)


def _make_blocks(text: str, headings: list[tuple[int, int, str]]) -> Iterator[Block]:
    if not headings:
        yield Block(text)
        return
    starts = [start for start, _, _ in headings]
    if starts[0] > 0:
        yield Block(text[: starts[0]])
    for (start, level, words), end in zip(headings, [*starts[1:], len(text)], strict=True):
        yield Block(text[start:end], level, words)


def parse_text(data: bytes, job: ParseJob) -> ParseResult:
    """Decode the bytes and split them: at form feeds, or into sections where they are many."""
    return _parse(data, job, "")


def parse_markup(data: bytes, job: ParseJob) -> ParseResult:
    """Decode a text with headings and split it at them where it is long."""
    return _parse(data, job, job.suffix)
