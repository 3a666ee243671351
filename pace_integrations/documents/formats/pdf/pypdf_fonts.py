"""Corrects how pypdf reads some fonts, in memory only.

A simple font's ``/Encoding`` entry takes precedence over the encoding inside the embedded font
program (ISO 32000-1, 9.6.6.1). pypdf 7.1 asks the program first, and pages come out as cipher
text. Text extraction needs no glyph outlines, so the program is taken out of the font's
descriptor, and pypdf falls back to the named encoding.

Code 32 of a TeX font in T1 encoding is no space but a visible sign for one, twice as wide. pypdf
takes its width for that of a space and loses the narrow spaces of justified lines.
"""

from __future__ import annotations

from collections.abc import Iterator

from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject, PdfObject

_SPACE = 32


def _resolve_dictionary(value: PdfObject | None) -> DictionaryObject | None:
    resolved = value.get_object() if value is not None else None
    return resolved if isinstance(resolved, DictionaryObject) else None


def _walk_entries(resources: DictionaryObject, kind: str) -> Iterator[DictionaryObject]:
    group = _resolve_dictionary(resources.get(kind))
    for value in (group or {}).values():
        entry = _resolve_dictionary(value)
        if entry is not None:
            yield entry


def _walk_fonts(page: DictionaryObject) -> Iterator[DictionaryObject]:
    """Yield the fonts of a page and of the forms it draws, every form once."""
    owners, seen = [page], {id(page)}
    while owners:
        resources = _resolve_dictionary(owners.pop().get("/Resources"))
        if resources is None:
            continue
        yield from _walk_entries(resources, "/Font")
        for form in _walk_entries(resources, "/XObject"):
            if form.get("/Subtype") == "/Form" and id(form) not in seen:
                seen.add(id(form))
                owners.append(form)


def _names_encoding(font: DictionaryObject) -> bool:
    encoding = font.get("/Encoding")
    resolved = encoding.get_object() if encoding is not None else None
    if isinstance(resolved, DictionaryObject):
        return "/BaseEncoding" in resolved
    return isinstance(resolved, NameObject)


def prefer_named_encodings(page: DictionaryObject) -> None:
    """Make the encoding that a page's Type 1 fonts name the one that pypdf uses."""
    for font in _walk_fonts(page):
        if font.get("/Subtype") != "/Type1" or "/ToUnicode" in font or not _names_encoding(font):
            continue
        descriptor = _resolve_dictionary(font.get("/FontDescriptor"))
        for key in ("/FontFile", "/FontFile3"):
            if descriptor is not None and key in descriptor:
                del descriptor[key]


def _glyph_names(font: DictionaryObject) -> dict[int, str]:
    """Return the glyph names that a font's encoding gives to codes."""
    encoding = _resolve_dictionary(font.get("/Encoding"))
    values = encoding.get("/Differences") if encoding is not None else None
    names: dict[int, str] = {}
    code = 0
    for value in values.get_object() if values is not None else ():
        if isinstance(value, NameObject):
            names[code] = str(value)
            code += 1
        else:
            code = int(value)
    return names


def forget_visible_spaces(page: DictionaryObject) -> None:
    """Take away the width of code 32 from fonts that name their glyphs and no space there."""
    for font in _walk_fonts(page):
        names = _glyph_names(font)
        if not names or names.get(_SPACE) == "/space" or _names_encoding(font):
            continue
        widths, first = font.get("/Widths"), int(font.get("/FirstChar", 0))
        values = widths.get_object() if widths is not None else None
        if isinstance(values, ArrayObject) and 0 <= _SPACE - first < len(values):
            values[_SPACE - first] = NumberObject(0)
