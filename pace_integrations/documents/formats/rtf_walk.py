"""One walk over a Rich Text file: paragraphs, rows, and what hangs on them.

A file is groups within groups. Each may begin with a word that says where its text belongs: to the
text, to a header, to a note, to a text box, or to nothing that a reader sees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from pace_integrations.documents.formats.clean import (
    clean_characters,
    lower_text,
    raise_text,
    strike_text,
)
from pace_integrations.documents.formats.rtf_codes import (
    BY_WORD,
    CHARACTERS,
    MARGINS,
    SHOWN,
    SIGNS,
    SKIPPED,
    SYMBOL_CHARSET,
    TOKEN,
    find_encoding,
)
from pace_integrations.documents.formats.rtf_flow import Flow, Font, State
from pace_integrations.documents.formats.sectioning import Block
from pace_integrations.documents.formats.symbol_fonts import decode_symbol

_MAX_DEPTH = 2_000
_INFO = ("title", "author")
_WESTERN = "cp1252"
_CHECKBOX = 1


class RtfWalk:
    """Reads the source of a file, byte for character.

    Attributes:
        left_out: What was met and not read, with its numbers.
        info: What the file says of itself.
    """

    def __init__(self, source: str) -> None:
        self.left_out: Counter[str] = Counter()
        self.info: dict[str, str] = {}
        self._source = source
        self._main = Flow()
        self._state = State(self._main)
        self._stack: list[State] = []
        self._fonts: dict[int, Font] = {}
        self._encoding, self._usual_font = _WESTERN, -1
        self._bytes = bytearray()
        self._to_skip = 0
        self._margins: dict[str, list[str]] = {"Header": [], "Footer": []}
        self._notes = 0
        self._author = ""
        self._form_field = 0

    def blocks(self) -> Iterator[Block]:
        """Yield the text in its order: headers, paragraphs and rows, footers."""
        self._walk()
        self._flush()
        self._main.end_paragraph()
        for kind, lines in (("Header", ()), ("", self._main.lines), ("Footer", ())):
            for line, level in [*lines, *((text, 0) for text in self._margins.get(kind, ()))]:
                text = clean_characters(line)
                yield Block(f"{text}\n", level if text else 0, " ".join(text.split())[:200])

    def _walk(self) -> None:
        place, ignorable, source = 0, False, self._source
        while (token := TOKEN.match(source, place)) is not None:
            place = token.end()
            word, sign, brace = token["word"], token["sign"], token["brace"]
            if brace == "{":
                self._flush()
                self._stack.append(self._state)
                if len(self._stack) < _MAX_DEPTH:  # deeper ones share what holds
                    self._state = replace(self._state)
                self._to_skip = 0
            elif brace == "}":
                self._flush()
                self._close_group()
            elif sign == "*":
                ignorable = True
                continue
            elif word is not None:
                value = token["value"]
                if word == "bin":  # raw bytes of a picture
                    place += max(0, int(value or 0))
                self._read_word(word, int(value) if value else None, ignorable=ignorable)
            elif sign is not None:
                self._flush()
                self._add(SIGNS.get(sign, ""))
            elif token["hex"] is not None:
                self._add_bytes(bytes.fromhex(token["hex"]))
            elif token["text"] is not None:
                self._add_bytes(token["text"].encode("latin-1"))
            ignorable = False

    # -- groups ---------------------------------------------------------------------------------

    def _begin(self, kind: str) -> None:
        """Let the text of this group flow elsewhere."""
        self._state.flow = Flow(kind)
        self._state.in_table, self._state.position = False, ""

    def _close_group(self) -> None:
        if not self._stack:
            return
        ended, self._state = self._state, self._stack.pop()
        self._to_skip = 0
        flow = ended.flow
        if flow is self._state.flow:
            return
        if flow.kind in ("Header", "Footer"):
            flow.end_paragraph()
            lines = [text for text, _ in flow.lines if any(char.isalpha() for char in text)]
            known = self._margins[flow.kind]
            known += [line for line in lines if line not in known]
        elif flow.kind in _INFO:
            self.info.setdefault(flow.kind, flow.flat())
        elif flow.kind == "atnauthor":
            self._author = flow.flat()
        elif flow.kind == "box":
            flow.end_paragraph()
            self._state.flow.after += [line for line, _ in flow.lines if line.strip()]
        elif flow.kind != "fonttbl":
            text = flow.flat()
            self._state.flow.after += [f"[{flow.kind}: {text}]"] if text else []

    def _read_destination(self, word: str, *, ignorable: bool) -> bool:
        """Tell whether a word says where the text of its group belongs, and follow it."""
        state = self._state
        if word in ("fonttbl", "pict", "sv", "sn"):
            self.left_out["pictures"] += word == "pict" and not state.skipped
            state.skipped = word != "fonttbl" or state.skipped
            if word == "fonttbl":
                self._begin("")
                state.flow.kind = "fonttbl"
        elif word == "ud":
            state.skipped = False
        elif word in SKIPPED or word == "upr" or (ignorable and word not in SHOWN):
            self.left_out["embedded objects"] += word == "objdata"
            state.skipped = True
        elif word in MARGINS:
            self._begin(MARGINS[word])
        elif word == "footnote":
            self._begin(f"Footnote {self._notes}" if self._notes else "Footnote")
        elif word == "annotation":
            self._begin(f"Comment by {self._author}" if self._author else "Comment")
        elif word in (*_INFO, "atnauthor"):
            self._begin(word)
        elif word in ("shptxt", "dptxbxtext"):
            self._begin("box")
        else:
            return False
        return True

    # -- words ----------------------------------------------------------------------------------

    def _read_word(self, word: str, value: int | None, *, ignorable: bool) -> None:
        if word == "u":
            self._flush()
            code = (value or 0) & 0xFFFF
            self._add(
                decode_symbol("symbol", code) or "" if 0xF000 <= code <= 0xF0FF else chr(code)
            )
            self._to_skip = self._state.skip
            return
        self._flush()
        self._to_skip = 0
        if self._read_destination(word, ignorable=ignorable):
            return
        state, on = self._state, value != 0
        if word in CHARACTERS:
            self._add(CHARACTERS[word])
        elif word in ("par", "sect", "page", "cell", "row", "nestcell", "nestrow"):
            self._end(word)
        elif word in ("super", "sub"):
            state.position = word if on else ""
        elif word in ("up", "dn"):
            state.position = ("super" if word == "up" else "sub") if value else ""
        elif word in ("strike", "striked"):
            state.struck = on
        elif word == "nosupersub":
            state.position = ""
        elif word in ("v", "deleted"):
            state.hidden = word if on else ""
        elif word == "plain":
            state.position, state.hidden, state.font, state.struck = "", "", -1, False
        elif word == "pard":
            state.in_table, state.level = False, 0
        elif word == "intbl":
            state.in_table = True
        elif word == "outlinelevel":
            state.level = (value or 0) + 1 if (value or 0) < 9 else 0
        elif word == "chftn":
            self._mark_note()
        elif word == "uc":
            state.skip = max(0, value or 0)
        elif word in ("ansicpg", *BY_WORD):
            self._encoding = find_encoding(None, value, BY_WORD.get(word, _WESTERN))
        elif word == "fftype":
            self._form_field = value or 0
        elif word in ("ffres", "ffdefres") and self._form_field == _CHECKBOX and value in (0, 1):
            state.flow.parts.append("[x] " if value else "[ ] ")  # its field is not shown
            self._form_field = 0
        elif word == "mden":
            self._add("/")
        elif word in ("msup", "msub"):
            state.position = "super" if word == "msup" else "sub"
        else:
            self._read_font(word, value)

    def _read_font(self, word: str, value: int | None) -> None:
        state = self._state
        if word == "f":
            state.font = value or 0
        elif word == "deff":
            self._usual_font = value or 0
        elif state.flow.kind == "fonttbl" and word in ("fcharset", "cpg"):
            font = self._fonts.get(state.font, Font())
            key = "charset" if word == "fcharset" else "page"
            self._fonts[state.font] = replace(font, **{key: value})

    def _end(self, word: str) -> None:
        """End what a word ends: a paragraph, a cell, a row."""
        state = self._state
        flow = state.flow
        if state.skipped:
            return
        if word == "cell":
            flow.end_cell()
        elif word == "row":
            flow.end_row()
        elif word == "nestcell":
            flow.parts.append(" | ")
        elif word == "nestrow":
            flow.parts[-1:] = [part for part in flow.parts[-1:] if part != " | "]
            flow.parts.append("\n")
        elif state.in_table and word == "par":
            flow.parts += ["".join(f"\n{line}" for line in flow.after), "\n"]
            flow.after = []
        else:
            flow.end_paragraph(state.level)

    def _mark_note(self) -> None:
        """Write the mark of a note; the note itself repeats it."""
        if self._state.flow.kind or self._state.skipped:
            return
        self._notes += 1
        flow = self._state.flow
        flow.parts.append(raise_text(flow.tail(), str(self._notes)))

    # -- text -----------------------------------------------------------------------------------

    def _add_bytes(self, data: bytes) -> None:
        if self._to_skip:
            dropped = min(self._to_skip, len(data))
            self._to_skip -= dropped
            data = data[dropped:]
        self._bytes += data

    def _flush(self) -> None:
        """Write the bytes gathered so far, in the encoding of their font."""
        if not self._bytes:
            return
        data, self._bytes = bytes(self._bytes), bytearray()
        if self._state.skipped or self._state.flow.kind == "fonttbl":
            return
        number = self._state.font if self._state.font >= 0 else self._usual_font
        font = self._fonts.get(number, Font())
        if font.charset == SYMBOL_CHARSET:
            self._add("".join(decode_symbol("symbol", byte) for byte in data))
        else:
            encoding = find_encoding(font.charset, font.page, self._encoding)
            self._add(data.decode(encoding, "replace"))

    def _add(self, text: str) -> None:
        state = self._state
        if not text or state.skipped or state.flow.kind == "fonttbl":
            return
        if state.hidden:
            self.left_out[
                "hidden text" if state.hidden == "v" else "deleted text of tracked changes"
            ] += 1
            return
        flow = state.flow
        if state.position and text.strip():
            mark = raise_text if state.position == "super" else lower_text
            text = mark(flow.tail(), text.strip())
        flow.parts.append(strike_text(text) if state.struck else text)
